"""Looks at actors of other nodes. Those of about one time travel in one message, and are answered in one.

What a look costs a loaded node is hardly what the actor shows: it is the message that brings the question, and the one that takes the answer
away. So the first question to a node goes at once; for `GATHERED_S` after each message, further ones wait for the next. Questions for the same
thing that wait together are one, and whoever asked gets the same answer. The node answers as soon as all that came together have been answered, each
between two messages of its actor; actors with threads of their own answer by themselves, so that nobody waits for them.

    asker:   quiet ──question──► gathering ──due, with questions──► gathering ──due, without──► quiet
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import pykka

from actorflow.actor.inspection import shown_elsewhere
from actorflow.actor.messages import Answered, AskFailed, LookAnswer, LooksAnswered, LooksRequested, Question, Sight
from actorflow.actor.signals import Look
from actorflow.errors import describe
from actorflow.ids import ActorPath, Address, NodeId, address, split_address

if TYPE_CHECKING:
    from pykka import Future
    from pykka._types import OptExcInfo

    from actorflow.actor.system import ActorSystem
    from actorflow.actor.timers import TimerKey

logger = logging.getLogger("actorflow.actor")

GATHERED_S = 0.02
"""How long questions to a node wait for others, so that a node gets at most 50 messages a second of them from each that asks."""

_Asked = dict[tuple[ActorPath, Sight, int], list[int]]


class Looks:
    """The looks of this node at actors of others.

    Args:
        system: whose they are.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._gathering: dict[NodeId, _Asked] = {}
        self._lock = threading.Lock()

    def ask(self, target: Address, what: Sight, n: int, timeout_s: float | None) -> Future[Any]:
        """Ask an actor elsewhere for what it shows of itself, now or with the next questions to its node. Thread-safe."""
        node, path = split_address(target)
        number, future = self._system.asks.expect(target, timeout_s)
        with self._lock:
            asked = self._gathering.get(node)
            if asked is None:
                self._gathering[node] = {}
            else:
                asked.setdefault((path, what, n), []).append(number)
        if asked is None:
            self._wait(node)
            self._send(node, {(path, what, n): [number]})
        return future

    def answered(self, message: LooksAnswered, sender: NodeId | None) -> None:
        """Take answers. Thread-safe."""
        for answer in message.answers:
            outcome = Answered(answer.value) if answer.error is None else AskFailed(answer.error)
            for number in answer.numbers:
                self._system.asks.answered(number, outcome, sender)

    def timer_live(self, key: TimerKey, ticket: int) -> bool:  # noqa: ARG002 - a node has one timer at a time
        """See `TimerTarget`."""
        return key in self._gathering

    def timer_due(self, key: TimerKey, ticket: int) -> None:  # noqa: ARG002
        """See `TimerTarget`."""
        node = NodeId(str(key))
        with self._lock:
            asked = self._gathering.pop(node)
            if asked:
                self._gathering[node] = {}
        if asked:
            self._wait(node)
            self._send(node, asked)

    def _wait(self, node: NodeId) -> None:
        dispatcher = self._system.dispatcher
        dispatcher.add_timer(self._system.clock.now() + GATHERED_S, dispatcher.next_ticket(), self, node)

    def _send(self, node: NodeId, asked: _Asked) -> None:
        system = self._system
        awaited = {question: tuple(filter(system.asks.__contains__, numbers)) for question, numbers in asked.items()}
        questions = tuple(Question(*question, numbers) for question, numbers in awaited.items() if numbers)
        if not questions:
            return
        try:
            system.send(address(node, ActorPath("/")), LooksRequested(questions), reply_to=address(system.node, ActorPath("/")))
        except Exception as error:  # it cannot travel, so nobody will answer
            for question in questions:
                for number in question.numbers:
                    system.asks.fail(number, error)


def take_looks(system: ActorSystem, message: LooksRequested, to: Address) -> None:
    """Have actors of this node answer `to`. Thread-safe."""
    asked = [(question, system.find(question.path)) for question in message.questions]
    together = [question for question, cell in asked if cell is None or cell.dispatcher is system.dispatcher]
    shared = _Answers(system, to, len(together))
    for question, cell in asked:
        if cell is None:
            dead = pykka.ActorDeadError(f"{address(system.node, question.path)} not found")
            _LookReply(shared, question.numbers).set_exception((type(dead), dead, None))
        else:
            answers = shared if cell.dispatcher is system.dispatcher else _Answers(system, to, 1)
            cell.post_control(Look(question.what, question.n, _LookReply(answers, question.numbers)))


class _Answers:
    """Answers that leave in one message when all are there."""

    def __init__(self, system: ActorSystem, to: Address, expected: int) -> None:
        self._system = system
        self._to = to
        self._expected = expected
        self._answers: list[LookAnswer] = []
        self._lock = threading.Lock()

    def add(self, answer: LookAnswer) -> None:
        """Take an answer; send all with the last. Thread-safe."""
        with self._lock:
            self._answers.append(answer)
            complete = len(self._answers) == self._expected
        if complete:
            self._send(tuple(self._answers))

    def _send(self, answers: tuple[LookAnswer, ...]) -> None:
        try:
            self._system.send(self._to, LooksAnswered(answers))
        except Exception as error:
            if len(answers) > 1:  # one of them cannot travel: the others do
                for answer in answers:
                    self._send((answer,))
            elif answers[0].error is None:
                self._send((LookAnswer(answers[0].numbers, error=describe(error)),))
            else:  # the asker's timeout tells it
                logger.exception("cannot answer %s", self._to)


class _LookReply:
    """Where the answer to one question goes: see `Reply`."""

    __slots__ = ("_answers", "_numbers")

    def __init__(self, answers: _Answers, numbers: tuple[int, ...]) -> None:
        self._answers = answers
        self._numbers = numbers

    def set(self, value: Any = None) -> None:
        """Answer with a value."""
        self._answers.add(LookAnswer(self._numbers, shown_elsewhere(value)))

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Answer with an error; without an argument, the one being handled."""
        error = (exc_info or sys.exc_info())[1]
        assert error is not None, "there is an error to answer with"
        self._answers.add(LookAnswer(self._numbers, error=describe(error)))
