"""In which order asynchronous results leave: that of their records, or as they come, but never past a watermark.

Both queues are plain bookkeeping on one thread: calls and watermarks go in at one end, and come out when everything before them has
been given out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol


class Call:
    """One record on its way.

    Attributes:
        record: what the function is called with.
        timestamp: its event time in ms, or None.
        result: what came of it.
        error: what it failed with, or None.
        finished: whether result or error is there.
    """

    __slots__ = ("error", "finished", "record", "result", "timestamp")

    def __init__(self, record: Any, timestamp: int | None) -> None:
        self.record = record
        self.timestamp = timestamp
        self.result: Any = None
        self.error: BaseException | None = None
        self.finished = False


class Results(Protocol):
    """Calls in flight, and the watermarks between them."""

    def add(self, call: Call) -> None:
        """Note a call that is about to start."""
        ...

    def mark(self, watermark: int) -> None:
        """Note a watermark (ms) behind all calls so far."""
        ...

    def settled(self, call: Call) -> None:
        """Note that a call has its result."""
        ...

    def take(self) -> tuple[list[Call], int | None]:
        """Return the calls whose results can leave now, up to the next watermark, and that watermark if all before it have left.

        To be called again as long as it returns a watermark.
        """
        ...

    def __iter__(self) -> Iterator[Call]:
        """Give the calls whose results have not left, in the order in which they were added."""
        ...

    def __len__(self) -> int:
        """Return the number of calls whose results have not left."""
        ...


class OrderedResults:
    """Results leave in the order of their records."""

    def __init__(self) -> None:
        self._queue: deque[Call | int] = deque()
        self._calls = 0

    def add(self, call: Call) -> None:
        """Note a call at the end of the queue."""
        self._queue.append(call)
        self._calls += 1

    def mark(self, watermark: int) -> None:
        """Note a watermark at the end of the queue."""
        self._queue.append(watermark)

    def settled(self, call: Call) -> None:
        """Note that a call has its result; its place in the queue says when it leaves."""
        assert call.finished, "a settled call has finished"

    def take(self) -> tuple[list[Call], int | None]:
        """Return the finished calls at the head of the queue."""
        queue, ready, watermark = self._queue, [], None
        while queue and watermark is None:
            head = queue[0]
            if isinstance(head, int):
                watermark = head
            elif head.finished:
                ready.append(head)
            else:
                break
            queue.popleft()
        self._calls -= len(ready)
        return ready, watermark

    def __iter__(self) -> Iterator[Call]:
        return (entry for entry in self._queue if isinstance(entry, Call))

    def __len__(self) -> int:
        return self._calls


@dataclass(slots=True)
class _Segment:
    """The calls between two watermarks."""

    members: set[Call] = field(default_factory=set)
    finished: list[Call] = field(default_factory=list)
    watermark: int | None = None


class UnorderedResults:
    """Results leave as they come, within the calls between two watermarks."""

    def __init__(self) -> None:
        self._segments: deque[_Segment] = deque([_Segment()])
        self._segment_of: dict[Call, _Segment] = {}

    def add(self, call: Call) -> None:
        """Note a call in the last segment."""
        last = self._segments[-1]
        last.members.add(call)
        self._segment_of[call] = last

    def mark(self, watermark: int) -> None:
        """Close the last segment."""
        self._segments[-1].watermark = watermark
        self._segments.append(_Segment())

    def settled(self, call: Call) -> None:
        """Note that a call has its result."""
        segment = self._segment_of[call]
        segment.members.discard(call)
        segment.finished.append(call)

    def take(self) -> tuple[list[Call], int | None]:
        """Return the finished calls of the first segment."""
        head = self._segments[0]
        ready, head.finished = head.finished, []
        for call in ready:
            del self._segment_of[call]
        if head.members or head.watermark is None:
            return ready, None
        self._segments.popleft()
        return ready, head.watermark

    def __iter__(self) -> Iterator[Call]:
        return iter(self._segment_of)

    def __len__(self) -> int:
        return len(self._segment_of)
