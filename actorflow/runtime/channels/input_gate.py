"""The input gate of a subtask: one queue for each input channel, and the choice of what to take next.

Channels that hold something take turns. Every batch that was taken frees its buffer; the ledger says which channels get the credit for
it, and the gate tells their producers. Nothing here blocks: credits bound what can be queued.

The gate belongs to one thread. What comes from another thread is handed to the subtask as a message first (see `lanes.PostedLink`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from actorflow.ids import ChannelId
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.runtime.channels.links import ReceivedBatch
from actorflow.wire.batch import ColumnBatch, Element, ObjectBatch

Arrival = Element | ReceivedBatch
"""What can wait in a gate: an element by reference, or a batch as it came over the wire."""

Announce = Callable[[int, int], None]
"""Tells a producer: so many more buffers, each of at most so many records."""


class InputChannel:
    """The receiving end of one channel.

    Attributes:
        id: the channel's id in the execution graph.
        port: which input of the operator it feeds.
        queue: what has arrived and was not taken yet.
        announce: tells the producer of new credit.
        ended: whether the end of input was taken from it.
    """

    __slots__ = ("announce", "ended", "id", "port", "queue")

    def __init__(self, channel: ChannelId, port: int, announce: Announce) -> None:
        self.id = channel
        self.port = port
        self.queue: deque[Arrival] = deque()
        self.announce = announce
        self.ended = False


class InputGate:
    """All input channels of a subtask.

    Args:
        channels: in the order of the execution graph.
        ledger: whose credit is where; its channel numbers are positions in `channels`.
        wake: called when the gate was empty and is not any more.
    """

    def __init__(self, channels: Sequence[InputChannel], ledger: ReceiverLedger, wake: Callable[[], None]) -> None:
        self.channels = list(channels)
        self._ledger = ledger
        self._ready: deque[int] = deque()
        self._blocked: dict[int, None] = {}
        self._wake = wake
        self._open = len(self.channels)
        self.batch_records_max = 0
        self.on_push: Callable[[int, Arrival], None] | None = None
        """Called with whatever arrives, and its channel's index, before its turn."""
        self.closing: tuple[Callable[[], None], ...] = ()
        """What frees what its channels are filled from."""

    def open(self, batch_records_max: int) -> None:
        """Grant the first credits, for buffers of at most `batch_records_max` records."""
        self.batch_records_max = batch_records_max
        self._announce(self._ledger.opening_grants())

    def push(self, index: int, element: Arrival, backlog: int) -> None:
        """Take in what arrived on channel `index`, whose producer holds `backlog` more buffers."""
        queue = self.channels[index].queue
        queue.append(element)
        if len(queue) == 1 and index not in self._blocked:
            if not self._ready:
                self._wake()
            self._ready.append(index)
        if self.on_push is not None:
            self.on_push(index, element)
        if isinstance(element, ObjectBatch | ColumnBatch | ReceivedBatch):
            grants = self._ledger.received(ChannelId(index), backlog)
            if grants:
                self._announce(grants)  # last: a producer on this thread pushes more while it is told

    def take(self) -> tuple[int, Arrival] | None:
        """Return the next element and its channel's index, or None if nothing is there."""
        if not self._ready:
            return None
        index = self._ready.popleft()
        queue = self.channels[index].queue
        element = queue.popleft()
        if queue:
            self._ready.append(index)
        return index, element

    def remove(self, index: int, element: Arrival) -> None:
        """Take an event out of the queue of a channel before its turn."""
        queue = self.channels[index].queue
        place = next(place for place, queued in enumerate(queue) if queued is element)
        del queue[place]
        if not queue and index in self._ready:
            self._ready.remove(index)

    def block(self, index: int) -> None:
        """Take nothing more from a channel. What comes is queued; credit bounds it."""
        self._blocked[index] = None
        if index in self._ready:
            self._ready.remove(index)

    def unblock(self) -> None:
        """Take from all channels again."""
        waiting = [index for index in self._blocked if self.channels[index].queue]
        self._blocked = {}
        if waiting and not self._ready:
            self._wake()
        self._ready.extend(waiting)

    def consumed(self, index: int) -> None:
        """Free the buffer of a batch that was taken from channel `index`."""
        grants = self._ledger.consumed(ChannelId(index))
        if grants:
            self._announce(grants)

    def end(self, index: int) -> bool:
        """Note that channel `index` has ended; return whether all have."""
        channel = self.channels[index]
        assert not channel.ended, f"channel {channel.id} ended twice"
        channel.ended = True
        self._open -= 1
        self._announce(self._ledger.closed(ChannelId(index)))
        return self._open == 0

    @property
    def has_input(self) -> bool:
        """Whether `take` would return something."""
        return bool(self._ready)

    @property
    def buffers_in_flight(self) -> int:
        """Buffers that hold data, or that producers have credit for."""
        return sum(channel.credit + channel.held for channel in self._ledger.observe().channels)

    def close(self) -> None:
        """Free what its channels are filled from."""
        for close in self.closing:
            close()

    def queued(self) -> int:
        """Return the number of elements that wait in all channels."""
        return sum(len(channel.queue) for channel in self.channels)

    def _announce(self, grants: Sequence[tuple[int, int]]) -> None:
        for index, credit in grants:
            channel = self.channels[index]
            if not channel.ended:
                channel.announce(credit, self.batch_records_max)
