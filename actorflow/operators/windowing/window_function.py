"""What a function over whole windows is given: `windowed.apply(fn)`, `windowed.aggregate(aggregate, apply=fn)`.

    def fn(key, window, records, ctx):
        return max(records)

The value that it returns is the value of the result; a generator function gives as many results as it yields. With an aggregation, the
aggregate stands in the place of the records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from actorflow.operators.processing.actor import Tagged
from actorflow.state.handles import MapHandle

WindowFunction = Callable[..., Any]
"""See the module's text."""


class WindowContext(Protocol):
    """What a window function can know and do. Valid only during the call it was passed to.

    Attributes:
        watermark: event time that the operator has reached, in ms.
        window_state: what the function remembers of this key and window, from one firing to the next. It is gone with the window. Windows
            that merge have none.
        global_state: what the function remembers of this key, whatever the window.
    """

    watermark: int

    @property
    def window_state(self) -> MapHandle[Any, Any]:
        """What the function remembers of this key and window."""
        ...

    @property
    def global_state(self) -> MapHandle[Any, Any]:
        """What the function remembers of this key."""
        ...

    def processing_time(self) -> int:
        """Return the wall clock, in ms."""
        ...

    def emit_to(self, tag: str | Tagged, record: Any, timestamp: int | None = None) -> None:
        """Give a record to a side output, with this event time or that of the result. It is dropped if nothing reads that side output."""
        ...
