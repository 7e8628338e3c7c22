"""The second interpreter of machines: a world of them on a virtual clock, with seeded faults.

The first is the actor shell. Here the same effects become entries of an agenda, ordered by virtual time:

    Send ──faults: lost, late, doubled──► an event at its target        SetTimer ──► TimerFired        Start ──► WorkDone | WorkFailed
    Spawn ──► a machine at `parent/name`        StopChild ──► ChildEnded at the parent        Report ──► `reports`

After every event the machine's own `check()` runs, and each invariant looks at the step. One seed is one history: nothing but the
seeded generator decides anything, so a failing seed, which is in the text of `SimulationFailed`, replays.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar

from actorflow.errors import ActorflowError, describe
from actorflow.ids import Address, NodeId, split_address
from actorflow.protocol.machine import (
    CancelTimer,
    ChildEnded,
    Effect,
    Ending,
    Machine,
    Report,
    Send,
    SetTimer,
    Spawn,
    Start,
    StopChild,
    Stopped,
    TimerFired,
    WorkDone,
    WorkFailed,
)
from actorflow.testing.faults import Faults

T = TypeVar("T")

STORY_EVENTS_MAX = 12
"""How many of the last events a `SimulationFailed` shows."""


class SimulationFailed(ActorflowError):  # noqa: N818 - the event is the name
    """A machine raised or an invariant broke. The text names the seed and tells the last events.

    Args:
        message: what happened.
        seed: replays it.
    """

    def __init__(self, message: str, seed: int) -> None:
        super().__init__(message, hint=f"replay with seed {seed}")
        self.seed = seed


@dataclass(frozen=True, slots=True)
class Step:
    """One event and what followed from it."""

    at: float
    address: Address
    machine: Machine
    event: object
    effects: Sequence[Effect]


@dataclass(frozen=True, slots=True)
class Reported:
    """A machine's `Report`."""

    at: float
    address: Address
    value: Any


class Invariant:
    """Something that must hold in the whole world; one object for each run. See `actorflow.testing.invariants`."""

    def after(self, step: Step) -> None:
        """Look at a step.

        Raises:
            InvariantViolated: if it must not have happened.
        """

    def at_end(self, simulation: Simulation) -> None:
        """Look at the world when the run is over (`Simulation.finish`).

        Raises:
            InvariantViolated: if something that must happen in the end has not.
        """


Build = Callable[[int], Machine]
"""Makes a machine; the argument is its incarnation: 1, and one more after each crash."""


@dataclass(slots=True)
class _Cell:
    """A place for a machine: what is to run there, and what does."""

    address: Address
    node: NodeId
    build: Build
    opening: tuple[object, ...]
    incarnation: int = 0
    machine: Machine | None = None
    timers: dict[str, int] = field(default_factory=dict)
    """Agenda ticket of each pending timer: an entry with another ticket is not to fire."""
    children: dict[str, Address] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Delivery:
    to: Address
    event: object
    incarnation: int | None = None
    """Only to this incarnation (timers, work, endings); None: to whoever lives there."""
    timer: str | None = None
    """The timer whose coming due this is: nothing, if it was cancelled or set anew meanwhile."""


class Simulation:
    """A world of machines at addresses.

    Args:
        seed: decides everything that chance decides.
        faults: what goes wrong.
        invariants: look at every step.
        work: does the slow work of a `Start` and returns its result; what it raises becomes a `WorkFailed`.
        spawn: makes the machine of a `Spawn`: address of the child, recipe.

    Attributes:
        now: virtual time in seconds.
        random: the generator; scenarios draw from it too.
        reports: all that machines reported.
        lost: messages that reached nobody.
    """

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults | None = None,
        invariants: Sequence[Invariant] = (),
        work: Callable[[object], object] | None = None,
        spawn: Callable[[Address, object], Machine] | None = None,
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.random = Random(seed)
        self.reports: list[Reported] = []
        self.lost = 0
        self._faults = Faults()
        self._invariants = tuple(invariants)
        self._work = work
        self._spawn = spawn
        self._cells: dict[Address, _Cell] = {}
        self._agenda: list[tuple[float, int, _Delivery | Callable[[], None]]] = []
        self._tickets = itertools.count(1)
        self._last_arrival: dict[tuple[Address, Address], float] = {}
        self._history: list[tuple[float, Address, object]] = []
        self.suffer(faults or self._faults)

    # --- what a scenario does --------------------------------------------------------------------------------------------

    def suffer(self, faults: Faults) -> None:
        """Let these faults happen from now on. To be called once, for faults that were drawn from `random`."""
        self._faults = faults
        for crash in faults.crashes:
            self.at(crash.at_s, partial(self.crash, crash.node))
            if crash.restart_after_s is not None:
                self.at(crash.at_s + crash.restart_after_s, partial(self.restart, crash.node))

    def add(self, address: Address, build: Build, *opening: object) -> None:
        """Put a machine at `address`, and hand it the `opening` events: now, and after each restart."""
        cell = _Cell(address, split_address(address)[0], build, opening)
        self._cells[address] = cell
        self._bring_up(cell)

    def tell(self, to: Address, event: object) -> None:
        """Hand an event over as if from within the node: now, and surely."""
        self._schedule(self.now, _Delivery(to, event))

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._schedule(at_s, action)

    def crash(self, node: NodeId) -> None:
        """End everything on a node without a word."""
        for cell in list(self._cells.values()):
            if cell.node == node:
                cell.machine = None
                cell.timers.clear()
                for child in cell.children.values():
                    self._cells.pop(child, None)
                cell.children.clear()

    def restart(self, node: NodeId) -> None:
        """Start what a crash ended, with the next incarnation."""
        for cell in [cell for cell in self._cells.values() if cell.node == node and cell.machine is None]:
            self._bring_up(cell)

    def end_child(self, parent: Address, name: str, ending: Ending) -> None:
        """End a child as if by itself; its parent is told."""
        cell = self._cells[parent]
        self._remove(cell.children.pop(name))
        self._schedule(self.now, _Delivery(parent, ChildEnded(name, ending), cell.incarnation))

    def run(self, until_s: float) -> Simulation:
        """Let time pass until `until_s`.

        Raises:
            SimulationFailed: if a machine raised or an invariant broke.
        """
        agenda = self._agenda
        while agenda and agenda[0][0] <= until_s:
            at, ticket, entry = heapq.heappop(agenda)
            self.now = at
            if isinstance(entry, _Delivery):
                self._deliver(entry, ticket)
            else:
                entry()
        self.now = max(self.now, until_s)
        return self

    def finish(self) -> Simulation:
        """Let the invariants look at the end of the world.

        Raises:
            SimulationFailed: if one is broken.
        """
        for invariant in self._invariants:
            try:
                invariant.at_end(self)
            except Exception as error:
                raise self._failure(f"at the end: {error}") from error
        return self

    # --- looking at it -----------------------------------------------------------------------------------------------------

    def machine(self, address: Address, kind: type[T]) -> T:
        """Return the living machine at `address`, which is of this kind."""
        machine = self._cells[address].machine
        assert isinstance(machine, kind), f"{address} runs {machine!r}"
        return machine

    def alive(self) -> tuple[Address, ...]:
        """Return the addresses where a machine lives."""
        return tuple(address for address, cell in self._cells.items() if cell.machine is not None)

    def reported(self, kind: type[T]) -> list[T]:
        """Return the reported values of one kind, in order."""
        return [report.value for report in self.reports if isinstance(report.value, kind)]

    def history(self) -> list[str]:
        """Return every event so far, a line each."""
        return [f"{at:.6f} {address} {event!r}" for at, address, event in self._history]

    def history_hash(self) -> str:
        """Return a digest of the history: equal seeds give equal digests, in every process."""
        return hashlib.sha256("\n".join(self.history()).encode()).hexdigest()

    # --- the interpreter ---------------------------------------------------------------------------------------------------

    def _schedule(self, at: float, entry: _Delivery | Callable[[], None]) -> int:
        ticket = next(self._tickets)
        heapq.heappush(self._agenda, (at, ticket, entry))
        return ticket

    def _bring_up(self, cell: _Cell) -> None:
        cell.incarnation += 1
        cell.machine = cell.build(cell.incarnation)
        for event in cell.opening:
            self._schedule(self.now, _Delivery(cell.address, event, cell.incarnation))

    def _deliver(self, delivery: _Delivery, ticket: int) -> None:
        cell = self._cells.get(delivery.to)
        if cell is None or cell.machine is None:
            self.lost += 1
            return
        if delivery.incarnation is not None and delivery.incarnation != cell.incarnation:
            return
        event = delivery.event
        if delivery.timer is not None:
            if cell.timers.get(delivery.timer) != ticket:
                return
            del cell.timers[delivery.timer]
        self._history.append((self.now, delivery.to, event))
        machine = cell.machine
        try:
            effects = machine.handle(event, self.now)
            machine.check()
            if self._invariants:
                step = Step(self.now, delivery.to, machine, event, effects)
                for invariant in self._invariants:
                    invariant.after(step)
        except Exception as error:
            raise self._failure(f"{type(error).__name__}: {error}") from error
        for effect in effects:
            self._perform(cell, effect)

    def _perform(self, cell: _Cell, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self._send(cell, to, message)
            case SetTimer(name, at):
                firing = _Delivery(cell.address, TimerFired(name), cell.incarnation, name)
                cell.timers[name] = self._schedule(max(at, self.now), firing)
            case CancelTimer(name):
                cell.timers.pop(name, None)
            case Report(value):
                self.reports.append(Reported(self.now, cell.address, value))
            case Start(work):
                self._start(cell, work)
            case Spawn(name, recipe):
                assert self._spawn is not None, f"{cell.address} spawns '{name}', and the simulation has no 'spawn'"
                spawn = self._spawn
                child = Address(f"{cell.address}/{name}")
                cell.children[name] = child
                self.add(child, lambda _incarnation: spawn(child, recipe))
            case StopChild(name):
                if name in cell.children:
                    self.end_child(cell.address, name, Stopped())

    def _send(self, cell: _Cell, to: Address, message: object) -> None:
        receiver = split_address(to)[0]
        if receiver == cell.node:
            self._schedule(self.now, _Delivery(to, message))
            return
        pair = (cell.address, to)
        for double, at in enumerate(self._faults.arrivals(self.random, cell.node, receiver, self.now)):
            if not double and not self._faults.reordering:
                at = self._last_arrival[pair] = max(at, self._last_arrival.get(pair, 0.0))
            self._schedule(at, _Delivery(to, message))

    def _start(self, cell: _Cell, work: object) -> None:
        assert self._work is not None, f"{cell.address} starts {work!r}, and the simulation has no 'work'"
        answer: WorkDone | WorkFailed
        try:
            answer = WorkDone(work, self._work(work))
        except Exception as error:
            answer = WorkFailed(work, describe(error))
        self._schedule(self.now + self.random.expovariate(20.0), _Delivery(cell.address, answer, cell.incarnation))

    def _remove(self, address: Address) -> None:
        """End a machine and its children, children first."""
        cell = self._cells[address]
        for child in reversed(cell.children.values()):
            self._remove(child)
        del self._cells[address]

    def _failure(self, what: str) -> SimulationFailed:
        story = "\n".join(f"  {line}" for line in self.history()[-STORY_EVENTS_MAX:])
        return SimulationFailed(f"seed {self.seed}, at {self.now:.6f} s: {what}\nthe last events:\n{story}\n", self.seed)


def sweep(scenario: Callable[[int], object], seeds: Iterable[int]) -> None:
    """Run `scenario` for each seed.

    Raises:
        SimulationFailed: of the first seed that fails.
    """
    for seed in seeds:
        scenario(seed)


def first_failure(scenario: Callable[[int], object], seeds: Iterable[int]) -> SimulationFailed | None:
    """Return the failure of the first seed that fails, or None. To show that a planted bug is found."""
    for seed in seeds:
        try:
            scenario(seed)
        except SimulationFailed as failure:
            return failure
    return None
