"""What a test sink shows: what has arrived, from where, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from actorflow.wire.batch import Active, Idle, Watermark


class Arrival(NamedTuple):
    """A record that has arrived.

    Attributes:
        record: the record.
        timestamp: its event time in milliseconds, or None if it has none.
        at_ms: when it arrived, in virtual processing time: milliseconds since the epoch.
        subtask: index of the sink's subtask that got it.
    """

    record: Any
    timestamp: int | None
    at_ms: int
    subtask: int


class Heard(NamedTuple):
    """A watermark, or a change between idle and active, that has arrived.

    Attributes:
        event: what it was.
        at_ms: when, as in `Arrival`.
        subtask: index of the sink's subtask that heard it.
    """

    event: Watermark | Idle | Active
    at_ms: int
    subtask: int


class Received:
    """Everything that a sink got, in the order of virtual time; what came at the same time stands subtask by subtask.

    Args:
        elements: of each subtask, in order.

    Attributes:
        elements: records and events.
    """

    def __init__(self, elements: Iterable[Arrival | Heard]) -> None:
        self.elements = tuple(sorted(elements, key=lambda element: (element.at_ms, element.subtask)))

    @property
    def arrivals(self) -> list[Arrival]:
        """The records, each with its timestamp, time of arrival and subtask."""
        return [element for element in self.elements if isinstance(element, Arrival)]

    @property
    def records(self) -> list[Any]:
        """The records."""
        return [element.record for element in self.elements if isinstance(element, Arrival)]

    @property
    def timed(self) -> list[tuple[Any, int | None]]:
        """Each record with its timestamp."""
        return [(element.record, element.timestamp) for element in self.elements if isinstance(element, Arrival)]

    @property
    def watermarks(self) -> list[int]:
        """The watermarks, in milliseconds. With more than one subtask each has its own."""
        return [
            element.event.timestamp
            for element in self.elements
            if isinstance(element, Heard) and isinstance(element.event, Watermark)
        ]

    @property
    def story(self) -> list[Any]:
        """Records and events as one list: what came between which watermarks."""
        return [element.record if isinstance(element, Arrival) else element.event for element in self.elements]

    def __len__(self) -> int:
        return sum(isinstance(element, Arrival) for element in self.elements)

    def __repr__(self) -> str:
        return f"<Received {len(self)} records>"
