"""How far event time has come: what `with_timestamps` is told, as values.

A *watermark* of `t` says that no record with an event time at or before `t` is expected any more. How it follows from the records is a
`Watermarks`: the user's choice, since only the user knows how late records come.

| strategy                    | watermark                                                                                |
|-----------------------------|------------------------------------------------------------------------------------------|
| `bounded(out_of_order=d)`   | the latest event time so far, less `d`, less 1 ms (a record of the same time may follow)  |
| `monotonous()`              | the same with `d` = 0: event times never go back within a split                           |
| `none()`                    | none until the end of the input                                                           |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from actorflow.config.values import Duration, duration_ms
from actorflow.operators.specs import Selector
from actorflow.plan.graph import DataPath, OperatorSpec


@dataclass(frozen=True)
class Watermarks:
    """How watermarks follow from records. Made by `bounded`, `monotonous` and `none`.

    Attributes:
        out_of_order_ms: how far behind the latest event time a record may come; None if watermarks do not follow from that.
        idle_after_ms: after how long without a record a split holds back no watermark; None for never.
    """

    out_of_order_ms: int | None = None
    idle_after_ms: int | None = None

    @classmethod
    def bounded(cls, out_of_order: Duration, *, idle_after: Duration | None = None) -> Watermarks:
        """Expect records up to `out_of_order` behind the latest event time; what comes later than that is late.

        Args:
            out_of_order: a duration.
            idle_after: after how long without a record a split holds back no watermark.

        Raises:
            ConfigError: if one of them is no duration.
        """
        return cls(duration_ms(out_of_order, "out_of_order of Watermarks.bounded"), _idle_ms("bounded", idle_after))

    @classmethod
    def monotonous(cls, *, idle_after: Duration | None = None) -> Watermarks:
        """Expect event times that never go back within a split. Equal ones may follow each other. See `bounded` for `idle_after`."""
        return cls(0, _idle_ms("monotonous", idle_after))

    @classmethod
    def none(cls) -> Watermarks:
        """Make no watermarks: event time stands still until the input ends."""
        return cls()


def _idle_ms(strategy: str, idle_after: Duration | None) -> int | None:
    return None if idle_after is None else duration_ms(idle_after, f"idle_after of Watermarks.{strategy}")


@dataclass(frozen=True)
class TimestampSpec(OperatorSpec):
    """Gives records their event times, and makes watermarks of them.

    Attributes:
        timestamp: the event time of a record: milliseconds since the Unix epoch, or an aware datetime.
        watermarks: how watermarks follow.
    """

    timestamp: Selector
    watermarks: Watermarks

    kind: ClassVar[str] = "with_timestamps"
    takes: ClassVar[DataPath] = DataPath.ANY
    gives: ClassVar[DataPath] = DataPath.ANY
    timed: ClassVar[bool | None] = True

    def functions(self) -> Mapping[str, object]:
        """The user's function, and the strategy with its factory."""
        function = {} if isinstance(self.timestamp, str) else {"timestamp": self.timestamp}
        return {**function, "watermarks": self.watermarks}
