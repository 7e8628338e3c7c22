"""Heartbeats: who is alive, who is suspected, who is dead.

Each node beats to its peers once an interval and judges them by the silence since their last beat:

    ALIVE ──silent for `suspect_after_s`──► SUSPECTED ──silent for `dead_after_s`──► DEAD
      ▲            ◄──────beat──────           │                                      ▲
      │                                        └────────told to be unreachable────────┤ (from ALIVE too)
      └──────────── a higher incarnation beats or is added ◄──────────────────────────┘

Death is final for an incarnation: one that was declared dead, wrongly or not, is told so when it beats (`IncarnationFenced`) and has to
start anew with a higher number, so that nobody acts for it any more once others have taken its work. The dead are beaten to as well,
until they are removed: both sides of a healed partition may have declared each other dead. Suspicion is for people: nothing is taken
away from a suspected peer.

A node that was itself stopped for a while (a suspended laptop, a blocked thread) has heard nobody and must not blame them: what its
own tick is late by does not count as silence.

Late rule: a beat of an older incarnation, or of a peer that is not watched, is dropped; one of a dead incarnation is answered.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from actorflow.ids import Address
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.wire.message import Message

TIMER = "heartbeat"
"""Name of the one timer of a `HeartbeatMonitor`."""


class Heartbeat(Message, frozen=True):
    """This incarnation of `sender` lives."""

    sender: Address
    incarnation: int


class IncarnationFenced(Message, frozen=True):
    """To a node: `by` has declared this incarnation of yours dead. Start anew with a higher one."""

    by: Address
    incarnation: int


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """Watch and beat to `peer`, which lives in this incarnation (it has just been heard)."""

    peer: Address
    incarnation: int


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """Forget `peer`: it has left in good order."""

    peer: Address


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """Someone who knows (its parent process, the operating system) says that this incarnation is gone."""

    peer: Address
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerSuspected:
    """Reported when a peer has been silent for long."""

    peer: Address
    incarnation: int
    silent_s: float


@dataclass(frozen=True, slots=True)
class PeerTrusted:
    """Reported when a suspected peer was heard again."""

    peer: Address
    incarnation: int


@dataclass(frozen=True, slots=True)
class PeerDied:
    """Reported once for an incarnation: it is dead, whatever it says later."""

    peer: Address
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerRestarted:
    """Reported when a peer that was watched lives in a higher incarnation."""

    peer: Address
    incarnation: int


@dataclass(frozen=True, slots=True)
class SelfFenced:
    """Reported when a peer has declared this node's own incarnation dead."""

    by: Address
    incarnation: int


class PeerState(enum.Enum):
    """What is believed of a peer."""

    ALIVE = "alive"
    SUSPECTED = "suspected"
    DEAD = "dead"


@dataclass(slots=True)
class _Peer:
    incarnation: int
    heard_at: float
    state: PeerState = PeerState.ALIVE


@dataclass(frozen=True, slots=True)
class PeerHealth:
    """One peer in `HeartbeatMonitor.observe`. `heard_at` is in seconds on the node's clock."""

    peer: Address
    incarnation: int
    state: PeerState
    heard_at: float


class HeartbeatMonitor:
    """Beats for one node, and judges its peers.

    Args:
        address: of this machine; peers beat to it.
        incarnation: of this node; rises each time it starts anew.
        interval_s: time between two beats, and between two looks at the peers.
        suspect_after_s: silence after which a peer is suspected.
        dead_after_s: silence after which it is dead.
    """

    def __init__(
        self,
        address: Address,
        incarnation: int,
        *,
        interval_s: float = 10.0,
        suspect_after_s: float = 25.0,
        dead_after_s: float = 50.0,
    ) -> None:
        assert interval_s < suspect_after_s <= dead_after_s, "a peer is suspected after a missed beat, and dead after that"
        self._address = address
        self._incarnation = incarnation
        self._interval_s = interval_s
        self._suspect_after_s = suspect_after_s
        self._dead_after_s = dead_after_s
        self._peers: dict[Address, _Peer] = {}
        self._tick_at: float | None = None
        self._judged_at = 0.0

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the messages above."""
        match event:
            case Heartbeat(sender=sender, incarnation=incarnation):
                return self._beat(sender, incarnation, now)
            case TimerFired(name):
                return self._tick(now) if name == TIMER else []
            case PeerAdded(peer, incarnation):
                return self._added(peer, incarnation, now)
            case PeerRemoved(peer):
                return self._removed(peer)
            case PeerUnreachable(peer, incarnation, reason):
                known = self._peers.get(peer)
                return self._declare_dead(peer, known, reason) if known and known.incarnation == incarnation else []
            case IncarnationFenced(by=by, incarnation=incarnation):
                return [Report(SelfFenced(by, incarnation))] if incarnation == self._incarnation else []
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _beat(self, sender: Address, incarnation: int, now: float) -> list[Effect]:
        peer = self._peers.get(sender)
        if peer is None or incarnation < peer.incarnation:
            return []
        if incarnation > peer.incarnation:
            return self._restarted(sender, peer, incarnation, now)
        if peer.state is PeerState.DEAD:
            return [Send(sender, IncarnationFenced(self._address, incarnation))]
        peer.heard_at = now
        if peer.state is PeerState.ALIVE:
            return []
        peer.state = PeerState.ALIVE
        return [Report(PeerTrusted(sender, incarnation))]

    def _added(self, address: Address, incarnation: int, now: float) -> list[Effect]:
        peer = self._peers.get(address)
        if peer is not None:
            return self._restarted(address, peer, incarnation, now) if incarnation > peer.incarnation else []
        self._peers[address] = _Peer(incarnation, now)
        hello = Send(address, Heartbeat(self._address, self._incarnation))
        if self._tick_at is not None:
            return [hello]
        self._tick_at = now + self._interval_s
        return [hello, SetTimer(TIMER, self._tick_at)]

    def _removed(self, address: Address) -> list[Effect]:
        self._peers.pop(address, None)
        if self._peers or self._tick_at is None:
            return []
        self._tick_at = None
        return [CancelTimer(TIMER)]

    def _restarted(self, address: Address, peer: _Peer, incarnation: int, now: float) -> list[Effect]:
        effects = self._declare_dead(address, peer, "it was started anew")
        self._peers[address] = _Peer(incarnation, now)
        return [*effects, Report(PeerRestarted(address, incarnation))]

    def _declare_dead(self, address: Address, peer: _Peer, reason: str) -> list[Effect]:
        if peer.state is PeerState.DEAD:
            return []
        peer.state = PeerState.DEAD
        return [Report(PeerDied(address, peer.incarnation, reason))]

    def _tick(self, now: float) -> list[Effect]:
        if self._tick_at is None:
            return []
        late_s = now - self._tick_at
        if late_s > self._interval_s:
            for peer in self._peers.values():
                peer.heard_at = min(now, peer.heard_at + late_s)
        self._tick_at = now + self._interval_s
        self._judged_at = now
        effects: list[Effect] = [SetTimer(TIMER, self._tick_at)]
        for address, peer in self._peers.items():
            effects += self._judge(address, peer, now)
            effects.append(Send(address, Heartbeat(self._address, self._incarnation)))
        return effects

    def _judge(self, address: Address, peer: _Peer, now: float) -> list[Effect]:
        silent_s = now - peer.heard_at
        if silent_s >= self._dead_after_s:
            return self._declare_dead(address, peer, f"no heartbeat for {silent_s:.1f} s")
        if silent_s >= self._suspect_after_s and peer.state is PeerState.ALIVE:
            peer.state = PeerState.SUSPECTED
            return [Report(PeerSuspected(address, peer.incarnation, silent_s))]
        return []

    def observe(self) -> tuple[PeerHealth, ...]:
        """Return what is believed of each peer."""
        return tuple(PeerHealth(address, peer.incarnation, peer.state, peer.heard_at) for address, peer in self._peers.items())

    def check(self) -> None:
        """State that the clock ticks while there are peers, and that a living peer was heard within its time."""
        ensure((self._tick_at is not None) == bool(self._peers), f"{len(self._peers)} peers and a tick at {self._tick_at}")
        for address, peer in self._peers.items():
            silent_s = self._judged_at - peer.heard_at
            ensure(
                peer.state is PeerState.DEAD or silent_s < self._dead_after_s,
                f"{address} was silent for {silent_s} s and is not dead",
            )
            alive = peer.state is PeerState.ALIVE
            ensure(not alive or silent_s < self._suspect_after_s, f"{address} was silent for {silent_s} s and is not suspected")
