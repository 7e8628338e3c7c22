"""A probe: one machine, run by hand.

It hands events to a machine, runs `check()` after each, keeps the clock and the timers, and remembers what the machine did last, so
that a test reads as a dialogue:

    probe = Probe(ResourceManagerMachine(...))
    probe.tell(offer, LinkBroken(node))
    probe.advance(1.0)
    assert [SlotsLost(...)] == probe.sent(SlotsLost)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from actorflow.protocol.machine import CancelTimer, Effect, Machine, Report, Send, SetTimer, TimerFired

M = TypeVar("M", bound=Machine)
T = TypeVar("T")


class Probe(Generic[M]):
    """Runs one machine.

    Args:
        machine: what to run.
        now: first reading of the clock, in seconds.

    Attributes:
        machine: the machine.
        now: time, in seconds.
        timers: due time of each pending timer, by name.
        effects: what the machine did in the last `tell` or `advance`.
    """

    def __init__(self, machine: M, now: float = 0.0) -> None:
        self.machine = machine
        self.now = now
        self.timers: dict[str, float] = {}
        self.effects: list[Effect] = []

    def tell(self, *events: object) -> list[Effect]:
        """Hand events over, one after the other; return all effects."""
        self.effects = [effect for event in events for effect in self._handle(event)]
        return self.effects

    def perform(self, effects: Sequence[Effect]) -> list[Effect]:
        """Note effects that a direct call of the machine returned (its opening move, for one)."""
        self.machine.check()
        for effect in effects:
            self._note(effect)
        self.effects = list(effects)
        return self.effects

    def advance(self, seconds: float) -> list[Effect]:
        """Let time pass, firing the timers that come due, in order; return all effects."""
        end = self.now + seconds
        self.effects = []
        while due := sorted((at, name) for name, at in self.timers.items() if at <= end):
            at, name = due[0]
            del self.timers[name]
            self.now = max(self.now, at)
            self.effects += self._handle(TimerFired(name))
        self.now = end
        return self.effects

    def sent(self, kind: type[T] | None = None, **fields: object) -> list[T]:
        """Return the messages among the last effects that are of `kind` and have these field values."""
        return self._matching([effect.message for effect in self.effects if isinstance(effect, Send)], kind, fields)

    def reports(self, kind: type[T] | None = None, **fields: object) -> list[T]:
        """Return the reported values among the last effects that are of `kind` and have these field values."""
        return self._matching([effect.value for effect in self.effects if isinstance(effect, Report)], kind, fields)

    def _handle(self, event: object) -> Sequence[Effect]:
        effects = self.machine.handle(event, self.now)
        self.machine.check()
        for effect in effects:
            self._note(effect)
        return effects

    def _note(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, at):
                self.timers[name] = at
            case CancelTimer(name):
                self.timers.pop(name, None)
            case _:
                pass

    @staticmethod
    def _matching(values: Sequence[Any], kind: type[T] | None, fields: dict[str, object]) -> list[T]:
        return [
            value
            for value in values
            if (kind is None or isinstance(value, kind)) and all(getattr(value, name) == wanted for name, wanted in fields.items())
        ]
