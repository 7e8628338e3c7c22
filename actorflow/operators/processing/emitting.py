"""What an operator of the user's has emitted, until it is passed on: once a batch, once a message, once a slice of timers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.errors import PlanError
from actorflow.operators.stage import Consumer
from actorflow.wire.batch import ObjectBatch


class Buffer:
    """What was emitted to one output since the last flush.

    Attributes:
        records: the records.
        stamps: their event times in ms; empty if they have none.
    """

    __slots__ = ("_target", "records", "stamps")

    def __init__(self, target: Consumer) -> None:
        self._target = target
        self.records: list[Any] = []
        self.stamps: list[int] = []

    def flush(self, operator: str) -> int:
        """Pass it on; return the number of records."""
        records, stamps = self.records, self.stamps
        if not records:
            return 0
        if stamps and len(stamps) != len(records):
            raise PlanError(
                f"'{operator}' emitted some records with a timestamp and some without",
                hint="outside on_record and event-time timers, and where the input has no timestamps, give all of them a timestamp or none",
            )
        self.records, self.stamps = [], []
        self._target.process(ObjectBatch(records, stamps or None))
        return len(records)


class Outputs:
    """The outputs of one operator.

    Args:
        operator: its name, for errors.
        following: gets what it emits.
        sides: get what it emits to side outputs, by tag.

    Attributes:
        main: the buffer of the main output.
        sides: the buffers of the side outputs, by tag.
        records_out: records that the main output has passed on.
    """

    __slots__ = ("_operator", "main", "records_out", "sides")

    def __init__(self, operator: str, following: Consumer, sides: Mapping[str, Consumer]) -> None:
        self._operator = operator
        self.main = Buffer(following)
        self.sides = {tag: Buffer(side) for tag, side in sides.items()}
        self.records_out = 0

    def flush(self) -> None:
        """Pass on what was emitted."""
        self.records_out += self.main.flush(self._operator)
        for side in self.sides.values():
            side.flush(self._operator)

    def discard(self) -> None:
        """Forget what a failed call has emitted."""
        for buffer in (self.main, *self.sides.values()):
            buffer.records, buffer.stamps = [], []

    def refuse(self) -> None:
        """Complain of what was emitted when the outputs have ended.

        Raises:
            PlanError: if anything was.
        """
        if self.main.records or any(side.records for side in self.sides.values()):
            raise PlanError(
                f"'{self._operator}' emitted records in on_stop, when its outputs had ended",
                hint="emit in on_record, on_timer or on_message",
            )
