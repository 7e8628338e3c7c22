"""Reliable delivery of control messages: each once, in order, as long as both ends live.

The transport keeps order and may lose. What must not be lost goes through a `ReliableSender`, which numbers messages, keeps them until
they are acknowledged and sends again what was lost, and a `ReliableReceiver` (`receipt`), which puts them in order, drops doubles and
acknowledges.

    message:  waiting ──window has room──► in flight ──acknowledged──► gone
                  └──────────┬───────────────┘ ▲ │ missing, the peer says
                             │                 └─┘
                             └──peer lost, or started anew──► reported as `Undelivered`

Silence says nothing: the thread of a peer may be busy with user code for minutes, and what was sent may be large. So a sender that waits for an
acknowledgement asks, with growing pauses, what has come (`ConfirmDelivery`), and sends again only what the answer lacks. The
receiver acknowledges once for all that came within `acknowledge_after_s`, or half a window of it.

A stream is the pair of one incarnation of the sender and one of the receiver. When either starts anew, the old stream is over: what
it had not delivered is reported, never carried over, because it was meant for someone who is gone.

A message that cannot be encoded, or is too large to be sent, is reported at once, and takes no number: the ones behind it are not held up.

Both ends are told of lost peers and forget their streams; they remember the last `LOST_KEPT_MAX` lost incarnations, so that what these
sent long ago begins no stream again.

Late rule: envelopes, questions and acknowledgements of another stream are dropped; an envelope that was delivered before is only
acknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from actorflow.errors import describe
from actorflow.ids import Address
from actorflow.protocol.machine import Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.wire.message import Message

LOST_KEPT_MAX = 1024

WINDOW_MAX = 64
"""Messages in flight to one peer, unless said otherwise."""

_CONFIRM = "delivery:confirm"
"""One timer for all streams: most messages are acknowledged before it fires."""


class Envelope(Message, frozen=True, gc=False):
    """Sender to receiver: message number `sequence` (from 1) of the stream between these incarnations, encoded."""

    sender: Address
    sender_incarnation: int
    receiver_incarnation: int
    sequence: int
    payload: bytes


class ConfirmDelivery(Message, frozen=True, gc=False):
    """Sender to receiver: say what has come of the messages up to number `through` of the stream."""

    sender: Address
    sender_incarnation: int
    receiver_incarnation: int
    through: int


class Acknowledged(Message, frozen=True, gc=False):
    """Receiver to sender: every message of the stream up to number `through` has been delivered.

    `asked` is the number in the question that this answers, or 0: what lies between the two has not come, and will not.
    """

    receiver: Address
    sender_incarnation: int
    receiver_incarnation: int
    through: int
    asked: int = 0


DELIVERY_MESSAGES: tuple[type[Message], ...] = (Envelope, ConfirmDelivery, Acknowledged)
"""The messages between senders and receivers."""


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
    ask_at_s: float = 0.0
    """When to ask for what is in flight, if anything is."""
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
    """Keeps what has not been acknowledged, and sends again what was lost, for any number of peers.

    Args:
        address: of the machine that sends; acknowledgements come there.
        incarnation: rises each time this machine starts anew.
        encode: turns a message into bytes, once, however often it is sent. What it raises makes the message undelivered.
        window_max: most messages in flight to one peer.
        waiting_max: most messages that wait behind the window of one peer; more are undelivered at once.
        payload_bytes_max: larger messages are undelivered at once.
        confirm_after_s: first pause before asking a peer what has come; doubles with each question, until there is progress.
        confirm_max_s: longest pause.
    """

    def __init__(
        self,
        address: Address,
        incarnation: int,
        encode: Callable[[Message], bytes],
        *,
        window_max: int = WINDOW_MAX,
        waiting_max: int = 10_000,
        payload_bytes_max: int = 1 << 30,
        confirm_after_s: float = 0.5,
        confirm_max_s: float = 30.0,
    ) -> None:
        self._address = address
        self._incarnation = incarnation
        self._encode = encode
        self._window_max = window_max
        self._waiting_max = waiting_max
        self._payload_bytes_max = payload_bytes_max
        self._confirm_after_s = confirm_after_s
        self._confirm_max_s = confirm_max_s
        self._streams: dict[Address, _Outgoing] = {}
        self._unconfirmed: dict[Address, None] = {}
        """Peers that messages are in flight to."""
        self._timer_set = False
        self._lost: dict[Address, int] = {}

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take `SendReliably`, `PeerStarted`, `PeerLost`, `Acknowledged` or a timer."""
        match event:
            case SendReliably(to, message):
                return self.send(to, message, now)
            case Acknowledged():
                return self._acknowledged(event, now)
            case TimerFired():
                return self._ask(now)
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
        if len(payload) > self._payload_bytes_max:
            reason = f"it has {len(payload)} bytes, and the limit is {self._payload_bytes_max}"
            return [Report(Undelivered(to, message, reason))]
        if stream.in_flight and len(stream.in_flight) < self._window_max:  # as nearly always: nothing waits, and the timer is set
            stream.sequence += 1
            stream.in_flight[stream.sequence] = message, payload
            return [Send(to, Envelope(self._address, self._incarnation, stream.incarnation, stream.sequence, payload))]
        stream.waiting.append((message, payload))
        return self._fill_window(to, stream, now)

    def writes_to(self, peer: Address, incarnation: int) -> bool:
        """Return whether there is a stream to this incarnation of `peer`."""
        stream = self._streams.get(peer)
        return stream is not None and stream.incarnation == incarnation

    def busy(self, peer: Address) -> bool:
        """Return whether messages wait because the window of `peer` has no room."""
        stream = self._streams.get(peer)
        return stream is not None and bool(stream.waiting)

    def owns_timer(self, name: str) -> bool:
        """Return whether a timer of this name is for this machine to handle."""
        return name == _CONFIRM

    def _fill_window(self, peer: Address, stream: _Outgoing, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if not stream.in_flight:
            stream.ask_at_s = now + stream.pause_s
        while stream.waiting and len(stream.in_flight) < self._window_max:
            stream.sequence += 1
            stream.in_flight[stream.sequence] = stream.waiting.popleft()
            effects.append(self._envelope(peer, stream, stream.sequence))
        if stream.in_flight:
            self._unconfirmed[peer] = None
            if not self._timer_set:
                self._timer_set = True
                effects.append(SetTimer(_CONFIRM, now + self._confirm_after_s))
        else:
            self._unconfirmed.pop(peer, None)
        return effects

    def _envelope(self, peer: Address, stream: _Outgoing, sequence: int) -> Effect:
        payload = stream.in_flight[sequence][1]
        return Send(peer, Envelope(self._address, self._incarnation, stream.incarnation, sequence, payload))

    def _acknowledged(self, ack: Acknowledged, now: float) -> list[Effect]:
        peer = ack.receiver
        stream = self._streams.get(peer)
        if stream is None or (ack.sender_incarnation, ack.receiver_incarnation) != (self._incarnation, stream.incarnation):
            return []
        done = [sequence for sequence in stream.in_flight if sequence <= ack.through]
        for sequence in done:
            del stream.in_flight[sequence]
        if done:
            stream.acknowledged = done[-1]
            stream.pause_s = self._confirm_after_s
            stream.ask_at_s = now + stream.pause_s
        missing = [self._envelope(peer, stream, sequence) for sequence in stream.in_flight if sequence <= ack.asked]
        return [*missing, *self._fill_window(peer, stream, now)]

    def _ask(self, now: float) -> list[Effect]:
        """Ask those who have not confirmed for long what has come; look again when the next may be due."""
        effects: list[Effect] = []
        for peer in self._unconfirmed:
            stream = self._streams[peer]
            if now >= stream.ask_at_s:
                stream.pause_s = min(2 * stream.pause_s, self._confirm_max_s)
                stream.ask_at_s = now + stream.pause_s
                effects.append(Send(peer, ConfirmDelivery(self._address, self._incarnation, stream.incarnation, stream.sequence)))
        self._timer_set = bool(self._unconfirmed)
        if self._timer_set:
            effects.append(SetTimer(_CONFIRM, now + self._confirm_after_s))
        return effects

    def _peer_started(self, peer: Address, incarnation: int) -> list[Effect]:
        stream = self._streams.get(peer)
        known = stream.incarnation if stream else self._lost.get(peer, -1)
        if incarnation <= known:
            return []
        effects = self._close(peer, f"{peer} was started anew") if stream else []
        self._lost.pop(peer, None)
        self._streams[peer] = _Outgoing(incarnation, self._confirm_after_s)
        return effects

    def _peer_lost(self, peer: Address, incarnation: int) -> list[Effect]:
        stream = self._streams.get(peer)
        if stream is not None and stream.incarnation > incarnation:
            return []
        remember(self._lost, peer, incarnation)
        return self._close(peer, f"{peer} is lost") if stream is not None else []

    def _close(self, peer: Address, reason: str) -> list[Effect]:
        stream = self._streams.pop(peer)
        self._unconfirmed.pop(peer, None)
        left = [*stream.in_flight.values(), *stream.waiting]
        return [Report(Undelivered(peer, message, reason)) for message, _ in left]

    def observe(self) -> tuple[OutgoingStream, ...]:
        """Return the streams as values."""
        return tuple(
            OutgoingStream(peer, stream.incarnation, stream.acknowledged, len(stream.in_flight), len(stream.waiting))
            for peer, stream in self._streams.items()
        )

    def check(self) -> None:
        """State that what is in flight has no gaps, fits the window, is asked for, and that nobody waits for room that is there."""
        for peer, stream in self._streams.items():
            ensure(
                list(stream.in_flight) == list(range(stream.acknowledged + 1, stream.sequence + 1)),
                f"gaps in flight to {peer}: {list(stream.in_flight)}",
            )
            ensure(len(stream.in_flight) <= self._window_max, f"{len(stream.in_flight)} in flight to {peer}")
            ensure(
                not stream.waiting or len(stream.in_flight) == self._window_max, f"messages wait for {peer} and the window has room"
            )
            asked = peer in self._unconfirmed and self._timer_set
            ensure(asked or not stream.in_flight, f"{list(stream.in_flight)} are in flight to {peer}, and nobody will ask for them")
            ensure(stream.incarnation > self._lost.get(peer, -1), f"a stream to a lost incarnation of {peer}")
            ensure(self._confirm_after_s <= stream.pause_s <= self._confirm_max_s, f"pause of {stream.pause_s} s for {peer}")
        for peer in self._unconfirmed:
            ensure(bool(self._streams[peer].in_flight), f"{peer} is asked for what is not in flight")


def remember(lost: dict[Address, int], peer: Address, incarnation: int) -> None:
    """Note that an incarnation is dead, as the latest news; forget the oldest if there are too many."""
    lost[peer] = max(incarnation, lost.pop(peer, -1))
    if len(lost) > LOST_KEPT_MAX:
        del lost[next(iter(lost))]
