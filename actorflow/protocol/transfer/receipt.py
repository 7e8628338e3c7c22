"""The receiving end of reliable delivery; `delivery` has the contract and the messages.

    message:  arrived ──next in order──► delivered ──► acknowledged, with what else comes within `acknowledge_after_s`
                 └──early──► kept until those before it have come          a question ──► answered at once

Late rule: see `delivery`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from actorflow.errors import FrameRefused
from actorflow.ids import Address
from actorflow.protocol.machine import Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.transfer.delivery import (
    WINDOW_MAX,
    Acknowledged,
    ConfirmDelivery,
    Delivered,
    Envelope,
    EnvelopeRefused,
    PeerLost,
    remember,
)
from actorflow.wire.message import Message

_ACKNOWLEDGE = "delivery:acknowledge"
"""One timer for all streams."""


@dataclass(slots=True)
class _Incoming:
    """A stream at its receiver."""

    incarnation: int
    delivered: int = 0
    unacknowledged: int = 0
    """Messages that were delivered since the last acknowledgement."""
    early: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IncomingStream:
    """One sender in `ReliableReceiver.observe`. `early` are the numbers that wait for one before them."""

    sender: Address
    incarnation: int
    delivered: int
    early: tuple[int, ...]


class ReliableReceiver:
    """Delivers each message of each stream once, in order.

    Args:
        address: of the machine that receives.
        incarnation: rises each time this machine starts anew.
        decode: turns bytes into a message; raises `FrameRefused` if it cannot.
        window_max: most messages kept that came too early; at least the window of the senders.
        acknowledge_after_s: how long an acknowledgement waits for more to acknowledge; shorter than senders wait before they ask.
    """

    def __init__(
        self,
        address: Address,
        incarnation: int,
        decode: Callable[[bytes], Message],
        *,
        window_max: int = WINDOW_MAX,
        acknowledge_after_s: float = 0.2,
    ) -> None:
        self._address = address
        self._incarnation = incarnation
        self._decode = decode
        self._window_max = window_max
        self._acknowledge_after_s = acknowledge_after_s
        self._streams: dict[Address, _Incoming] = {}
        self._owed: dict[Address, None] = {}
        """Senders that an acknowledgement is due to."""
        self._timer_set = False
        self._lost: dict[Address, int] = {}

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take an `Envelope`, a `ConfirmDelivery`, `PeerLost` or a timer."""
        match event:
            case Envelope():
                return self.arrived(event, now)
            case ConfirmDelivery():
                stream = self._stream(event)
                return [self._acknowledgement(event.sender, stream, event.through)] if stream is not None else []
            case PeerLost(peer, incarnation):
                self._forget(peer, incarnation)
                return []
            case TimerFired():
                return self._acknowledge()
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def owns_timer(self, name: str) -> bool:
        """Return whether a timer of this name is for this machine to handle."""
        return name == _ACKNOWLEDGE

    def _forget(self, peer: Address, incarnation: int) -> None:
        stream = self._streams.get(peer)
        if stream is None or stream.incarnation <= incarnation:
            self._streams.pop(peer, None)
            self._owed.pop(peer, None)
            remember(self._lost, peer, incarnation)

    def _stream(self, event: Envelope | ConfirmDelivery) -> _Incoming | None:
        """Return the stream of what has come; a new one if its sender has begun anew, None if this is of another."""
        if event.receiver_incarnation != self._incarnation:
            return None
        stream = self._streams.get(event.sender)
        if stream is not None and stream.incarnation == event.sender_incarnation:
            return stream
        if event.sender_incarnation <= self._lost.get(event.sender, -1):
            return None
        if stream is None or stream.incarnation < event.sender_incarnation:
            stream = self._streams[event.sender] = _Incoming(event.sender_incarnation)
            self._lost.pop(event.sender, None)
            return stream
        return None

    def arrived(self, event: Envelope, now: float) -> list[Effect]:
        """Take an envelope."""
        stream = self._stream(event)
        if stream is None:
            return []
        effects: list[Effect] = []
        if event.sequence == stream.delivered + 1 and not stream.early:  # as nearly always
            stream.delivered += 1
            stream.unacknowledged += 1
            effects.append(self._open(event.sender, event.payload))
        elif stream.delivered < event.sequence <= stream.delivered + self._window_max:
            stream.early[event.sequence] = event.payload
            while (payload := stream.early.pop(stream.delivered + 1, None)) is not None:
                stream.delivered += 1
                stream.unacknowledged += 1
                effects.append(self._open(event.sender, payload))
        if 2 * stream.unacknowledged >= self._window_max:
            effects.append(self._acknowledgement(event.sender, stream))
        else:
            self._owed[event.sender] = None
            if not self._timer_set:
                self._timer_set = True
                effects.append(SetTimer(_ACKNOWLEDGE, now + self._acknowledge_after_s))
        return effects

    def _acknowledge(self) -> list[Effect]:
        self._timer_set = False
        owed, self._owed = self._owed, {}
        return [self._acknowledgement(sender, self._streams[sender]) for sender in owed]

    def _acknowledgement(self, sender: Address, stream: _Incoming, asked: int = 0) -> Effect:
        self._owed.pop(sender, None)
        stream.unacknowledged = 0
        return Send(sender, Acknowledged(self._address, stream.incarnation, self._incarnation, stream.delivered, asked))

    def _open(self, sender: Address, payload: bytes) -> Effect:
        try:
            return Report(Delivered(sender, self._decode(payload)))
        except FrameRefused as error:
            return Report(EnvelopeRefused(sender, str(error)))

    def observe(self) -> tuple[IncomingStream, ...]:
        """Return the streams as values."""
        return tuple(
            IncomingStream(sender, stream.incarnation, stream.delivered, tuple(stream.early))
            for sender, stream in self._streams.items()
        )

    def check(self) -> None:
        """State that only messages beyond the next one are kept, within the window, and that what was delivered will be acknowledged."""
        for sender, stream in self._streams.items():
            for sequence in stream.early:
                within = stream.delivered + 1 < sequence <= stream.delivered + self._window_max
                ensure(within, f"message {sequence} of {sender} is kept after {stream.delivered} were delivered")
            ensure(stream.incarnation > self._lost.get(sender, -1), f"a stream of a lost incarnation of {sender}")
            due = sender in self._owed and self._timer_set
            ensure(due or not stream.unacknowledged, f"{sender} will not hear that {stream.delivered} has been delivered")
