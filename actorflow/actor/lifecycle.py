"""The life of an actor: begin, fail, restart, stop, end. Everything here runs on the thread of the cell's dispatcher.

Stopping and restarting are steps with a wait in between: the youngest child is told to end, its `ChildGone` brings the next step,
and when no child is left the actor itself goes on. Nothing blocks.
"""

from __future__ import annotations

import logging
import queue
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pykka
from pykka.messages import _ActorStop

from actorflow.actor import supervising, watching
from actorflow.actor.inspection import look, note
from actorflow.actor.signals import (
    Begin,
    ChildFailure,
    ChildGone,
    End,
    Envelope,
    Escalated,
    Look,
    Reply,
    Restart,
    Resume,
    Signal,
    Suspend,
    TimerDue,
    Unwatch,
    Watch,
    WatchedEnded,
)
from actorflow.actor.state import State
from actorflow.errors import ActorflowError, Domain, ErrorInfo, describe
from actorflow.protocol.machine import Ending, Killed, Stopped, TimerFired

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell

logger = logging.getLogger("actorflow.actor")


def perform(cell: Cell, signal: Signal) -> None:
    """Act on a signal. User code that it runs may raise: that is the actor's failure, and the caller's to report."""
    match signal:
        case Begin():
            _begin(cell)
        case End(ending, reply):
            stop(cell, reply, ending)
        case ChildGone(name, ending):
            supervising.child_ended(cell, name, ending)
            _next_step(cell)
        case ChildFailure(child, error, instance):
            supervising.child_failed(cell, child, error, instance)
        case Escalated(name, error):
            cell.annex.escalated.append(name)
            if cell.state is State.RUNNING:  # else its own supervisor is deciding about it already
                _suspend(cell, error)
        case Suspend():
            if cell.state is State.RUNNING:
                cell.state = State.SUSPENDED
                cell.closed()
        case Resume():
            _resume(cell)
        case Restart(error, instance):
            cell.annex.instance = instance
            _restart(cell, error)
        case TimerDue(key, ticket):
            _timer_due(cell, key, ticket)
        case Watch(watcher):
            watching.add_watcher(cell, watcher)
        case Unwatch(watcher):
            cell.annex.watchers.pop(watcher, None)
        case WatchedEnded(target, ending):
            watching.take_ending(cell, target, ending)
        case Look():
            look(cell, signal)
        case _:
            raise AssertionError(f"{cell.path} got a signal that nobody performs: {signal!r}")


# --- beginning and failing ------------------------------------------------------------------------------------------------


def _begin(cell: Cell) -> None:
    if cell.state is State.STARTING:
        note(cell, "started")
        assert cell.actor is not None, "spawn made the first instance"
        cell.actor.on_start()
        _open(cell)


def _open(cell: Cell) -> None:
    cell.state = State.RUNNING
    if cell.has_annex:
        cell.annex.unfit = False
    cell.opened()


def failed(cell: Cell, error: BaseException) -> None:
    """Take notice that user code of this actor raised: suspend it and ask its supervisor. Never raises itself.

    `on_failure` is for an instance that had started and will be discarded; it runs when the supervisor has decided so.
    """
    if cell.parent is None or cell.state not in {State.STARTING, State.RUNNING}:  # the root runs no user code, and goes on
        logger.error("%s raised while it was %s", cell.path, cell.state.value, exc_info=error)
        return
    if cell.state is State.RUNNING:
        cell.annex.failure = (type(error), error, error.__traceback__)
    else:
        cell.annex.unfit = True
    info = describe(error)
    # Where the world failed, no line of code is to blame.
    expected = isinstance(error, ActorflowError) and error.domain is Domain.EXTERNAL
    if not info.traceback and not expected:
        info = replace(info, traceback=_traceback(error))
    _suspend(cell, replace(info, context={"actor": cell.path, **info.context}))


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as raised:  # it reads attributes of the user's exception
        return f"(no traceback: formatting it raised {type(raised).__name__})"


def _suspend(cell: Cell, error: ErrorInfo) -> None:
    if cell.state in {State.STOPPING, State.ENDED}:
        return
    cell.state = State.SUSPENDED
    cell.closed()
    note(cell, "failed", error)
    assert cell.parent is not None, "escalation ends below the root, which does not fail"
    cell.parent.post_control(ChildFailure(cell, error, cell.annex.instance))


def _resume(cell: Cell) -> None:
    if cell.state is not State.SUSPENDED:
        return
    annex = cell.annex
    annex.failure = None
    for name in annex.escalated:
        child = (cell.children or {}).get(name)
        if child is not None:
            child.post_control(Resume())
    annex.escalated.clear()
    note(cell, "resumed")
    _open(cell)


# --- restarting and stopping: steps that wait for children ----------------------------------------------------------------


def _restart(cell: Cell, error: ErrorInfo) -> None:
    if cell.state not in {State.SUSPENDED, State.RUNNING}:
        return
    cell.state = State.RESTARTING
    cell.closed()
    cell.annex.restart_error = error
    cell.annex.to_end = list(cell.children or ())
    _next_step(cell)


def stop(cell: Cell, reply: Reply | None, ending: Ending | None = None) -> None:
    """Stop the children, then this actor; answer `reply` when that is done. Without an ending it is `Stopped`."""
    if reply is not None:
        if cell.state is State.ENDED:
            reply.set_exception(_dead(cell))
            return
        cell.annex.stop_replies.append(reply)
    if cell.state in {State.STOPPING, State.ENDED}:
        return
    cell.state = State.STOPPING
    cell.closed()
    cell.ending = ending or Stopped()
    cell.annex.to_end = list(cell.children or ())
    _next_step(cell)


def _next_step(cell: Cell) -> None:
    """Go on with stopping or restarting: end the youngest child, or, if there is none, this actor or its instance."""
    if cell.state not in {State.STOPPING, State.RESTARTING}:
        return
    to_end, children = cell.annex.to_end, cell.children or {}
    while to_end and to_end[-1] not in children:
        to_end.pop()
    if to_end:
        children[to_end[-1]].post_control(End(Stopped()))  # once more does no harm
    elif cell.state is State.STOPPING:
        _end(cell)
    else:
        _replace_instance(cell)


def _replace_instance(cell: Cell) -> None:
    annex = cell.annex
    error, annex.restart_error = annex.restart_error, None
    assert error is not None, "a restart has a reason"
    _discard_instance(cell)
    _clear_timers(cell)
    annex.escalated.clear()
    cell.unstash()
    cell.resume_data()
    annex.restarts += 1
    note(cell, "restarted", error)
    cell.state = State.STARTING
    cell.make_instance()
    assert cell.actor is not None, "made just now"
    cell.actor.on_restart(error)
    _open(cell)


def _discard_instance(cell: Cell) -> None:
    """Run the instance's last hook: `on_failure` if it raised, `on_stop` if not, neither if it never started. Errors are only logged."""
    actor, annex = cell.actor, cell.annex
    assert actor is not None, f"{cell.path} has an instance until it ends"
    failure, annex.failure = annex.failure, None
    try:
        if failure is not None:
            actor.on_failure(*failure)
        elif not annex.unfit:
            actor.on_stop()
    except BaseException:
        logger.exception("the last hook of %s raised", cell.path)


def _end(cell: Cell) -> None:
    """Leave the tree, run the last hook, and tell everyone who waits: the parent in any case, for it does not end before."""
    ending, parent = cell.ending, cell.parent
    assert ending is not None, "stop() set the ending"
    cell.state = State.ENDED
    cell.mark_dead()
    try:
        _discard_instance(cell)
        _clear_timers(cell)
        note(cell, "ended", ending)
        watching.forget_all(cell)
        if parent is not None and parent.children is not None:
            parent.children.pop(cell.name, None)
        _answer_all_who_wait(cell)
        watching.tell_watchers(cell, ending)
    finally:
        cell.actor = None
        if parent is not None:
            parent.post_control(ChildGone(cell.name, ending))
        cell.system.cell_ended(cell)


def _answer_all_who_wait(cell: Cell) -> None:
    for waiting in cell.drain():
        bury(cell, waiting)
    for reply in cell.annex.stop_replies:
        _answer_once(partial(reply.set, True))
    cell.annex.stop_replies.clear()


def abandon(cell: Cell) -> None:
    """End a cell whose dispatcher will never run again: nobody stops it, but nobody may wait for it either."""
    if cell.state is not State.ENDED:
        cell.state = State.ENDED
        cell.ending = Killed()
        cell.mark_dead()
        _answer_all_who_wait(cell)


# --- what happens to the mail of the dead ---------------------------------------------------------------------------------


def bury(cell: Cell, message: object) -> None:
    """Deal with a message for an actor that has ended: an asker gets `ActorDeadError`, the rest become dead letters."""
    if isinstance(message, Signal):
        _perform_dead(cell, message)
    elif isinstance(message, Envelope) and isinstance(message.message, _ActorStop):
        if message.reply is not None:
            _answer_once(message.reply.set)
    elif isinstance(message, Envelope) and message.reply is not None:
        reply, dead = message.reply, _dead(cell)
        _answer_once(lambda: reply.set_exception(dead))
        cell.system.dead_letter(cell.address, message.message, "the actor has ended")
    else:
        cell.system.dead_letter(cell.address, message, "the actor has ended")


def _perform_dead(cell: Cell, signal: Signal) -> None:
    try:
        perform(cell, signal)
    except Exception:
        logger.exception("%s has ended and could not act on %r", cell.path, signal)


def _dead(cell: Cell) -> tuple[type[BaseException], BaseException, None]:
    return pykka.ActorDeadError, pykka.ActorDeadError(f"{cell.address} stopped before handling the message"), None


def _answer_once(answer: Callable[[], None]) -> None:
    """Answer an asker that may have been answered before, which pykka's futures refuse with `queue.Full`.

    Never raises: an answer that cannot be sent must not keep the others from theirs.
    """
    try:
        answer()
    except queue.Full:
        pass
    except Exception:
        logger.exception("an actor that has ended could not answer")


# --- timers ---------------------------------------------------------------------------------------------------------------


def _timer_due(cell: Cell, key: str | tuple[str, str], ticket: int) -> None:
    if not cell.timer_live(key, ticket) or cell.state in {State.STOPPING, State.ENDED}:
        return
    del cell.annex.timers[key]
    if isinstance(key, tuple):
        supervising.timer_fired(cell, key[1])
    else:
        cell.take(TimerFired(key))


def _clear_timers(cell: Cell) -> None:
    """Forget the actor's own timers. Those of supervision end with the children they are for."""
    if cell.has_annex:
        timers = cell.annex.timers
        for key in [key for key in timers if isinstance(key, str)]:
            del timers[key]
            cell.dispatcher.forget_timer()
