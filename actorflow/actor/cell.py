"""Cells: what the runtime keeps of one actor: its place in the tree, its mailbox, its state, and the loop of one turn.

The cell stays while instances come and go: a restart replaces `actor`, the mailbox and every reference stay.

    STARTING ──► RUNNING ◄──► SUSPENDED          it raised (from STARTING, too); its supervisor decides
                     │            │
                     └────────────┴──► RESTARTING ──► STARTING      children stop first, then a fresh instance
                     └────────────┴──► STOPPING ────► ENDED         children stop first, in reverse order

Only RUNNING handles messages. The data lane waits in the mailbox otherwise, control messages are held in order. Signals are
performed in every state. A cell that has ended turns whatever still reaches it into dead letters.

An `InboxCell` has a mailbox and turns of many messages. A `LightCell` has no mailbox at all: each message stands in the
dispatcher's ready queue by itself, which costs more for a message and nothing for an idle actor.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from pykka.messages import _ActorStop

from actorflow.actor import lifecycle
from actorflow.actor.signals import SPECIAL, Begin, Envelope, Reply, Signal, TimerDue
from actorflow.actor.state import Recipe, State
from actorflow.errors import ActorflowError, ErrorInfo
from actorflow.ids import ActorPath, Address, address
from actorflow.protocol.machine import Ending

if TYPE_CHECKING:
    from pykka._types import OptExcInfo

    from actorflow.actor.actor import Actor, LightActor
    from actorflow.actor.dispatcher import Dispatcher
    from actorflow.actor.inspection import StoryEntry
    from actorflow.actor.ref import ActorRef
    from actorflow.actor.system import ActorSystem
    from actorflow.actor.timers import TimerKey
    from actorflow.protocol.supervision import Supervise, Supervision

TURN_MESSAGES_MAX = 64


class Annex:
    """What most actors never need, made when it is first touched.

    Attributes:
        supervise: how the parent treats this actor's failures; None stops it.
        supervision: the machine that decides about failed children.
        restarts: fresh instances so far, not counting the first.
        instance: number of the last restart that was ordered, which the supervisor tells apart failures by.
        failure: what the present instance raised, until its supervisor has decided.
        restart_error: the error that the next instance is told about.
        unfit: the present instance raised in `on_start` or `on_restart`, or could not be made: it gets no last hook.
        to_end: children to end before this actor stops or restarts, the next one last.
        escalated: children whose failure became this actor's own.
        watchers: who is told when this actor ends; a dict for its order.
        watching: address of a watched actor -> the name its ending is reported under.
        timers: key of a live timer -> its ticket.
        held: control messages that came while it was not running.
        stash: messages put aside by the actor.
        stop_replies: who waits for it to have stopped.
        story: the last things that happened to it.
    """

    __slots__ = (
        "escalated", "failure", "held", "instance", "restart_error", "restarts", "stash", "stop_replies", "story", "supervise", "supervision",
        "timers", "to_end", "unfit", "watchers", "watching",
    )  # fmt: skip

    def __init__(self, story_events_max: int) -> None:
        self.supervise: Supervise | None = None
        self.supervision: Supervision | None = None
        self.restarts = 0
        self.instance = 0
        self.failure: OptExcInfo | None = None
        self.restart_error: ErrorInfo | None = None
        self.unfit = False
        self.to_end: list[str] = []
        self.escalated: list[str] = []
        self.watchers: dict[Cell | str, None] = {}
        self.watching: dict[str, str] = {}
        self.timers: dict[TimerKey, int] = {}
        self.held: list[object] = []
        self.stash: list[object] = []
        self.stop_replies: list[Reply] = []
        self.story: deque[StoryEntry] = deque(maxlen=story_events_max)


class Cell:
    """The part that both kinds of cells share. All methods but `post*` and the properties are for the dispatcher's thread."""

    tells_story = True

    __slots__ = (
        "_annex",
        "actor",
        "children",
        "current",
        "dispatcher",
        "ending",
        "handled",
        "name",
        "parent",
        "recipe",
        "state",
        "system",
    )

    def __init__(self, system: ActorSystem, parent: Cell | None, name: str, dispatcher: Dispatcher, recipe: Recipe[Any]) -> None:
        self.system = system
        self.parent = parent
        self.name = name
        self.dispatcher = dispatcher
        self.recipe = recipe
        self.actor: Actor | LightActor | None = None
        self.state = State.STARTING
        self.children: dict[str, Cell] | None = None
        self.current: object = None
        self.ending: Ending | None = None
        self.handled = 0
        self._annex: Annex | None = None

    @property
    def path(self) -> ActorPath:
        """The path, from the root of the tree."""
        names: list[str] = []
        cell: Cell = self
        while cell.parent is not None:
            names.append(cell.name)
            cell = cell.parent
        return ActorPath("/" + "/".join(reversed(names)))

    @property
    def address(self) -> Address:
        """The address, for other nodes."""
        return address(self.system.node, self.path)

    @property
    def annex(self) -> Annex:
        """The rarely needed part, made now if it was not there."""
        annex = self._annex
        if annex is None:
            annex = self._annex = Annex(self.system.story_events_max)
        return annex

    @property
    def has_annex(self) -> bool:
        """Whether anything rarely needed was needed."""
        return self._annex is not None

    @property
    def ref(self) -> ActorRef:
        """A reference to hand out."""
        raise NotImplementedError

    def post(self, message: object) -> None:
        """Put a message or envelope into the data lane. Thread-safe; does not look whether the actor has ended."""
        raise NotImplementedError

    def post_control(self, message: object) -> None:
        """Put a message, envelope or signal into the control lane. Thread-safe."""
        raise NotImplementedError

    def depth(self) -> tuple[int, int]:
        """Return how many messages wait in the control and the data lane."""
        raise NotImplementedError

    def waiting(self, n: int) -> tuple[list[object], list[object]]:  # noqa: ARG002 - for overrides
        """Return the first `n` messages that wait in the control and the data lane."""
        return [], []

    def opened(self) -> None:
        """Take notice that messages may be handled (again)."""
        raise NotImplementedError

    def closed(self) -> None:
        """Take notice that no messages are to be handled for now."""

    def begin(self) -> None:
        """Let the first instance begin."""
        self.post_control(Begin())

    def make_instance(self) -> None:
        """Make a fresh instance. Its context is there before its `__init__` runs."""
        raise NotImplementedError

    def mark_dead(self) -> None:
        """Make senders notice that the actor has ended."""

    def drain(self) -> list[object]:
        """Take out and return everything that waits, in order."""
        held, self.annex.held = self.annex.held, []
        return held

    def unstash(self) -> None:
        """Put what was stashed back in front of the data that waits."""

    def resume_data(self) -> None:
        """Let data flow again after it was paused."""

    def take(self, message: object) -> None:
        """Handle a control message, a signal, an envelope, or one of pykka's own messages."""
        if isinstance(message, Signal):
            lifecycle.perform(self, message)
        elif self.state is State.ENDED:
            lifecycle.bury(self, message)
        elif self.state is not State.RUNNING:
            self.annex.held.append(message)
        elif isinstance(message, Envelope):
            self._answer(message)
        elif message.__class__ in SPECIAL:
            self._answer(Envelope(message, None))
        else:
            self.current = message
            self.handled += 1
            self._running_actor().on_receive(message)

    def _answer(self, envelope: Envelope) -> None:
        """Handle a message whose sender waits: the value returned, or the exception raised, is the answer (as in pykka)."""
        message, reply = envelope.message, envelope.reply
        if isinstance(message, _ActorStop):
            lifecycle.stop(self, reply)
            return
        self.current = envelope
        self.handled += 1
        try:
            result = self._running_actor()._handle_receive(message)
        except BaseException as error:
            if reply is not None and not envelope.taken:
                envelope.taken = True
                reply.set_exception()
                if isinstance(error, Exception):
                    return
            raise
        if reply is not None and not envelope.taken:
            reply.set(result)

    def _running_actor(self) -> Actor | LightActor:
        assert self.actor is not None, f"{self.path} is running, so it has an instance"
        return self.actor

    # --- timers --------------------------------------------------------------------------------------------------------------

    def set_timer(self, key: TimerKey, at: float) -> None:
        """Schedule a timer, in place of one with the same key.

        Raises:
            ActorflowError: for a time that is not a number.
        """
        if math.isnan(at):
            raise ActorflowError(f"cannot set timer {key!r} of {self.path}: its time is not a number")
        timers = self.annex.timers
        if key in timers:
            self.dispatcher.forget_timer()
        ticket = timers[key] = self.dispatcher.next_ticket()
        self.dispatcher.add_timer(at, ticket, self, key)

    def cancel_timer(self, key: TimerKey) -> None:
        """Forget a timer, if there is one; it will not fire after this."""
        if self._annex is not None and self._annex.timers.pop(key, None) is not None:
            self.dispatcher.forget_timer()

    def timer_live(self, key: TimerKey, ticket: int) -> bool:
        """See `TimerTarget`."""
        return self._annex is not None and self._annex.timers.get(key) == ticket

    def timer_due(self, key: TimerKey, ticket: int) -> None:
        """See `TimerTarget`. The ticket is compared again when the signal is performed: it may be cancelled in between."""
        self.post_control(TimerDue(key, ticket))
