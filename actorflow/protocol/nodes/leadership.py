"""Leadership: one contender's way through an election in which the first of a line leads.

Each contender has a node in the line, which lasts as long as its session. The first may take the next epoch, and leads with it. Everybody else watches
the one before it, so that the end of one contender wakes one other, not all.

    AWAY ──connected──► JOINING ──own node──► LOOKING ──not first──► WAITING ──the one before is gone──► LOOKING
     ▲                                           └──────first──────► TAKING ───epoch──► LEADING
     └── suspended, or session lost, from everywhere; LEADING is revoked ──────────────────┘

A leader whose connection is suspended may already have lost its session without knowing, so it leads no longer; connected again, it takes a new
epoch if it is still the first. Where suspended connections are tolerated it goes on for as long as its session cannot have ended: a connection
that is silent is noticed after two thirds of the session's time, so that the last third is left.

A process that stands still for longer than its session, and goes on, believes to lead until it handles what it has missed. No contender can prevent
that: what it does meanwhile is refused because of its epoch.

Late rule: each connection begins another life, and so does each node in the line. What is heard of work, or of a watch, of an earlier life is dropped, a granted epoch too: nobody
learns of that grant, and the next one is higher.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from actorflow.protocol.machine import CancelTimer, Effect, Report, SetTimer, Start, TimerFired, WorkDone, WorkFailed, ensure

AGAIN: Final = "again"
"""Timer: what could not be done is tried again."""

SESSION: Final = "session"
"""Timer: the session of a suspended leader may have ended."""


# --- events ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a connection, with the session of before or with a new one."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The connection is gone; the session may live on."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session has ended, and the node in the line with it."""


@dataclass(frozen=True, slots=True)
class NodeGone:
    """A node that was watched is not in the line any more."""

    life: int
    node: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Contend no longer. Nothing is reported from now on."""


# --- work ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """Find the node of this contender's session in the line, or append one. The result is its name."""

    life: int


@dataclass(frozen=True, slots=True)
class Look:
    """The result is the names in the line, in its order."""

    life: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Wait for a node to be gone: `NodeGone` says so later. The result is whether it is there."""

    life: int
    node: str


@dataclass(frozen=True, slots=True)
class TakeEpoch:
    """Raise the epoch by one if the node is still there, both in one step. The result is the new epoch; None if that was refused."""

    life: int
    node: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Remove the node from the line, if there is one."""

    life: int
    node: str | None


Work = Join | Look | Watch | TakeEpoch | Withdraw


# --- reports ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Granted:
    """This contender leads."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """This contender leads no longer, or cannot be sure to."""

    epoch: int


class Stage(enum.Enum):
    """How far a contender has come; see the module's diagram."""

    AWAY = "away"
    JOINING = "joining"
    LOOKING = "looking"
    WAITING = "waiting"
    TAKING = "taking"
    LEADING = "leading"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a contender stands. `epoch` is the one that it leads in, if it does."""

    stage: Stage
    node: str | None
    epoch: int | None
    connected: bool


class Leadership:
    """One contender.

    Args:
        session_timeout_s: how long a session outlives its last sign of life.
        retry_s: time until what has failed is tried again.
        tolerate_suspended: whether a leader goes on while it is not connected, as long as its session lives for sure.
    """

    def __init__(self, *, session_timeout_s: float, retry_s: float, tolerate_suspended: bool = False) -> None:
        self._suspended_max_s = session_timeout_s / 3 if tolerate_suspended else 0.0
        self._retry_s = retry_s
        self._stage = Stage.AWAY
        self._connected = False
        self._life = 0
        self._node: str | None = None
        self._epoch = 0
        """The last one that was granted."""
        self._session_ends_at: float | None = None

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see above."""
        if self._stage is Stage.LEFT:
            return []
        match event:
            case Connected():
                return self._on_connected()
            case Suspended():
                return self._on_suspended(now)
            case SessionLost():
                return self._away()
            case WorkDone(work, result):
                return self._on_done(cast("Work", work), result)
            case WorkFailed(work):
                return self._on_failed(cast("Work", work), now)
            case NodeGone(life, node):
                return self._on_gone(node) if life == self._life else []
            case TimerFired(name):
                return self._on_timer(name)
            case Leave():
                self._stage, self._life = Stage.LEFT, self._life + 1
                return [CancelTimer(AGAIN), CancelTimer(SESSION), Start(Withdraw(self._life, self._node))]
            case _:
                raise AssertionError(f"unknown event {event!r}")

    # --- connection --------------------------------------------------------------------------------------------------------------

    def _on_connected(self) -> list[Effect]:
        self._connected = True
        self._life += 1
        if self._stage is not Stage.LEADING:
            return self._join()
        self._session_ends_at = None
        return [CancelTimer(SESSION), Start(Look(self._life))]

    def _on_suspended(self, now: float) -> list[Effect]:
        if self._stage is not Stage.LEADING or not self._suspended_max_s:
            return self._away()
        self._connected = False
        self._life += 1
        self._session_ends_at = now + self._suspended_max_s
        return [CancelTimer(AGAIN), SetTimer(SESSION, self._session_ends_at)]

    def _away(self) -> list[Effect]:
        self._connected = False
        self._life += 1
        revoked = self._revoked()
        self._stage, self._node = Stage.AWAY, None
        return [*revoked, CancelTimer(AGAIN)]

    def _revoked(self) -> list[Effect]:
        if self._stage is not Stage.LEADING:
            return []
        self._session_ends_at = None
        return [CancelTimer(SESSION), Report(Revoked(self._epoch))]

    # --- the line ----------------------------------------------------------------------------------------------------------------

    def _join(self) -> list[Effect]:
        revoked = self._revoked()
        self._stage, self._node = Stage.JOINING, None
        return [*revoked, Start(Join(self._life))]

    def _look(self) -> list[Effect]:
        self._stage = Stage.LOOKING
        return [Start(Look(self._life))]

    def _on_done(self, work: Work, result: object) -> list[Effect]:
        if work.life != self._life:
            return []
        match work:
            case Join():
                assert isinstance(result, str), "joining gives a name"
                self._node = result
                return self._look()
            case Look():
                return self._on_line(cast("Sequence[str]", result))
            case Watch(node=node):
                return self._on_watched(node) if result else self._on_gone(node)
            case TakeEpoch():
                return self._on_taken(cast("int | None", result))
            case Withdraw():
                raise AssertionError("who has left hears nothing")

    def _on_line(self, line: Sequence[str]) -> list[Effect]:
        node = self._node
        assert node is not None, "who looks has joined"
        if node not in line:
            return self._join()
        before = line.index(node)
        if before == 0:
            # The first watches itself: an administrator may remove its node, and then the next in the line leads.
            self._stage = Stage.LEADING if self._stage is Stage.LEADING else Stage.TAKING
            return [Start(Watch(self._life, node))]
        if self._stage is Stage.LEADING:
            return self._join()
        self._stage = Stage.WAITING
        return [Start(Watch(self._life, line[before - 1]))]

    def _on_watched(self, node: str) -> list[Effect]:
        return [Start(TakeEpoch(self._life, node))] if self._stage is Stage.TAKING else []

    def _on_taken(self, epoch: int | None) -> list[Effect]:
        if (
            epoch is None or epoch <= self._epoch
        ):  # no higher than before: somebody has set the counter back, and it is raised until it fences again
            return self._look()
        self._stage, self._epoch = Stage.LEADING, epoch
        return [Report(Granted(epoch))]

    def _on_gone(self, node: str) -> list[Effect]:
        if node == self._node:
            self._life += 1
            return self._join()
        return self._look() if self._stage is Stage.WAITING else []

    # --- time --------------------------------------------------------------------------------------------------------------------

    def _on_failed(self, work: Work, now: float) -> list[Effect]:
        return [SetTimer(AGAIN, now + self._retry_s)] if work.life == self._life else []

    def _on_timer(self, name: str) -> list[Effect]:
        if name == SESSION:
            return self._away() if self._session_ends_at is not None else []
        return [Start(Look(self._life))] if self._stage is Stage.LEADING else self._join()

    # --- looking at it -----------------------------------------------------------------------------------------------------------

    def observe(self) -> Standing:
        """Return where the contender stands."""
        leading = self._stage is Stage.LEADING
        return Standing(self._stage, self._node, self._epoch if leading else None, self._connected)

    def check(self) -> None:
        """State that who leads has a node, an epoch, and a session that lives for sure; and that who is away has nothing."""
        leading = self._stage is Stage.LEADING
        ensure(not leading or (self._node is not None and self._epoch > 0), "who leads is in the line, and has an epoch")
        ensure(
            not leading or self._connected or self._session_ends_at is not None, "who leads is connected, or for a bounded time not"
        )
        ensure(leading or self._session_ends_at is None or self._stage is Stage.LEFT, "only a leader's session is waited for")
        ensure(self._connected or leading or self._stage in {Stage.AWAY, Stage.LEFT}, f"{self._stage} without a connection")
        ensure(
            self._stage not in {Stage.LOOKING, Stage.WAITING, Stage.TAKING} or self._node is not None,
            f"{self._stage} without a node",
        )
