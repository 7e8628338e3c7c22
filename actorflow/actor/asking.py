"""Asks across nodes: the numbers that pair an answer with its question, and the deadlines of those that nobody answers."""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pykka

from actorflow.actor.future import ReplyFuture, refuse_deadlock
from actorflow.actor.messages import Answered, AskFailed
from actorflow.errors import ActorflowError, ErrorInfo, UserFunctionError, describe
from actorflow.ids import ActorPath, Address, NodeId, address, split_address
from actorflow.wire.message import Message

if TYPE_CHECKING:
    from pykka import Future
    from pykka._types import OptExcInfo

    from actorflow.actor.system import ActorSystem
    from actorflow.actor.timers import TimerKey

logger = logging.getLogger("actorflow.actor")


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
        # An answer to a question of this node's earlier life must not meet one of this life.
        self._numbers = itertools.count(secrets.randbits(62))

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, number: int) -> bool:
        """Return whether somebody still waits for the answer to a question."""
        return number in self._pending

    def ask(self, target: Address, message: object, *, control: bool, block: bool, timeout_s: float | None) -> Any | Future[Any]:
        """Send a question and wait for its answer, or return a future of it. Thread-safe.

        Raises:
            ActorflowError: for a timeout that is not a number, or a message that cannot travel.
            AskRefused: on the dispatcher's thread, which has to bring the answer.
            pykka.ActorDeadError: if the node of the actor is lost.
            pykka.Timeout: if there is no answer in time.
            UserFunctionError: for what the actor raised.
        """
        system = self._system
        if block:
            refuse_deadlock(system.root, "ask", target)
        number, future = self.expect(target, timeout_s)
        try:
            system.send(target, message, control=control, reply_to=address(system.node, ActorPath("/")), correlation=number)
        except Exception:  # it cannot travel, so nobody will answer
            if self._pending.pop(number, None) is not None:
                system.dispatcher.forget_timer()
            raise
        return future.get() if block else future

    def expect(self, target: Address, timeout_s: float | None) -> tuple[int, ReplyFuture]:
        """Return the number of a question that is about to be sent, and the future of its answer. Thread-safe.

        Raises:
            ActorflowError: for a timeout that is not a number.
        """
        system = self._system
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        if math.isnan(wait_s):
            raise ActorflowError(f"cannot ask {target}: the timeout is not a number")
        number = next(self._numbers)
        future = ReplyFuture(system.root)
        ticket = system.dispatcher.next_ticket()
        self._pending[number] = _Pending(target, future, wait_s, ticket)
        system.dispatcher.add_timer(system.clock.now() + wait_s, ticket, self, str(number))
        return number, future

    def answered(self, number: int, answer: object, sender: NodeId | None) -> None:
        """Take the answer to question `number`. One that comes too late, or from another node than was asked, is dropped. Thread-safe."""
        pending = self._pending.get(number)
        if pending is None:
            return
        if sender is not None and sender != split_address(pending.target)[0]:
            logger.warning("%s answered a question that was for %s: dropped", sender, pending.target)
        elif isinstance(answer, AskFailed):
            self.fail(number, _as_exception(answer.error))
        elif self._pending.pop(number, None) is not None:
            self._system.dispatcher.forget_timer()
            pending.future.set(answer.value if isinstance(answer, Answered) else answer)

    def node_lost(self, node: NodeId) -> None:
        """Fail all questions to actors on `node`: nobody there will answer. Thread-safe."""
        for number, pending in tuple(self._pending.items()):
            if split_address(pending.target)[0] == node:
                self.fail(number, pykka.ActorDeadError(f"{pending.target} did not answer: its node '{node}' is lost"))

    def give_up(self) -> None:
        """Fail all questions: the loop that would bring the answers has ended."""
        for number, pending in tuple(self._pending.items()):
            self.fail(number, pykka.ActorDeadError(f"{pending.target} cannot answer: the loop of {self._system} has ended"))

    def fail(self, number: int, error: Exception) -> None:
        """Answer a question with an error of this node. Thread-safe."""
        pending = self._pending.pop(number, None)
        if pending is not None:
            self._system.dispatcher.forget_timer()
            pending.future.set_exception((type(error), error, None))

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
            self._send_error(error)

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Send the error, as a value."""
        error = (exc_info or sys.exc_info())[1]
        assert error is not None, "there is an error to answer with"
        self._send_error(error)

    def _send_error(self, error: BaseException) -> None:
        try:
            self._system.send(self._to, AskFailed(describe(error)), correlation=self._correlation)
        except Exception:  # the asker's timeout tells it
            logger.exception("cannot answer %s", self._to)


def _as_exception(error: ErrorInfo) -> Exception:
    """Return what `ask` raises for an error of another node: its type may not exist here, its value does."""
    if error.kind == "ActorDeadError":
        return pykka.ActorDeadError(error.message)
    return UserFunctionError(error)
