"""Performs what the `Supervision` machine of a parent decides about its children."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from actorflow.actor.signals import End, Escalated, Restart, Resume, Suspend
from actorflow.actor.state import State
from actorflow.errors import Domain, ErrorInfo
from actorflow.protocol.machine import CancelTimer, ChildEnded, Effect, Ending, Failed, Report, SetTimer, TimerFired
from actorflow.protocol.supervision import (
    STOP_ALWAYS,
    ChildFailed,
    EndChild,
    FailParent,
    Instruction,
    RestartChild,
    ResumeChild,
    Supervision,
    SuspendChild,
)

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell

logger = logging.getLogger("actorflow.actor")

_SUPERVISION = "supervision"


def child_failed(parent: Cell, child: Cell, error: ErrorInfo, instance: int) -> None:
    """Decide about a child that raised. A parent that is ending or restarting ends its children anyway."""
    if parent.state in {State.STOPPING, State.RESTARTING, State.ENDED}:
        child.post_control(End(Failed(error)))
        return
    policy = child.annex.supervise or STOP_ALWAYS
    siblings = tuple(parent.children or ()) if policy.scope == "all" else ()
    _feed(parent, ChildFailed(child.name, error, policy, siblings, parent.system.luck(), instance))


def child_ended(parent: Cell, name: str, ending: Ending) -> None:
    """Tell the machine, if there is one, that a child is gone."""
    if parent.has_annex and parent.annex.supervision is not None:
        _feed(parent, ChildEnded(name, ending))


def timer_fired(parent: Cell, name: str) -> None:
    """Tell the machine that one of its timers came due."""
    _feed(parent, TimerFired(name))


def _feed(parent: Cell, event: object) -> None:
    annex = parent.annex
    if annex.supervision is None:
        annex.supervision = Supervision()
    effects: Sequence[Effect] = annex.supervision.handle(event, parent.system.clock.now())
    for effect in effects:
        match effect:
            case SetTimer(name, at):
                parent.set_timer((_SUPERVISION, name), at)
            case CancelTimer(name):
                parent.cancel_timer((_SUPERVISION, name))
            case Report(instruction):
                _instruct(parent, instruction)  # type: ignore[arg-type]  # Report carries any value; this machine reports Instructions
            case _:
                raise AssertionError(f"supervision has no effect like {effect!r}")


def _instruct(parent: Cell, instruction: Instruction) -> None:
    child = (parent.children or {}).get(instruction.name)
    if child is None:
        return
    match instruction:
        case SuspendChild():
            child.post_control(Suspend())
        case ResumeChild():
            child.post_control(Resume())
        case RestartChild(_, error, instance):
            logger.warning("%s is restarted after %s", child.path, error)
            child.post_control(Restart(error, instance))
        case EndChild(_, error):
            _end(child, error)
        case FailParent(name, error):
            if parent.parent is None:
                _end(child, error)  # nobody is above the root
            else:
                parent.post_control(Escalated(name, error))
        case _:
            assert_never(instruction)


def _end(child: Cell, error: ErrorInfo) -> None:
    # What the world did to it is told by whoever watches it; a fault in code should be seen even if nobody does.
    level = logging.INFO if error.domain is Domain.EXTERNAL else logging.ERROR
    logger.log(level, "%s failed and is stopped: %s\n%s", child.path, error, error.traceback)
    child.post_control(End(Failed(error)))
