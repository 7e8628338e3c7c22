"""The sending end of a channel: an open buffer, the sealed buffers that wait for credit, and the link to the receiver.

    records ──► open buffer ──seal──► sealed queue ──credit──► link ──► input gate of the consumer

A buffer is sealed when it is full, when its time-out expires, when an event follows it, and when the node would go idle. One credit
sends one buffer. Events need no credit, and keep their place in the queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from actorflow.ids import ChannelId
from actorflow.protocol.credit import SenderLedger
from actorflow.runtime.input_gate import InputGate
from actorflow.runtime.links import TOO_LARGE
from actorflow.wire.batch import Batch, ChannelEvent, ColumnBatch, Element, ObjectBatch, halves


class Link(Protocol):
    """How elements reach the receiving end."""

    def send(self, element: Element, backlog: int) -> int:
        """Send one element; return the bytes it took on the wire (0 within a node), or `TOO_LARGE` for a batch that has to be cut."""
        ...


class DirectLink:
    """To a gate on the same thread: the element is handed over by reference."""

    __slots__ = ("_gate", "_index")

    def __init__(self, gate: InputGate, index: int) -> None:
        self._gate = gate
        self._index = index

    def send(self, element: Element, backlog: int) -> int:
        """Push the element into the gate."""
        self._gate.push(self._index, element, backlog)
        return 0


class PostedLink:
    """To a gate of the same node that lives on another thread: by reference too, as a message to its subtask."""

    __slots__ = ("_gate", "_index", "_post")

    def __init__(self, gate: InputGate, index: int, post: Callable[[Callable[[], None]], None]) -> None:
        self._gate = gate
        self._index = index
        self._post = post

    def send(self, element: Element, backlog: int) -> int:
        """Have the consumer's thread push the element into its gate."""
        self._post(lambda: self._gate.push(self._index, element, backlog))
        return 0


class Lane:
    """One lane of an exchange.

    Args:
        channel: the channel's id.
        link: where elements go.
        batch_records_max: records in a full buffer; the receiver may ask for fewer.
        waiting_max: sealed buffers that may wait for credit before the lane counts as exhausted.
        overdraft_max: buffers that a burst may add on top.

    Attributes:
        records: the open buffer.
        timestamps: event times of the open buffer; empty when the pipeline has none.
    """

    __slots__ = (
        "_ledger",
        "_link",
        "_queue",
        "batch_records_max",
        "bytes_sent",
        "channel",
        "records",
        "records_sent",
        "timestamps",
    )

    def __init__(self, channel: ChannelId, link: Link, *, batch_records_max: int, waiting_max: int, overdraft_max: int) -> None:
        self.channel = channel
        self.batch_records_max = batch_records_max
        self.records: list[Any] = []
        self.timestamps: list[int] = []
        self.records_sent = 0
        self.bytes_sent = 0
        self._link = link
        self._ledger = SenderLedger(waiting_max=waiting_max, overdraft_max=overdraft_max)
        self._queue: deque[Element] = deque()

    @property
    def exhausted(self) -> bool:
        """Whether the producer has to wait before it adds more."""
        return self._ledger.exhausted

    @property
    def clear(self) -> bool:
        """Whether a buffer would be sent at once: nothing waits before it, and there is credit."""
        return not self._queue and self._ledger.available > 0

    @property
    def waiting(self) -> int:
        """Sealed elements that wait for credit."""
        return len(self._queue)

    @property
    def credit(self) -> int:
        """Buffers that the receiver can take now."""
        return self._ledger.available

    def granted(self, credit: int, batch_records_max: int) -> None:
        """Take credit from the receiver, which wants at most so many records in a buffer, and send what it allows."""
        self._ledger.granted(credit)
        self.batch_records_max = batch_records_max
        self.drain()

    def add(self, batch: Batch) -> None:
        """Add a whole batch. A large one is queued as it is; small ones are collected into the open buffer."""
        if isinstance(batch, ColumnBatch) or (not self.records and 2 * len(batch.records) >= self.batch_records_max):
            self.seal()
            self._queue.append(batch)
            return
        self.extend(batch.records, batch.timestamps)

    def extend(self, records: Iterable[Any], timestamps: Iterable[int] | None) -> None:
        """Add records to the open buffer. A buffer holds records with timestamps or without, never both."""
        if timestamps is None:
            if self.timestamps:
                self.seal()
            self.records.extend(records)
            return
        if len(self.timestamps) != len(self.records):
            self.seal()
        self.records.extend(records)
        self.timestamps.extend(timestamps)

    def seal(self) -> None:
        """Close the open buffer and queue it, if there is anything in it. An overlong one is cut into full buffers."""
        if not self.records:
            return
        records, timestamps, size = self.records, self.timestamps, self.batch_records_max
        for start in range(0, len(records), size) if len(records) >= 2 * size else (0,):
            stop = start + size if len(records) >= 2 * size else len(records)
            self._queue.append(ObjectBatch(records[start:stop], timestamps[start:stop] if timestamps else None))
        self.records = []
        self.timestamps = []

    def event(self, event: ChannelEvent) -> None:
        """Send an event behind everything that was added before."""
        self.seal()
        self._queue.append(event)

    def drain(self) -> None:
        """Send what credit allows."""
        queue, ledger = self._queue, self._ledger
        while queue:
            element = queue[0]
            if isinstance(element, ObjectBatch | ColumnBatch):
                if not ledger.available:
                    ledger.waiting(len(queue))
                    return
                queue.popleft()
                ledger.sent(len(queue))  # before it leaves: the receiver, if it is on this thread, may grant more while it is told
                sent_bytes = self._link.send(element, len(queue))
                if sent_bytes == TOO_LARGE:
                    ledger.granted(1)
                    queue.extendleft(reversed(halves(element)))
                    continue
                self.records_sent += len(element)
                self.bytes_sent += sent_bytes
            else:
                queue.popleft()
                self._link.send(element, len(queue))
