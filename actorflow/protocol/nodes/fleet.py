"""The fleet: the TaskManagers that a ResourceManager has started by a driver, how many there should be, and which may go.

    asked for ──the driver has done it──► starting ──offers its slots──► registered ──idle for long, or lost──► let go ──gone──► forgotten
        └──────────── it cannot be started, or does not register in time ───────────────────────────────────────────►┘

Whenever something has changed it compares what there is with what is wanted, and acts on the difference: as many TaskManagers are asked for
as waiting jobs lack slots, within the limit. One that has failed to come is let go, in case something of it lives after all, and replaced
after a pause that grows until one has registered. One that is idle for long goes, unless somebody waits or it is held in reserve.

The driver is asked first, and again and again, which TaskManagers it knows of: those that an earlier leader has started are taken
over, so nothing is asked for before its first answer; one that it knows no longer, and that has not registered, has ended.

Late rule: news of a TaskManager that is forgotten is dropped (names are not used again); so is a list that is not the last asked for.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from actorflow.errors import Domain, ErrorInfo
from actorflow.ids import NodeId
from actorflow.protocol.machine import Effect, Report, SetTimer, Start, TimerFired, WorkDone, WorkFailed, ensure
from actorflow.protocol.nodes.fleet_events import (
    DriverFailed,
    FindTaskManagers,
    FleetRules,
    OpenFleet,
    ReleaseTaskManager,
    RequestTaskManager,
    StartFailed,
)
from actorflow.protocol.nodes.slots import SlotDemand

TIMER = "fleet"
"""Name of the one timer of a `Fleet`."""

FORGOTTEN_MAX = 1_000
"""How many names of TaskManagers that are gone are remembered, so that an old list does not bring them back."""

LOOK_EVERY_S = 1.0
"""How often the driver is asked which TaskManagers there are, while one is expected."""

LOOK_SELDOM_S = 30.0
"""How often it is asked else: one may have begun as its leader ended."""


# --- the fleet -------------------------------------------------------------------------------------------------------------------


class MemberState(enum.Enum):
    """How far a TaskManager is."""

    REQUESTED = "requested"
    STARTING = "starting"
    REGISTERED = "registered"
    RELEASED = "released"


@dataclass(slots=True)
class _Member:
    state: MemberState
    since: float
    slots: int
    idle_since: float | None = None
    release_again_at: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FleetState:
    """What `Fleet.observe` shows. `failures` counts starts that failed in a row."""

    members: dict[NodeId, MemberState]
    failures: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """Slots: registered, free and held ones without those of TaskManagers that were let go; coming ones; those that end."""

    registered: int
    free: int
    coming: int
    ending: int

    @property
    def held(self) -> int:
        return self.registered - self.free


class Fleet:
    """Decides which TaskManagers are started and ended.

    Args:
        rules: see there.
    """

    def __init__(self, rules: FleetRules) -> None:
        self._rules = rules
        self._members: dict[NodeId, _Member] = {}
        self._forgotten: dict[NodeId, None] = {}
        self._demand = SlotDemand((), ())
        self._requests = 0
        self._failures = 0
        self._not_before = 0.0
        self._found = False
        """Whether it is known what earlier leaders have started."""
        self._looks = 0
        self._expected: dict[NodeId, None] = {}
        """Who should be in the list that the driver was asked for last."""
        self._look_at: float | None = None
        """When to ask for the next list; None while one is under way."""
        self._decided_at = 0.0

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event, and act on what is different from what is wanted."""
        match event:
            case OpenFleet():
                effects = self._look()
            case SlotDemand():
                self._demand, effects = event, []
            case WorkDone(RequestTaskManager(name)):
                effects = self._requested(name)
            case WorkFailed(RequestTaskManager(name), error):
                effects = self._not_started(name, error, now)
            case WorkDone(ReleaseTaskManager(name)):
                effects = self._gone(name)
            case WorkFailed(ReleaseTaskManager() as work, error):
                effects = self._not_ended(work, error, now)
            case WorkDone(FindTaskManagers(number), names):
                assert isinstance(names, tuple), "a list of names"
                effects = self._listed(number, names, now)
            case WorkFailed(FindTaskManagers() as work, error):
                effects = self._not_listed(work, error, now)
            case TimerFired(name=name) if name == TIMER:
                effects = []
            case _:
                raise AssertionError(f"unknown event {event!r}")
        return effects + self._act(now)

    def lets_go(self, node: NodeId) -> bool:
        """Return whether a TaskManager is to end: its slots are not to be had any more."""
        member = self._members.get(node)
        return node in self._forgotten or (member is not None and member.state is MemberState.RELEASED)

    # --- news of the driver ----------------------------------------------------------------------------------------------------------

    def _requested(self, name: NodeId) -> list[Effect]:
        member = self._members.get(name)
        if member is not None and member.state is MemberState.REQUESTED:
            member.state = MemberState.STARTING
        return []

    def _not_started(self, name: NodeId, error: ErrorInfo, now: float) -> list[Effect]:
        member = self._members.get(name)
        if member is None or member.state is not MemberState.REQUESTED:
            return []
        return [*self._failed(name, error, now), *self._release(name, "it could not be started")]

    def _failed(self, name: NodeId, error: ErrorInfo, now: float) -> list[Effect]:
        self._failures += 1
        pause_s = min(self._rules.pause_s * 2 ** min(self._failures - 1, 30), self._rules.pause_max_s)
        self._not_before = now + pause_s
        return [Report(StartFailed(name, error, self._failures, pause_s))]

    def _release(self, name: NodeId, reason: str) -> list[Effect]:
        member = self._members[name]
        member.state, member.idle_since, member.release_again_at, member.reason = MemberState.RELEASED, None, None, reason
        return [Start(ReleaseTaskManager(name, reason))]

    def _not_ended(self, work: ReleaseTaskManager, error: ErrorInfo, now: float) -> list[Effect]:
        member = self._members.get(work.name)
        if member is None:
            return []
        member.release_again_at = now + self._rules.pause_s
        return [Report(DriverFailed(work, error))]

    def _gone(self, name: NodeId) -> list[Effect]:
        if self._members.pop(name, None) is not None:
            self._forgotten[name] = None
            if len(self._forgotten) > FORGOTTEN_MAX:
                del self._forgotten[next(iter(self._forgotten))]
        return []

    # --- who is there ----------------------------------------------------------------------------------------------------------------

    def _look(self) -> list[Effect]:
        self._looks += 1
        self._look_at = None
        self._expected = {name: None for name, member in self._members.items() if member.state is MemberState.STARTING}
        return [Start(FindTaskManagers(self._looks))]

    def _not_listed(self, work: FindTaskManagers, error: ErrorInfo, now: float) -> list[Effect]:
        if work.number != self._looks:
            return []
        self._look_at = now + self._rules.pause_s
        return [Report(DriverFailed(work, error))]

    def _listed(self, number: int, names: tuple[NodeId, ...], now: float) -> list[Effect]:
        if number != self._looks:
            return []
        self._found = True
        for name in names:
            if name not in self._members and name not in self._forgotten:
                self._members[name] = _Member(MemberState.STARTING, now, self._rules.slots_each)
        effects: list[Effect] = []
        for name in self._expected:
            member = self._members.get(name)
            if member is not None and member.state is MemberState.STARTING and name not in names:
                error = ErrorInfo("ResourceError", f"{name} ended before it had registered", domain=Domain.EXTERNAL)
                effects += [*self._failed(name, error, now), *self._gone(name)]
        self._look_at = now + self._pace()
        return effects

    def _pace(self) -> float:
        return LOOK_EVERY_S if self._count(MemberState.STARTING) else LOOK_SELDOM_S

    def _count(self, state: MemberState) -> int:
        return sum(member.state is state for member in self._members.values())

    # --- what is wanted --------------------------------------------------------------------------------------------------------------

    def _act(self, now: float) -> list[Effect]:
        """Act on the difference between what is wanted and what there is."""
        effects = [*self._compare(now), *self._give_up_late(now), *self._release_idle(now), *self._ask(now)]
        if self._look_at is not None:
            self._look_at = min(self._look_at, now + self._pace())
            if self._look_at <= now:
                effects += self._look()
        self._decided_at = now
        due = self._next_due(now)
        return effects if due is None else [*effects, SetTimer(TIMER, due)]

    def _compare(self, now: float) -> list[Effect]:
        """Note who has registered, who is idle, and who is lost."""
        registered = {each.node: each for each in self._demand.task_managers}
        effects: list[Effect] = []
        for name, member in list(self._members.items()):
            if member.state is MemberState.RELEASED:
                if member.release_again_at is not None and member.release_again_at <= now:
                    effects += self._release(name, member.reason)
            elif (there := registered.get(name)) is not None:
                if member.state is not MemberState.REGISTERED:
                    self._failures, self._not_before = 0, now
                member.state, member.slots = MemberState.REGISTERED, there.slots
                member.idle_since = None if there.free < there.slots else now if member.idle_since is None else member.idle_since
            elif member.state is MemberState.REGISTERED:
                effects += self._release(name, "it is lost")
        return effects

    def _give_up_late(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for name, member in self._coming():
            if now >= member.since + self._rules.registration_s:
                text = f"{name} has not registered within {self._rules.registration_s:g} s"
                effects += self._failed(name, ErrorInfo("ResourceError", text, domain=Domain.EXTERNAL), now)
                effects += self._release(name, "it has not registered in time")
        return effects

    def _coming(self) -> list[tuple[NodeId, _Member]]:
        states = (MemberState.REQUESTED, MemberState.STARTING)
        return [(name, member) for name, member in self._members.items() if member.state in states]

    def _wanted(self) -> int:
        """Return how many slots are waited for, by those who can be served at all."""
        possible = max(self._rules.slots_max, sum(each.slots for each in self._demand.task_managers))
        return sum(slots for slots in self._demand.waiting if slots <= possible)

    def _sums(self) -> _Sums:
        staying = [each for each in self._demand.task_managers if not self.lets_go(each.node)]
        return _Sums(
            sum(each.slots for each in staying),
            sum(each.free for each in staying),
            sum(member.slots for _, member in self._coming()),
            sum(member.slots for member in self._members.values() if member.state is MemberState.RELEASED),
        )

    def _release_idle(self, now: float) -> list[Effect]:
        """Let those go that have been idle for long, the longest first, down to what is held in reserve."""
        if self._wanted():
            return []
        idle = [(m.idle_since, name) for name, m in self._members.items() if m.idle_since is not None]
        effects: list[Effect] = []
        for since, name in sorted(idle):
            slots, sums = self._members[name].slots, self._sums()
            reserve = self._rules.reserve * self._rules.slots_each if sums.held else 0
            if (
                now >= since + self._rules.idle_s
                and sums.registered - slots >= self._rules.slots_min
                and sums.free - slots >= reserve
            ):
                effects += self._release(name, f"it has been idle for {self._rules.idle_s:g} s")
        return effects

    def _lacking(self) -> int:
        """Return how many TaskManagers are to be asked for."""
        rules, sums, wanted = self._rules, self._sums(), self._wanted()
        reserve = rules.reserve * rules.slots_each if sums.held or wanted else 0
        slots = max(wanted + reserve - sums.free - sums.coming, rules.slots_min - sums.registered - sums.coming)
        room = (rules.slots_max - sums.registered - sums.coming - sums.ending) // rules.slots_each
        return max(0, min(-(-slots // rules.slots_each), room))

    def _ask(self, now: float) -> list[Effect]:
        if not self._found or now < self._not_before:
            return []
        effects: list[Effect] = []
        for _ in range(self._lacking()):
            self._requests += 1
            name = NodeId(f"{self._rules.prefix}-{self._requests}")
            self._members[name] = _Member(MemberState.REQUESTED, now, self._rules.slots_each)
            effects.append(Start(RequestTaskManager(name)))
        return effects

    def _next_due(self, now: float) -> float | None:
        """Return when something may have to be done without anybody saying so."""
        times = [member.since + self._rules.registration_s for _, member in self._coming()]
        times += [m.idle_since + self._rules.idle_s for m in self._members.values() if m.idle_since is not None]
        times += [m.release_again_at for m in self._members.values() if m.release_again_at is not None]
        times += [self._not_before, *([] if self._look_at is None else [self._look_at])]
        return min((at for at in times if at > now), default=None)

    def observe(self) -> FleetState:
        """Return the fleet as a value."""
        return FleetState({name: member.state for name, member in self._members.items()}, self._failures)

    def check(self) -> None:
        """State that states and slots agree, and that nobody lacks a TaskManager that may be asked for."""
        registered = {each.node for each in self._demand.task_managers}
        for name, member in self._members.items():
            ensure(name not in self._forgotten, f"{name} is forgotten, and is a {member.state.value} member")
            in_place = (member.state is MemberState.REGISTERED) == (name in registered)
            ensure(
                in_place or member.state is MemberState.RELEASED,
                f"{name} is {member.state.value}, and {sorted(registered)} have slots",
            )
            ensure(member.idle_since is None or member.state is MemberState.REGISTERED, f"{name} is idle, and {member.state.value}")
        ensure(
            not self._found or self._decided_at < self._not_before or not self._lacking(), "there is a lack, and nothing is done"
        )
        ensure(
            self._looks == 0 or self._found or self._count(MemberState.REQUESTED) == 0,
            "something is asked for, unseen what there is",
        )
