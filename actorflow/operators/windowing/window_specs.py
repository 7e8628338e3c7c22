"""What a window operator does, as a value. See `window_stage` and `pane_stage` for the two that run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from actorflow.operators.specs import KeyedSpec, Selector
from actorflow.operators.windowing.evictor import Evictor
from actorflow.operators.windowing.trigger import Trigger
from actorflow.operators.windowing.window import WindowAssigner
from actorflow.operators.windowing.window_function import WindowFunction
from actorflow.operators.windowing.windows import DynamicSessionWindows, GlobalWindows, SessionWindows, TimeWindows
from actorflow.plan.graph import OperatorSpec


def no_key(record: Any) -> None:
    """Return the key of all records where there is none."""


@dataclass(frozen=True)
class WindowSpec(OperatorSpec):
    """Groups records by key and window.

    Attributes:
        key: what records are grouped by.
        assigner: which windows a record is in.
        fold: how the records of a window become one value, as they come; None if they are kept until it fires.
        function: what makes results of that value, or of the records; None if the value is the result.
        trigger: when a window gives results; None for the assigner's own.
        evictor: what leaves records out; None for the assigner's own.
        lateness_ms: how long a window is kept after its end, for records that are late.
        late_tag: side output for records that come later than that; None if they are dropped.
    """

    key: Selector
    assigner: WindowAssigner
    fold: KeyedSpec | None = None
    function: WindowFunction | None = None
    trigger: Trigger | None = None
    evictor: Evictor | None = None
    lateness_ms: int = 0
    late_tag: str | None = None

    kind: ClassVar[str] = "window"

    def functions(self) -> Mapping[str, object]:
        """The user's functions and objects."""
        found: dict[str, object] = {} if isinstance(self.key, str) else {"key": self.key}
        for name in ("assigner", "function", "trigger", "evictor"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        return {**found, **self.fold.functions()} if self.fold is not None else found

    @property
    def needs_timestamps(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether records must have event times."""
        return self.assigner.needs_timestamps

    @property
    def timed(self) -> bool | None:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Results have the last millisecond of their window as event time, those of the global window what its records have."""
        return None if isinstance(self.assigner, GlobalWindows) else True

    @property
    def in_panes(self) -> bool:
        """Whether it is an aggregation over regular windows that fire when they end, and so can share what overlaps."""
        plain = self.function is None and self.trigger is None and self.evictor is None
        return plain and self.fold is not None and isinstance(self.assigner, TimeWindows)

    @property
    def in_sessions(self) -> bool:
        """Whether its windows are sessions that fire when they end."""
        plain = self.trigger is None and self.evictor is None
        return plain and isinstance(self.assigner, SessionWindows | DynamicSessionWindows)


@dataclass(frozen=True)
class WindowAllSpec(WindowSpec):
    """Groups all records by window, in one subtask."""

    kind: ClassVar[str] = "window_all"
    parallelism_max: ClassVar[int | None] = 1
