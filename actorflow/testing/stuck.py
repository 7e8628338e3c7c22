"""Why a pipeline does not end in a test, told from what its subtasks say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from actorflow.actor import ActorSystem
from actorflow.errors import ActorflowError, Domain
from actorflow.runtime.subtask_contract import SubtaskView
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


class TestStuck(ActorflowError):  # noqa: N818 - the condition is the name
    """A pipeline that did not end in a test. The text says what each subtask waits for.

    Attributes:
        views: what `Subtask.observe` told of each subtask.
    """

    __test__: ClassVar[bool] = False
    domain = Domain.USER

    views: tuple[SubtaskView, ...] = ()


def stuck(job: str, reason: str, system: ActorSystem, hint: str) -> TestStuck:
    """Return the error for a job that has not ended.

    Args:
        job: its name.
        reason: what has come to an end instead.
        system: where its subtasks live.
        hint: what to do.
    """
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=system.clock.wall_ms())
    views = tuple(row.observation for row in system.tree(observe=True) if isinstance(row.observation, SubtaskView))
    lines = [f"job '{job}' has not ended: {reason}; its clock is at {now:%Y-%m-%d %H:%M:%S.%f}", *map(_line, views)]
    error = TestStuck("\n  ".join(lines), hint=hint)
    error.views = views
    return error


def _line(view: SubtaskView) -> str:
    waits = f"waits for {view.waits_for}" if view.waits_for else view.activity
    return f"{view.name}: {waits}; {view.metrics.records_in} records in, {view.queued_in} elements queued, watermark {_shown(view.watermark)}"


def _shown(watermark: int) -> str:
    return {MIN_TIMESTAMP: "none", MAX_TIMESTAMP: "at the end"}.get(watermark, str(watermark))
