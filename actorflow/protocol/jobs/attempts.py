"""The subtasks of one run: an attempt each, and whom a step waits for, so that no event has to look at all of them.

expected ──started──► (not waited for any more) ──ended──► not alive          any ──expected again──► expected
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from actorflow.ids import Address, SubtaskId
from actorflow.protocol.jobs.deployment import Attempt, AttemptState, Deploy
from actorflow.protocol.jobs.workers import Workers
from actorflow.protocol.machine import Effect, ensure
from actorflow.wire.message import Message


class Attempts(Mapping[SubtaskId, Attempt]):
    """Keeps the attempts of one run.

    Attributes:
        alive: those that have not ended.
        not_started: those that the step waits for.
    """

    def __init__(self) -> None:
        self.alive: dict[SubtaskId, None] = {}
        self.not_started: dict[SubtaskId, None] = {}
        self._attempts: dict[SubtaskId, Attempt] = {}
        self._by_timer: dict[str, Attempt] = {}

    def __getitem__(self, subtask: SubtaskId) -> Attempt:
        return self._attempts[subtask]

    def __iter__(self) -> Iterator[SubtaskId]:
        return iter(self._attempts)

    def __len__(self) -> int:
        return len(self._attempts)

    def expect(self, attempts: Mapping[SubtaskId, Attempt], *, finished: Iterable[SubtaskId] = ()) -> None:
        """Wait for these to start, for the first time or in place of attempts that have ended; not for those that have finished before."""
        self._attempts |= attempts
        for subtask in finished:
            attempts[subtask].finished_before()
        self.not_started = {subtask: None for subtask, attempt in attempts.items() if not attempt.state.final}
        self.alive |= self.not_started
        self._by_timer |= {attempt.timer: attempt for attempt in attempts.values()}

    def begin(self, orders: Mapping[SubtaskId, Message], now: float) -> list[Effect]:
        """Have these start, with an order each; they and those that were told before are waited for, and nobody whose turn has not come."""
        told = [subtask for subtask in self.not_started if self._attempts[subtask].state is not AttemptState.CREATED]
        self.not_started = dict.fromkeys((*told, *orders))
        return [effect for subtask, order in orders.items() for effect in self._attempts[subtask].handle(Deploy(order), now)]

    def of_timer(self, name: str) -> Attempt | None:
        """Return the attempt whose timer this is, if it is one's."""
        return self._by_timer.get(name)

    def worker_of(self, subtask: SubtaskId, run: int) -> Address | None:
        """Return the worker that runs a subtask, or None if what is said of it is of another run."""
        attempt = self._attempts.get(subtask)
        return attempt.worker if attempt is not None and attempt.attempt == run else None

    def started(self, subtask: SubtaskId) -> bool:
        """Note that a subtask has started; return whether it was the last that was waited for."""
        if subtask not in self.not_started:
            return False
        del self.not_started[subtask]
        return not self.not_started

    def ended(self, subtask: SubtaskId) -> None:
        """Note that a subtask has ended."""
        del self.alive[subtask]

    def clear(self) -> None:
        """Forget all of them: nothing of the run is left, or it is over."""
        self._attempts, self._by_timer = {}, {}

    def check(self, number: int, workers: Workers, *, committing: bool) -> None:
        """State what must hold between attempts, workers and output.

        Args:
            number: of the run.
            workers: of the run.
            committing: whether the output is being made visible.
        """
        for subtask, attempt in self._attempts.items():
            attempt.check()
            state = attempt.state
            ensure(attempt.attempt == number, f"run {number} has attempt {attempt.attempt} of {subtask}")
            ensure((subtask in self.alive) == (not state.final), f"{subtask} is {state.value}, and the run believes otherwise")
            ensure(state.final or attempt.allocation in workers, f"{subtask} runs in a slot that the run does not hold")
            ensure(state is AttemptState.FINISHED or not committing, f"the run commits, and {subtask} is {state.value}")
