"""How far event time has come: what `with_timestamps` is told, as values.

A *watermark* of `t` says that no record with an event time at or before `t` is expected any more. How it follows from the records is a
`Watermarks`: the user's choice, since only the user knows how late records come.

| strategy                    | watermark                                                                                |
|-----------------------------|------------------------------------------------------------------------------------------|
| `bounded(out_of_order=d)`   | the latest event time so far, less `d`, less 1 ms (a record of the same time may follow)  |
| `monotonous()`              | the same with `d` = 0: event times never go back within a split                           |
| `none()`                    | none until the end of the input                                                           |
| `custom(factory)`           | what a generator of the user's says                                                       |

Where records come straight from a source, each of its splits has a watermark of its own; that of the subtask is the smallest among those
that are not idle. Elsewhere the subtask counts as one split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from actorflow.config.values import Duration, duration_ms, refuse
from actorflow.errors import PlanError
from actorflow.operators.specs import Selector
from actorflow.plan.graph import DataPath, OperatorSpec


class WatermarkGenerator:
    """Makes the watermarks of one split. Derive a class from it for `Watermarks.custom`.

    A watermark that does not rise is dropped, so the same one may be returned again.
    """

    def on_event(self, record: Any, timestamp: int) -> int | None:
        """Take a record and its event time (ms). Return the watermark (ms) that comes right behind the record, or None."""

    def on_periodic(self) -> int | None:
        """Return the watermark (ms) that holds now, or None.

        Called every `pipeline.auto-watermark-interval` from the first record of the split on, whether others follow or not; if that is 0,
        after each batch.
        """


@dataclass(frozen=True)
class Alignment:
    """How far a source may be ahead of others in event time. Made by `Watermarks.aligned`.

    Attributes:
        group: name of the sources that are aligned with each other.
        max_drift_ms: how far ahead of the slowest of them its splits may be.
        update_ms: how often that is looked at.
    """

    group: str
    max_drift_ms: int
    update_ms: int


@dataclass(frozen=True)
class Watermarks:
    """How watermarks follow from records. Made by `bounded`, `monotonous`, `none` and `custom`.

    Attributes:
        out_of_order_ms: how far behind the latest event time a record may come; None if watermarks do not follow from that.
        factory: makes a generator of the user's, or None.
        idle_after_ms: after how long without a record a split holds back no watermark; None for never.
        alignment: with which other sources it goes in step, if any.
    """

    out_of_order_ms: int | None = None
    factory: Callable[[], WatermarkGenerator] | None = None
    idle_after_ms: int | None = None
    alignment: Alignment | None = None

    @classmethod
    def bounded(cls, out_of_order: Duration, *, idle_after: Duration | None = None) -> Watermarks:
        """Expect records up to `out_of_order` behind the latest event time; what comes later than that is late.

        Args:
            out_of_order: a duration.
            idle_after: after how long without a record a split holds back no watermark. Time in which it could not be read does not count.

        Raises:
            ConfigError: if one of them is no duration.
        """
        bound = duration_ms(out_of_order, "out_of_order of Watermarks.bounded")
        return cls(out_of_order_ms=bound, idle_after_ms=_idle_ms("bounded", idle_after))

    @classmethod
    def monotonous(cls, *, idle_after: Duration | None = None) -> Watermarks:
        """Expect event times that never go back within a split. Equal ones may follow each other. See `bounded` for `idle_after`."""
        return cls(out_of_order_ms=0, idle_after_ms=_idle_ms("monotonous", idle_after))

    @classmethod
    def none(cls) -> Watermarks:
        """Make no watermarks: event time stands still until the input ends."""
        return cls()

    @classmethod
    def custom(cls, factory: Callable[[], WatermarkGenerator], *, idle_after: Duration | None = None) -> Watermarks:
        """Ask a generator of the user's own; `factory`, such as its class, makes one for each split. See `bounded` for `idle_after`."""
        return cls(factory=factory, idle_after_ms=_idle_ms("custom", idle_after))

    def aligned(self, group: str, max_drift: Duration, *, update: Duration = "1s") -> Watermarks:
        """Return the same, in step with other sources: a split that is too far ahead is not read until the others have come closer.

        Args:
            group: a name. Sources of the job that give the same are aligned with each other.
            max_drift: how far in event time a split may be ahead of the slowest of the group. What one batch brings may come on top.
            update: how often that is looked at. In so much time a source goes forward by not much more than `max_drift`.

        Raises:
            ConfigError: if one of them is no duration above 0.
            PlanError: if the group has no name, or there are no watermarks to align.
        """
        if not isinstance(group, str) or not group:
            raise PlanError(f"the group of aligned watermarks needs a name, not {group!r}")
        if self.out_of_order_ms is None and self.factory is None:
            raise PlanError("Watermarks.none() cannot be aligned: nobody would know how far the source is")
        drift_ms = _positive_ms("max_drift of Watermarks.aligned", max_drift)
        return replace(self, alignment=Alignment(group, drift_ms, _positive_ms("update of Watermarks.aligned", update)))


def _positive_ms(option: str, duration: Duration) -> int:
    return duration_ms(duration, option) or refuse(
        option, duration, "a duration above 0", "write '1s', or a number of milliseconds"
    )


def _idle_ms(strategy: str, idle_after: Duration | None) -> int | None:
    return None if idle_after is None else _positive_ms(f"idle_after of Watermarks.{strategy}", idle_after)


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
    immediate: ClassVar[bool] = True

    @property
    def steers_source(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether it says which splits of the source may be read."""
        return self.watermarks.alignment is not None

    def functions(self) -> Mapping[str, object]:
        """The user's function, and the strategy with its factory."""
        function = {} if isinstance(self.timestamp, str) else {"timestamp": self.timestamp}
        return {**function, "watermarks": self.watermarks}
