"""Why a pipeline does not end in a test, told from what its subtasks say of themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from actorflow.actor import ActorSystem
from actorflow.errors import ActorflowError, Domain
from actorflow.runtime.subtasks.subtask_contract import SubtaskView
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


class TestStuck(ActorflowError):  # noqa: N818 - the condition is the name
    """A pipeline that did not end in a test. The text says what each subtask waits for.

    Attributes:
        views: what `Subtask.observe` told of each subtask.
    """

    __test__: ClassVar[bool] = False
    domain = Domain.USER

    views: tuple[SubtaskView, ...] = ()

    def __str__(self) -> str:
        return "\n  ".join([super().__str__(), *map(_line, self.views)])


def stuck(message: str, hint: str, system: ActorSystem) -> TestStuck:
    """Return the error for a job that has not ended, with what the subtasks on a system say."""
    error = TestStuck(message, hint=hint)
    error.views = tuple(row.observation for row in system.tree(observe=True) if isinstance(row.observation, SubtaskView))
    return error


def shown(seconds: float) -> str:
    """Return a time for people: `1 day, 0:00:00.005`."""
    whole, dot, fraction = str(timedelta(seconds=round(seconds, 3))).partition(".")
    return whole + dot + fraction[:3]


def _line(view: SubtaskView) -> str:
    waits = f"waits for {view.waits_for}" if view.waits_for else view.activity
    watermark = {MIN_TIMESTAMP: "no watermark", MAX_TIMESTAMP: "watermark at the end"}.get(
        view.watermark, f"watermark {view.watermark}"
    )
    return f"{view.name}: {waits}; {view.metrics.records_in} records in, {view.queued_in} elements queued, {watermark}"
