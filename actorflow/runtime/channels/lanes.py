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
from actorflow.protocol.transfer.credit import SenderLedger
from actorflow.runtime.channels.input_gate import InputGate
from actorflow.runtime.channels.links import TOO_LARGE
from actorflow.wire.batch import Barrier, Batch, ChannelEvent, ColumnBatch, Element, ObjectBatch, portions


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
        "_batch_records_first",
        "_batches",
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
        self.batch_records_max = self._batch_records_first = batch_records_max
        self.records: list[Any] = []
        self.timestamps: list[int] = []
        self.records_sent = 0
        self.bytes_sent = 0
        self._link = link
        self._ledger = SenderLedger(waiting_max=waiting_max, overdraft_max=overdraft_max)
        self._queue: deque[Element] = deque()
        self._batches = 0

    @property
    def exhausted(self) -> bool:
        """Whether the producer has to wait before it adds more."""
        return self._ledger.exhausted

    @property
    def overdrawn(self) -> bool:
        """Whether a burst has left more buffers waiting than the overdraft allows."""
        return self._ledger.overdrawn

    @property
    def _small_wanted(self) -> bool:
        """Whether the receiver has asked for smaller buffers than at first: it does not keep pace."""
        return self.batch_records_max < self._batch_records_first

    @property
    def clear(self) -> bool:
        """Whether a buffer would be sent at once: nothing waits before it, and there is credit."""
        return not self._queue and self._ledger.available > 0

    @property
    def waiting(self) -> int:
        """Sealed buffers that wait for credit."""
        return self._batches

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
        """Add a whole batch. Large ones are queued as they are, or cut to the size that the receiver wants; small ones are collected."""
        if isinstance(batch, ColumnBatch):
            self.seal()
            # As long as the receiver keeps pace, columns stay whole: they are fast because they are large.
            self._queue_in_portions(batch, self.batch_records_max if self._small_wanted else len(batch))
        elif not self.records and 2 * len(batch.records) >= self.batch_records_max:
            self._queue_in_portions(batch, self.batch_records_max)
        else:
            self.extend(batch.records, batch.timestamps)

    def _queue_in_portions(self, batch: Batch, size: int) -> None:
        for portion in (batch,) if len(batch) < 2 * size else portions(batch, size):
            self._queue.append(portion)
            self._batches += 1

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
        batch = ObjectBatch(self.records, self.timestamps or None)
        self.records = []
        self.timestamps = []
        self._queue_in_portions(batch, self.batch_records_max)

    def event(self, event: ChannelEvent) -> None:
        """Send an event behind everything that was added before."""
        self.seal()
        self._queue.append(event)

    def overtake(self, barrier: Barrier) -> list[Batch]:
        """Send a barrier before all that waits for credit; return the batches that it has overtaken.

        If the barrier of this checkpoint waits among them, that one is sent now, and has overtaken what stands before it.
        """
        self.seal()
        overtaken: list[Batch] = []
        for position, element in enumerate(self._queue):
            if isinstance(element, ObjectBatch | ColumnBatch):
                overtaken.append(element)
            elif isinstance(element, Barrier) and element.checkpoint_id == barrier.checkpoint_id:
                del self._queue[position]
                break
        self._link.send(barrier, self._batches)
        return overtaken

    def holds(self, checkpoint: int) -> bool:
        """Return whether the barrier of a checkpoint waits behind batches that wait for credit."""
        return any(isinstance(element, Barrier) and element.checkpoint_id == checkpoint for element in self._queue)

    def drain(self) -> None:
        """Send what credit allows."""
        queue, ledger = self._queue, self._ledger
        while queue:
            element = queue[0]
            if isinstance(element, ObjectBatch | ColumnBatch):
                if not ledger.available:
                    break
                queue.popleft()
                self._batches -= 1
                ledger.sent(
                    self._batches
                )  # before it leaves: the receiver, if it is on this thread, may grant more while it is told
                self._send(element)
            else:
                queue.popleft()
                self._link.send(element, self._batches)
        ledger.waiting(self._batches)

    def _send(self, batch: Batch) -> None:
        sent_bytes = self._link.send(batch, self._batches)
        if sent_bytes == TOO_LARGE:
            halves = list(portions(batch, -(-len(batch) // 2)))
            self._queue.extendleft(reversed(halves))
            self._batches += len(halves)
            self._ledger.granted(1)
            return
        self.records_sent += len(batch)
        self.bytes_sent += sent_bytes
