"""Reliable delivery of control messages: each once, in order, as long as both ends live.

The transport keeps order and may lose. What must not be lost goes through a `ReliableSender`, which numbers messages, keeps them
until they are acknowledged and sends them again with growing pauses, and a `ReliableReceiver`, which puts them in order, drops
doubles and acknowledges.

    message:  waiting ──window has room──► in flight ──acknowledged──► gone
                  └──────────┬───────────────┘ ▲ │ resend
                             │                 └─┘
                             └──peer lost, or started anew──► reported as `Undelivered`

A stream is the pair of one incarnation of the sender and one of the receiver. When either starts anew, the old stream is over: what
it had not delivered is reported, never carried over, because it was meant for someone who is gone.

A message that cannot be encoded is reported at once, and takes no number: the ones behind it are not held up.

Both ends are told of lost peers and forget their streams; they remember the last `LOST_KEPT_MAX` lost incarnations, so that what these
sent long ago begins no stream again.

Late rule: envelopes and acknowledgements of another stream are dropped; an envelope that was delivered before is only acknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from actorflow.errors import FrameRefused, describe
from actorflow.ids import Address
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.wire.message import Message

LOST_KEPT_MAX = 1024


class Envelope(Message, frozen=True):
    """Sender to receiver: message number `sequence` (from 1) of the stream between these incarnations, encoded."""

    sender: Address
    sender_incarnation: int
    receiver_incarnation: int
    sequence: int
    payload: bytes


class Acknowledged(Message, frozen=True):
    """Receiver to sender: every message of the stream up to number `through` has been delivered."""

    receiver: Address
    sender_incarnation: int
    receiver_incarnation: int
    through: int


@dataclass(frozen=True, slots=True)
class SendReliably:
    """To a sender: deliver `message` to the peer at `to`."""

    to: Address
    message: Message


@dataclass(frozen=True, slots=True)
class PeerStarted:
    """To a sender: the peer lives in this incarnation (it has registered)."""

    peer: Address
    incarnation: int


@dataclass(frozen=True, slots=True)
class PeerLost:
    """To a sender or a receiver: this incarnation of the peer is dead."""

    peer: Address
    incarnation: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """Reported by a receiver: the next message of `sender`."""

    sender: Address
    message: Message


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Reported by a sender: the message may or may not have reached the peer, and will not be sent again."""

    to: Address
    message: Message
    reason: str


@dataclass(frozen=True, slots=True)
class EnvelopeRefused:
    """Reported by a receiver: a message that this node cannot decode. It counts as delivered, so that the ones behind it can be."""

    sender: Address
    reason: str


@dataclass(slots=True)
class _Outgoing:
    """A stream at its sender."""

    incarnation: int
    pause_s: float
    sequence: int = 0
    """Of the last message that was sent."""
    acknowledged: int = 0
    """Of the last message that is known to have been delivered."""
    in_flight: dict[int, tuple[Message, bytes]] = field(default_factory=dict)
    waiting: deque[tuple[Message, bytes]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class OutgoingStream:
    """One peer in `ReliableSender.observe`."""

    peer: Address
    incarnation: int
    acknowledged: int
    in_flight: int
    waiting: int


class ReliableSender:
    """Keeps and resends what has not been acknowledged, for any number of peers.

    Args:
        address: of the machine that sends; acknowledgements come there.
        incarnation: rises each time this machine starts anew.
        encode: turns a message into bytes, once, however often it is sent. What it raises makes the message undelivered.
        window_max: most messages in flight to one peer.
        waiting_max: most messages that wait behind the window of one peer; more are undelivered at once.
        resend_after_s: first pause before sending again; doubles with each resend without progress.
        resend_max_s: longest pause.
    """

    def __init__(
        self,
        address: Address,
        incarnation: int,
        encode: Callable[[Message], bytes],
        *,
        window_max: int = 64,
        waiting_max: int = 10_000,
        resend_after_s: float = 0.2,
        resend_max_s: float = 5.0,
    ) -> None:
        self._address = address
        self._incarnation = incarnation
        self._encode = encode
        self._window_max = window_max
        self._waiting_max = waiting_max
        self._resend_after_s = resend_after_s
        self._resend_max_s = resend_max_s
        self._streams: dict[Address, _Outgoing] = {}
        self._lost: dict[Address, int] = {}

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take `SendReliably`, `PeerStarted`, `PeerLost`, `Acknowledged` or a timer."""
        match event:
            case SendReliably(to, message):
                return self.send(to, message, now)
            case Acknowledged():
                return self._acknowledged(event, now)
            case TimerFired(name):
                return self._resend(name, now)
            case PeerStarted(peer, incarnation):
                return self._peer_started(peer, incarnation)
            case PeerLost(peer, incarnation):
                return self._peer_lost(peer, incarnation)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def send(self, to: Address, message: Message, now: float) -> list[Effect]:
        """Send `message` now, or when the window has room."""
        stream = self._streams.get(to)
        if stream is None:
            return [Report(Undelivered(to, message, f"{to} is not known to live"))]
        if len(stream.waiting) >= self._waiting_max:
            return [Report(Undelivered(to, message, f"{self._waiting_max} messages wait for {to} already"))]
        try:
            payload = self._encode(message)
        except Exception as error:
            return [Report(Undelivered(to, message, f"it cannot be encoded: {describe(error)}"))]
        stream.waiting.append((message, payload))
        return self._fill_window(to, stream, now)

    def owns_timer(self, name: str) -> bool:
        """Return whether a timer of this name is for this machine to handle."""
        return name.startswith("resend:")

    def _fill_window(self, peer: Address, stream: _Outgoing, now: float) -> list[Effect]:
        effects: list[Effect] = []
        was_empty = not stream.in_flight
        while stream.waiting and len(stream.in_flight) < self._window_max:
            stream.sequence += 1
            stream.in_flight[stream.sequence] = stream.waiting.popleft()
            effects.append(self._envelope(peer, stream, stream.sequence))
        if was_empty and effects:
            effects.append(SetTimer(_timer(peer), now + stream.pause_s))
        return effects

    def _envelope(self, peer: Address, stream: _Outgoing, sequence: int) -> Effect:
        payload = stream.in_flight[sequence][1]
        return Send(peer, Envelope(self._address, self._incarnation, stream.incarnation, sequence, payload))

    def _acknowledged(self, ack: Acknowledged, now: float) -> list[Effect]:
        stream = self._streams.get(ack.receiver)
        if stream is None or (ack.sender_incarnation, ack.receiver_incarnation) != (self._incarnation, stream.incarnation):
            return []
        done = [sequence for sequence in stream.in_flight if sequence <= ack.through]
        if not done:
            return []
        for sequence in done:
            del stream.in_flight[sequence]
        stream.acknowledged = done[-1]
        stream.pause_s = self._resend_after_s
        timer = _timer(ack.receiver)
        effects: list[Effect] = [SetTimer(timer, now + stream.pause_s) if stream.in_flight else CancelTimer(timer)]
        return effects + self._fill_window(ack.receiver, stream, now)

    def _resend(self, timer: str, now: float) -> list[Effect]:
        for peer, stream in self._streams.items():
            if _timer(peer) == timer and stream.in_flight:
                stream.pause_s = min(2 * stream.pause_s, self._resend_max_s)
                again = [self._envelope(peer, stream, sequence) for sequence in stream.in_flight]
                return [*again, SetTimer(timer, now + stream.pause_s)]
        return []

    def _peer_started(self, peer: Address, incarnation: int) -> list[Effect]:
        stream = self._streams.get(peer)
        known = stream.incarnation if stream else self._lost.get(peer, -1)
        if incarnation <= known:
            return []
        effects = self._close(peer, f"{peer} was started anew") if stream else []
        self._lost.pop(peer, None)
        self._streams[peer] = _Outgoing(incarnation, self._resend_after_s)
        return effects

    def _peer_lost(self, peer: Address, incarnation: int) -> list[Effect]:
        stream = self._streams.get(peer)
        if stream is not None and stream.incarnation > incarnation:
            return []
        _remember(self._lost, peer, incarnation)
        return self._close(peer, f"{peer} is lost") if stream is not None else []

    def _close(self, peer: Address, reason: str) -> list[Effect]:
        stream = self._streams.pop(peer)
        left = [*stream.in_flight.values(), *stream.waiting]
        return [CancelTimer(_timer(peer)), *(Report(Undelivered(peer, message, reason)) for message, _ in left)]

    def observe(self) -> tuple[OutgoingStream, ...]:
        """Return the streams as values."""
        return tuple(
            OutgoingStream(peer, stream.incarnation, stream.acknowledged, len(stream.in_flight), len(stream.waiting))
            for peer, stream in self._streams.items()
        )

    def check(self) -> None:
        """State that what is in flight has no gaps, fits the window, and that nobody waits for room that is there."""
        for peer, stream in self._streams.items():
            ensure(
                list(stream.in_flight) == list(range(stream.acknowledged + 1, stream.sequence + 1)),
                f"gaps in flight to {peer}: {list(stream.in_flight)}",
            )
            ensure(len(stream.in_flight) <= self._window_max, f"{len(stream.in_flight)} in flight to {peer}")
            ensure(
                not stream.waiting or len(stream.in_flight) == self._window_max, f"messages wait for {peer} and the window has room"
            )
            ensure(stream.incarnation > self._lost.get(peer, -1), f"a stream to a lost incarnation of {peer}")
            ensure(self._resend_after_s <= stream.pause_s <= self._resend_max_s, f"pause of {stream.pause_s} s for {peer}")


@dataclass(slots=True)
class _Incoming:
    """A stream at its receiver."""

    incarnation: int
    delivered: int = 0
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
    """

    def __init__(self, address: Address, incarnation: int, decode: Callable[[bytes], Message], *, window_max: int = 64) -> None:
        self._address = address
        self._incarnation = incarnation
        self._decode = decode
        self._window_max = window_max
        self._streams: dict[Address, _Incoming] = {}
        self._lost: dict[Address, int] = {}

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - receiving does not depend on time
        """Take an `Envelope` or `PeerLost`."""
        match event:
            case Envelope():
                return self._arrived(event)
            case PeerLost(peer, incarnation):
                self._forget(peer, incarnation)
                return []
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _forget(self, peer: Address, incarnation: int) -> None:
        stream = self._streams.get(peer)
        if stream is None or stream.incarnation <= incarnation:
            self._streams.pop(peer, None)
            _remember(self._lost, peer, incarnation)

    def _arrived(self, event: Envelope) -> list[Effect]:
        if event.receiver_incarnation != self._incarnation or event.sender_incarnation <= self._lost.get(event.sender, -1):
            return []
        stream = self._streams.get(event.sender)
        if stream is None or stream.incarnation < event.sender_incarnation:
            stream = self._streams[event.sender] = _Incoming(event.sender_incarnation)
            self._lost.pop(event.sender, None)
        elif event.sender_incarnation < stream.incarnation:
            return []
        effects: list[Effect] = []
        if stream.delivered < event.sequence <= stream.delivered + self._window_max:
            stream.early[event.sequence] = event.payload
            while (payload := stream.early.pop(stream.delivered + 1, None)) is not None:
                stream.delivered += 1
                effects.append(self._open(event.sender, payload))
        ack = Acknowledged(self._address, event.sender_incarnation, self._incarnation, stream.delivered)
        return [*effects, Send(event.sender, ack)]

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
        """State that only messages beyond the next one are kept, within the window."""
        for sender, stream in self._streams.items():
            for sequence in stream.early:
                within = stream.delivered + 1 < sequence <= stream.delivered + self._window_max
                ensure(within, f"message {sequence} of {sender} is kept after {stream.delivered} were delivered")
            ensure(stream.incarnation > self._lost.get(sender, -1), f"a stream of a lost incarnation of {sender}")


def _remember(lost: dict[Address, int], peer: Address, incarnation: int) -> None:
    """Note that an incarnation is dead, as the latest news; forget the oldest if there are too many."""
    lost[peer] = max(incarnation, lost.pop(peer, -1))
    if len(lost) > LOST_KEPT_MAX:
        del lost[next(iter(lost))]


def _timer(peer: Address) -> str:
    return f"resend:{peer}"
