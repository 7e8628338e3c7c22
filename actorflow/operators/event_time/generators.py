"""Calls a watermark generator of the user's, and reports what goes wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from actorflow.errors import PlanError
from actorflow.operators.event_time.watermarks import WatermarkGenerator
from actorflow.operators.failures import NOTHING, call_user, refused, user_failure
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


class CalledGenerator:
    """The generator of one split.

    Args:
        factory: the user's.
        name: the operator's name, for reports.
        subtask: for reports.

    Attributes:
        per_event: whether it has an `on_event`.
        periodic: whether it has an `on_periodic`.

    Raises:
        PlanError: if the factory returns something else.
        UserFunctionError: if it raises.
    """

    __slots__ = ("_generator", "_name", "_subtask", "per_event", "periodic")

    def __init__(self, factory: Callable[[], WatermarkGenerator], name: str, subtask: str) -> None:
        generator: object = call_user(factory, operator=name, subtask=subtask)
        if not isinstance(generator, WatermarkGenerator):
            raise PlanError(
                f"the factory of the watermarks of '{name}' returned a {type(generator).__name__}",
                hint="derive a class from af.WatermarkGenerator, and give the class to Watermarks.custom",
            )
        self._generator = generator
        self._name = name
        self._subtask = subtask
        kind = type(generator)
        self.per_event = kind.on_event is not WatermarkGenerator.on_event
        self.periodic = kind.on_periodic is not WatermarkGenerator.on_periodic

    def events(self, records: list[Any], timestamps: list[int]) -> Iterator[tuple[int, int]]:
        """Call `on_event` for each record; give the places of those with a watermark (ms) right behind them, and the watermark.

        Raises:
            UserFunctionError: if it raises, or returns what is no watermark.
        """
        on_event = self._generator.on_event
        for place, (record, timestamp) in enumerate(zip(records, timestamps, strict=True)):
            try:
                watermark = on_event(record, timestamp)
            except BaseException as error:
                failure = user_failure(error, operator=self._name, subtask=self._subtask, function=on_event, record=record)
                raise failure from error
            if watermark is not None:
                yield place, self._checked(watermark, "on_event", record)

    def tick(self) -> int:
        """Call `on_periodic`; return the watermark (ms) that holds now, `MIN_TIMESTAMP` for none.

        Raises:
            UserFunctionError: see `events`.
        """
        watermark = call_user(self._generator.on_periodic, operator=self._name, subtask=self._subtask)
        return MIN_TIMESTAMP if watermark is None else self._checked(watermark, "on_periodic", NOTHING)

    def _checked(self, watermark: Any, method: str, record: Any) -> int:
        if isinstance(watermark, bool) or not isinstance(watermark, int) or not MIN_TIMESTAMP <= watermark < MAX_TIMESTAMP:
            what = f"{method} of '{self._name}' returned {watermark!r} ({type(watermark).__name__}) as watermark"
            error = PlanError(what, hint="return milliseconds since the Unix epoch as an int, or None")
            raise refused(error, operator=self._name, subtask=self._subtask, record=record)
        return int(watermark)
