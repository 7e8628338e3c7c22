"""READ SECOND. The one idea of actorflow: machines decide, shells act.

A *machine* is a plain object that decides. It gets an event and the time, and returns effects: what should be done about it. It
does no I/O, reads no clock, starts no thread, draws no random number, writes no log. Therefore the same machine runs in an
actor on a real cluster (`actorflow.actor.shell.MachineActor` performs its effects) and in a simulation on a virtual clock with
seeded loss, delay, duplication and crashes (`actorflow.testing.simulation`): two interpreters of the same effects.

    event, now ──► Machine.handle ──► effects ──► shell: Send, SetTimer, CancelTimer, Spawn, StopChild, Start, Report
        ▲                                           │
        └────────── later, as an event ◄────────────┘      (TimerFired, ChildEnded, WorkDone, WorkFailed, a reply)

Rules for machines:

- Fence with numbers, not with states. A message about a leader, a deployment or a checkpoint carries its epoch, attempt or
  id; a late one is dropped in one line.
- Never iterate a `set`, never use `hash(str)`: the same events in the same order give the same effects in every process.
- `check()` states the invariants a second time, independently of `handle`, and runs after every event in tests and simulations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actorflow.errors import ErrorInfo, InvariantViolated
from actorflow.ids import Address


class Machine(Protocol):
    """What a shell and the simulator need to run a decision maker."""

    def handle(self, event: object, now: float) -> Sequence[Effect]:
        """Take one event at time `now` (seconds, monotonic) and return what is to be done, in order."""
        ...

    def observe(self) -> object:
        """Return the state as a frozen value, for people and tests."""
        ...

    def check(self) -> None:
        """State the invariants again.

        Raises:
            InvariantViolated: if the state is impossible.
        """
        ...


# --- effects: what a machine can ask for ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Tell `message` to the actor at `to`. At most once, in order for each pair of actors; it may be lost."""

    to: Address
    message: object


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Deliver `TimerFired(name)` at time `at` (seconds, monotonic). Replaces a timer of the same name."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer `name`; nothing happens if there is none. It will not fire after this."""

    name: str


@dataclass(frozen=True, slots=True)
class Spawn:
    """Create a child actor `name`. What `recipe` means is between the machine and the factory its shell was given."""

    name: str
    recipe: object


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop the child `name`; its ending arrives as `ChildEnded`."""

    name: str


@dataclass(frozen=True, slots=True)
class Start:
    """Do slow work off the actor's thread. It answers with `WorkDone(work, result)` or `WorkFailed(work, error)`."""

    work: object


@dataclass(frozen=True, slots=True)
class Report:
    """Hand a domain result to whoever runs the machine (the shell's `on_report`, the simulator's log)."""

    value: object


Effect = Send | SetTimer | CancelTimer | Spawn | StopChild | Start | Report


# --- events every machine can get from its shell -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer `name` came due."""

    name: str


@dataclass(frozen=True, slots=True)
class WorkDone:
    """Slow work ended well."""

    work: object
    result: object


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """Slow work ended in an error."""

    work: object
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child actor, or a watched actor, has ended."""

    name: str
    ending: Ending


# --- endings: how an actor's life can close (a closed set) ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """It had finished its work."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """It was asked to stop, and did."""


@dataclass(frozen=True, slots=True)
class Killed:
    """It was ended without being asked, as part of ending something larger."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised, and its supervisor did not bring it back."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Lost:
    """Its node is gone or cannot be reached; what it did last is unknown."""

    node: str


Ending = Done | Stopped | Killed | Failed | Lost


def ensure(condition: bool, invariant: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    """Raise `InvariantViolated(invariant)` unless `condition` holds. For `check()`."""
    if not condition:
        raise InvariantViolated(invariant)
