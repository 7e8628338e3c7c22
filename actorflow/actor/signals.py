"""Signals: what the runtime says to a cell, on its control lane and ahead of everything a user told it.

Only the cell's own dispatcher thread acts on a signal (`lifecycle.perform`), so the life of an actor needs no locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from actorflow.actor.messages import Sight
from actorflow.errors import ErrorInfo
from actorflow.protocol.machine import Ending

if TYPE_CHECKING:
    from pykka._types import OptExcInfo

    from actorflow.actor.cell import Cell


class Reply(Protocol):
    """Where the answer to an `ask` goes: the asker's future, or the node that asked."""

    def set(self, value: Any = None) -> None:
        """Answer with a value."""
        ...

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Answer with an error; without an argument, the one being handled."""
        ...


class Envelope:
    """A message together with whoever waits for its answer. A message that nobody waits for travels bare.

    Attributes:
        message: what was asked.
        reply: who is to be answered; None for pykka's own messages when they were told.
        asked: the sender waits for an answer. If not, it may be given one (`ctx.reply`), but what the actor returns is none.
        taken: the actor answers by itself, so its return value is not the answer.
    """

    __slots__ = ("asked", "message", "reply", "taken")

    def __init__(self, message: object, reply: Reply | None, *, asked: bool = True) -> None:
        self.message = message
        self.reply = reply
        self.asked = asked
        self.taken = not asked


class Signal:
    """Base of all signals."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Begin(Signal):
    """Run `on_start`, then open the mailbox."""


@dataclass(frozen=True, slots=True)
class End(Signal):
    """Stop the children, then this actor, before the data that waits."""

    ending: Ending
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Suspend(Signal):
    """Handle no messages until `Restart` or `End`."""


@dataclass(frozen=True, slots=True)
class Resume(Signal):
    """Go on after a failure, with the same instance."""


@dataclass(frozen=True, slots=True)
class Restart(Signal):
    """Replace the instance by a fresh one, number `instance`."""

    error: ErrorInfo
    instance: int


@dataclass(frozen=True, slots=True)
class Escalated(Signal):
    """A failure of the child `name` is now this actor's own."""

    name: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class ChildFailure(Signal):
    """Instance number `instance` of a child raised; the child waits for what its supervisor decides."""

    child: Cell
    error: ErrorInfo
    instance: int


@dataclass(frozen=True, slots=True)
class ChildGone(Signal):
    """A child has ended and is no longer in the tree."""

    name: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class Watch(Signal):
    """Tell `watcher` (a local cell, or the address of a remote actor) when this actor ends."""

    watcher: Cell | str


@dataclass(frozen=True, slots=True)
class Unwatch(Signal):
    """Forget a watcher."""

    watcher: Cell | str


@dataclass(frozen=True, slots=True)
class WatchedEnded(Signal):
    """An actor that this one watches has ended; `target` is its address."""

    target: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class TimerDue(Signal):
    """A timer came due. Stale if the timer was set again or cancelled since."""

    key: str | tuple[str, str]
    ticket: int


@dataclass(frozen=True, slots=True)
class Look(Signal):
    """Answer with what the actor shows of itself, between two messages."""

    what: Sight
    n: int
    reply: Reply


SIGNALS = (
    Begin, End, Suspend, Resume, Restart, Escalated, ChildFailure, ChildGone, Watch, Unwatch, WatchedEnded, TimerDue, Look,
)  # fmt: skip

SPECIAL: frozenset[type] = frozenset({Envelope, _ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr, *SIGNALS})
"""Classes that `on_receive` never sees; one set lookup keeps them off the path of ordinary messages."""
