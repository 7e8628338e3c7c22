"""What the sources of a worker ask the JobMaster for, and what it answers: one split after the other, each request with the next number."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from actorflow.ids import Address, SubtaskId
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested
from actorflow.runtime.workers.deployment import Part
from actorflow.wire.message import Message
from actorflow.wire.user_code import loads_code


class SplitRequests:
    """The requests of one run.

    Args:
        run: its number.
        me: the worker's address.
        tell: sends a message to the JobMaster; called on the worker's thread.
        on_own_thread: runs a function on the worker's thread.
    """

    def __init__(
        self, run: int, me: Address, tell: Callable[[Message], None], on_own_thread: Callable[[Callable[[], None]], None]
    ) -> None:
        self._run = run
        self._me = me
        self._tell = tell
        self._on_own_thread = on_own_thread
        self._requests: dict[SubtaskId, int] = {}
        self._answered: dict[SubtaskId, int] = {}

    def ask(self, subtask: SubtaskId) -> None:
        """Ask for the next split of a source subtask."""

        def ask() -> None:
            request = self._requests[subtask] = self._requests.get(subtask, 0) + 1
            self._tell(SplitRequested(subtask, self._run, request, self._me))

        self._on_own_thread(ask)

    def read(self, subtask: SubtaskId, split: int) -> None:
        """Tell the JobMaster that all of a split has been read."""
        self._on_own_thread(lambda: self._tell(SplitFinished(subtask, self._run, split)))

    def answer(self, news: SplitAssigned | NoMoreSplits, part: Part) -> None:
        """Hand an answer to the source that has asked."""
        if self._answered.get(news.subtask, 0) >= news.request or news.request != self._requests.get(news.subtask):
            return  # an answer to another request, or the same answer again
        self._answered[news.subtask] = news.request
        source = part.source
        assert source is not None, "only a source is assigned splits"
        match news:
            case SplitAssigned(split=number, payload=payload, position=position):
                part.actor.post_work(lambda: source.assign(number, loads_code(payload), loads_code(position) if position else None))
            case NoMoreSplits():
                part.actor.post_work(source.no_more)
            case _:
                assert_never(news)
