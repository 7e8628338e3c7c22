"""Asks across nodes: the numbers that pair an answer with its question, and the deadlines of those that nobody answers."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pykka

from actorflow.actor.future import ReplyFuture, refuse_deadlock
from actorflow.actor.messages import Answered, AskFailed, LookRequested
from actorflow.errors import ErrorInfo, UserFunctionError, describe
from actorflow.ids import ActorPath, Address, address
from actorflow.wire.message import Message

if TYPE_CHECKING:
    from pykka import Future
    from pykka._types import OptExcInfo

    from actorflow.actor.system import ActorSystem
    from actorflow.actor.timers import TimerKey


@dataclass(slots=True)
class _Pending:
    target: Address
    future: ReplyFuture
    timeout_s: float
    ticket: int


class Asks:
    """The questions of this node that wait for an answer from another.

    Args:
        system: whose questions they are.
        timeout_s: how long an answer may take, where the asker does not say.
    """

    def __init__(self, system: ActorSystem, timeout_s: float) -> None:
        self._system = system
        self._timeout_s = timeout_s
        self._pending: dict[int, _Pending] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._pending)

    def ask(self, target: Address, message: object, *, control: bool, block: bool, timeout_s: float | None) -> Any | Future[Any]:
        """Send a question and wait for its answer, or return a future of it. Thread-safe."""
        system = self._system
        if block:
            refuse_deadlock(system.root, "ask", target)
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        number = next(self._numbers)
        future = ReplyFuture(system.root)
        ticket = system.dispatcher.next_ticket()
        self._pending[number] = _Pending(target, future, wait_s, ticket)
        system.dispatcher.add_timer(system.clock.now() + wait_s, ticket, self, str(number))
        system.send(target, message, control=control, reply_to=address(system.node, ActorPath("/")), correlation=number)
        return future.get() if block else future

    def look(self, target: Address, what: Literal["observe", "story"], n: int, timeout_s: float | None) -> Any:
        """Ask an actor elsewhere for what it shows of itself."""
        return self.ask(target, LookRequested(what, n), control=True, block=True, timeout_s=timeout_s)

    def answered(self, number: int, answer: object) -> None:
        """Take the answer to question `number`; an answer that comes too late is dropped. Thread-safe."""
        pending = self._pending.pop(number, None)
        if pending is None:
            return
        self._system.dispatcher.forget_timer()
        if isinstance(answer, AskFailed):
            error = _as_exception(answer.error)
            pending.future.set_exception((type(error), error, None))
        else:
            pending.future.set(answer.value if isinstance(answer, Answered) else answer)

    def timer_live(self, key: TimerKey, ticket: int) -> bool:
        """See `TimerTarget`."""
        pending = self._pending.get(int(str(key)))
        return pending is not None and pending.ticket == ticket

    def timer_due(self, key: TimerKey, ticket: int) -> None:  # noqa: ARG002 - a number is used for one timer
        """See `TimerTarget`."""
        pending = self._pending.pop(int(str(key)), None)
        if pending is not None:
            late = pykka.Timeout(f"{pending.target} did not answer in {pending.timeout_s} seconds")
            pending.future.set_exception((type(late), late, None))


class RemoteReply:
    """Where the answer goes if the question came from another node (or names an address to be answered).

    Args:
        system: the answering system.
        to: who is to be answered.
        correlation: number of the question; None if the answer is to arrive as an ordinary message.
    """

    __slots__ = ("_correlation", "_system", "_to")

    def __init__(self, system: ActorSystem, to: Address, correlation: int | None) -> None:
        self._system = system
        self._to = to
        self._correlation = correlation

    def set(self, value: Any = None) -> None:
        """Send the answer. One that cannot travel fails the ask, not the actor that gave it."""
        if self._correlation is None:
            self._system.send(self._to, value)
            return
        answer = value if isinstance(value, Message) else Answered(value)
        try:
            self._system.send(self._to, answer, correlation=self._correlation)
        except Exception as error:
            self._system.send(self._to, AskFailed(describe(error)), correlation=self._correlation)

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Send the error, as a value."""
        error = (exc_info or sys.exc_info())[1]
        assert error is not None, "there is an error to answer with"
        self._system.send(self._to, AskFailed(describe(error)), correlation=self._correlation)


def _as_exception(error: ErrorInfo) -> Exception:
    """Return what `ask` raises for an error of another node: its type may not exist here, its value does."""
    if error.kind == "ActorDeadError":
        return pykka.ActorDeadError(error.message)
    return UserFunctionError(error)
