"""The shell: the one actor that performs what machines decide. See `actorflow.protocol.machine`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, assert_never

from actorflow.actor.actor import Actor
from actorflow.actor.context import ActorContext
from actorflow.actor.inspection import StoryEntry
from actorflow.actor.keepsakes import kept
from actorflow.actor.ref import ActorRef
from actorflow.errors import describe
from actorflow.ids import Address
from actorflow.protocol.machine import (
    CancelTimer,
    ChildEnded,
    Effect,
    Failed,
    Machine,
    Report,
    Send,
    SetTimer,
    Spawn,
    Start,
    StopChild,
    WorkDone,
    WorkFailed,
)

logger = logging.getLogger("actorflow.actor")

SpawnChild = Callable[[ActorContext, str, Any], ActorRef]


class MachineActor(Actor):
    """Runs one machine: every message is an event, every effect is performed in order.

    Args:
        machine: the machine, or a function that makes one. Only the latter can be restarted afresh.
        spawn: makes the child for a `Spawn(name, recipe)`; its ending arrives as `ChildEnded(name, ...)`.
        work: does the work of a `Start(work)`, on a thread of the pool, and returns its result.
        on_report: takes the values of `Report`, on the dispatcher's thread.
    """

    def __init__(
        self,
        machine: Machine | Callable[[], Machine],
        *,
        spawn: SpawnChild | None = None,
        work: Callable[[Any], Any] | None = None,
        on_report: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__()
        self._machine: Machine = machine() if callable(machine) else machine
        self._spawn = spawn
        self._work = work
        self._on_report = on_report
        self._story: deque[StoryEntry] = self.ctx._cell.annex.story

    def on_receive(self, message: Any) -> None:
        """Hand the message to the machine and perform what it decides."""
        now = self.ctx.now()
        effects = tuple(self._machine.handle(message, now))
        if self._story.maxlen:
            self._story.append(StoryEntry(now, kept(message), tuple([kept(effect) for effect in effects])))
        if self.ctx.system.simulated:
            self._machine.check()
        for effect in effects:
            self._perform(effect)

    def observe(self) -> object:
        """Return the machine's state."""
        return self._machine.observe()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self._send(to, message)
            case SetTimer(name, at):
                self.ctx.set_timer_at(name, at)
            case CancelTimer(name):
                self.ctx.cancel_timer(name)
            case Spawn(name, recipe):
                self._make_child(name, recipe)
            case StopChild(name):
                self.ctx.stop(name)
            case Start(work):
                self._start(work)
            case Report(value):
                if self._on_report is not None:
                    self._on_report(value)
            case _:
                assert_never(effect)

    def _send(self, to: Address, message: object) -> None:
        """Send, or lose: a machine reckons with lost messages, but not with effects that are left out."""
        try:
            self.ctx.system.send(to, message)
        except Exception as error:
            logger.exception("%s cannot send to %s", self.ctx.path, to)
            self.ctx.system.dead_letter(to, message, f"it could not be sent: {describe(error)}")

    def _make_child(self, name: str, recipe: object) -> None:
        assert self._spawn is not None, f"the machine of {self.ctx.path} spawns, so its shell needs `spawn`"
        try:
            ref = self._spawn(self.ctx, name, recipe)
        except Exception as error:  # a child that cannot be made is one that ended at once: the machine decides what that means
            self.ctx.ref.tell_control(ChildEnded(name, Failed(describe(error))))
        else:
            self.ctx.watch(ref, name)

    def _start(self, work: object) -> None:
        assert self._work is not None, f"the machine of {self.ctx.path} starts work, so its shell needs `work`"
        do, ref = self._work, self.ctx.ref

        def run() -> None:
            try:
                result = do(work)
            except BaseException as error:
                ref.tell_control(WorkFailed(work, describe(error)))
            else:
                ref.tell_control(WorkDone(work, result))

        self.ctx.system.submit_work(run)
