"""Reliable delivery in both directions: what a machine's messages and those of its peers go through. `delivery` has the contract.

    machine ──Send(message)──► ReliableMachine ──Envelope──► link, may lose ──► ReliableMachine ──message──► machine
                                     ▲                                               │
                                     └──────────────── Acknowledged ◄────────────────┘

Only messages of the kinds that are named go through it; all others are sent as they are. The machine says who its peers are by reporting
`PeerStarted` and `PeerLost`; who is written to by a stranger knows it from then on. What could not be delivered comes back as `Undelivered`,
except what was for a peer that the machine itself has given up.
"""

from __future__ import annotations

from actorflow.ids import Address
from actorflow.protocol.machine import Effect, Machine, Report, Send, TimerFired
from actorflow.protocol.transfer.delivery import (
    Acknowledged,
    ConfirmDelivery,
    Delivered,
    Envelope,
    PeerLost,
    PeerStarted,
    ReliableSender,
)
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.wire.message import Message

FIRST_LIFE = 1
"""The incarnation of whoever has only one: its address is never used again."""


class Correspondence:
    """A sender and a receiver at one address.

    Args:
        sender: delivers what goes out.
        receiver: takes what comes in.
    """

    def __init__(self, sender: ReliableSender, receiver: ReliableReceiver) -> None:
        self._sender = sender
        self._receiver = receiver

    def owns(self, event: object) -> bool:
        """Return whether an event is for `handle`."""
        if isinstance(event, TimerFired):
            return self._sender.owns_timer(event.name) or self._receiver.owns_timer(event.name)
        return isinstance(event, Envelope | ConfirmDelivery | Acknowledged)

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take an event that it owns, `PeerStarted` or `PeerLost`; what was delivered, or cannot be, is reported."""
        if isinstance(event, Envelope):
            peer, incarnation = event.sender, event.sender_incarnation
            known = self._sender.writes_to(peer, incarnation)
            begun = [] if known else self._sender.handle(PeerStarted(peer, incarnation), now)
            return begun + self._receiver.arrived(event, now)
        match event:
            case PeerLost():
                return [*self._sender.handle(event, now), *self._receiver.handle(event, now)]
            case ConfirmDelivery():
                return self._receiver.handle(event, now)
            case TimerFired(name) if self._receiver.owns_timer(name):
                return self._receiver.handle(event, now)
        return self._sender.handle(event, now)

    def send(self, to: Address, message: Message, now: float) -> list[Effect]:
        """Deliver `message`; that it cannot be is reported."""
        return self._sender.send(to, message, now)

    def busy(self, peer: Address) -> bool:
        """Return whether so much is on its way to `peer` that more would have to wait."""
        return self._sender.busy(peer)

    def check(self) -> None:
        """State what must hold at both ends."""
        self._sender.check()
        self._receiver.check()


class ReliableMachine:
    """A machine together with its correspondence.

    Args:
        machine: decides; it gets what is delivered as if it had come straight.
        correspondence: of its address.
        reliably: the kinds of messages that must not be lost.
    """

    def __init__(self, machine: Machine, correspondence: Correspondence, reliably: tuple[type[Message], ...]) -> None:
        self._machine = machine
        self._correspondence = correspondence
        self._reliably = reliably

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take what the machine takes, and what belongs to the correspondence."""
        if not self._correspondence.owns(event):
            return self._decide(event, now)
        return self._opened(self._correspondence.handle(event, now), now)

    def _opened(self, effects: list[Effect], now: float) -> list[Effect]:
        """Hand the machine what the correspondence reports."""
        result: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, Report):
                result.append(effect)
            elif isinstance(effect.value, Delivered):
                result += self._decide(effect.value.message, now)
            else:
                result += self._decide(effect.value, now)
        return result

    def _decide(self, event: object, now: float) -> list[Effect]:
        """Have the machine decide, and deliver what it sends."""
        result: list[Effect] = []
        for effect in self._machine.handle(event, now):
            if isinstance(effect, Send) and isinstance(effect.message, self._reliably):
                result += self._opened(self._correspondence.send(effect.to, effect.message, now), now)
            elif isinstance(effect, Report) and isinstance(effect.value, PeerStarted):
                result += self._opened(self._correspondence.handle(effect.value, now), now)
            elif isinstance(effect, Report) and isinstance(effect.value, PeerLost):
                self._correspondence.handle(effect.value, now)  # it is the machine that gave up this peer, and what was for it
            else:
                result.append(effect)
        return result

    def observe(self) -> object:
        """Return the machine's state."""
        return self._machine.observe()

    def check(self) -> None:
        """State what must hold in the machine and in its correspondence."""
        self._machine.check()
        self._correspondence.check()
