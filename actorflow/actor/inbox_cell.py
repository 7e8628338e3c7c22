"""The cell of an actor with a mailbox: two bounded lanes, and turns of many messages."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from actorflow.actor import lifecycle
from actorflow.actor.cell import Cell
from actorflow.actor.context import ActorContext
from actorflow.actor.ref import ActorRef, LocalRef
from actorflow.actor.signals import SPECIAL, Envelope, Signal
from actorflow.actor.state import Recipe, State
from actorflow.errors import ActorflowError, MailboxOverflow

if TYPE_CHECKING:
    from actorflow.actor.actor import Actor
    from actorflow.actor.dispatcher import Dispatcher
    from actorflow.actor.system import ActorSystem


class InboxCell(Cell):
    """A cell with a mailbox.

    Attributes:
        mailbox: what the actor class makes as its inbox.
        control: control lane of the mailbox.
        data: data lane of the mailbox.
        scheduled: whether it stands in the ready queue; see `dispatcher`.
        paused: the actor asked not to be given data.
        data_open: whether data may be handled now: running and not paused.
        inbox_max: limit of each lane; below zero once the actor has ended, so that a sender needs one comparison for both.
        turn_max: messages of one turn; see `dispatcher`.
        turn_limit: what `turn_max` may grow to.
        receive: `on_receive` of the present instance.
        stopped: pykka's flag for actors that have ended.
    """

    __slots__ = (
        "_ref",
        "control",
        "data",
        "data_open",
        "inbox_max",
        "mailbox",
        "paused",
        "receive",
        "scheduled",
        "stopped",
        "turn_limit",
        "turn_max",
    )

    recipe: Recipe[Actor]

    def __init__(self, system: ActorSystem, parent: Cell | None, name: str, dispatcher: Dispatcher, recipe: Recipe[Actor]) -> None:
        super().__init__(system, parent, name, dispatcher, recipe)
        self.mailbox = recipe.cls._create_actor_inbox()
        self.control: deque[object] = self.mailbox.control
        self.data: deque[object] = self.mailbox.data
        self.scheduled = False
        self.paused = False
        self.data_open = False
        self.inbox_max = system.inbox_messages_max
        self.turn_max = self.turn_limit = min(system.turn_messages_max, recipe.cls.messages_per_turn)
        self.receive: Any = None
        self.stopped = threading.Event()
        self._ref = LocalRef(self)

    @property
    def ref(self) -> ActorRef:
        """See `Cell.ref`."""
        return self._ref

    def post(self, message: object) -> None:
        """See `Cell.post`.

        Raises:
            MailboxOverflow: if the lane is full.
        """
        if len(self.data) >= self.inbox_max >= 0:
            raise self.overflow("data")
        self.data.append(message)
        self.schedule()

    def post_control(self, message: object) -> None:
        """See `Cell.post_control`. Signals always fit: they are bounded by what there is to signal. What is held counts.

        Raises:
            MailboxOverflow: if the lane is full.
        """
        waiting = len(self.control) if self._annex is None else len(self.control) + len(self._annex.held)
        if waiting >= self.inbox_max >= 0 and not isinstance(message, Signal):
            raise self.overflow("control")
        self.control.append(message)
        self.schedule()

    def overflow(self, lane: str) -> MailboxOverflow:
        """Return the error for a full lane."""
        return MailboxOverflow(
            f"cannot put another message into the {lane} lane of {self.address}: it holds {self.inbox_max} messages, its limit",
            hint="whoever sends faster than the actor handles needs flow control, such as credits",
        )

    def schedule(self) -> None:
        """Enqueue for a turn, unless that is done already."""
        if not self.scheduled:
            self.scheduled = True
            dispatcher = self.dispatcher
            dispatcher.ready.append(self)
            if dispatcher.sleeping:
                dispatcher.wake()

    def turn(self) -> None:
        """Handle at most `turn_max` messages, control before data. An exception ends the turn and is the actor's failure."""
        control, data, special = self.control, self.data, SPECIAL
        handled = 0
        try:
            for _ in range(self.turn_max):
                if control:
                    self.take(control.popleft())
                elif self.data_open and data:
                    message = data.popleft()
                    if message.__class__ in special:
                        self.take(message)
                    else:
                        self.current = message
                        handled += 1
                        self.receive(message)
                else:
                    break
        except BaseException as error:
            lifecycle.failed(self, error)
        self.handled += handled
        self.current = None
        self.scheduled = False
        if control or (data and (self.data_open or self.inbox_max < 0)):
            if self.inbox_max < 0:
                for waiting in self.drain():
                    lifecycle.bury(self, waiting)
                return
            if self.turn_max < self.turn_limit:
                self.turn_max += 1
            self.schedule()

    def shorten(self) -> None:
        """Halve the turns of an actor whose turn was long; they grow again by one message a turn."""
        self.turn_max = max(1, self.turn_max // 2)

    def depth(self) -> tuple[int, int]:
        """See `Cell.depth`."""
        held = len(self._annex.held) if self._annex is not None else 0
        return len(self.control) + held, len(self.data)

    def waiting(self, n: int) -> tuple[list[object], list[object]]:
        """See `Cell.waiting`. A lane is copied in one step, so that a sender on another thread cannot disturb it."""
        held = self._annex.held if self._annex is not None else []
        return [*held, *list(self.control)][:n], list(self.data)[:n]

    def opened(self) -> None:
        """Let data flow, unless the actor has paused it."""
        self.receive = self._running_actor().on_receive
        self.data_open = not self.paused
        held = self.annex.held
        if held:
            self.control.extendleft(reversed(held))
            held.clear()
        self.schedule()

    def closed(self) -> None:
        """Let data wait."""
        self.data_open = False
        self.receive = None

    def make_instance(self) -> None:
        """See `Cell.make_instance`.

        Raises:
            ActorflowError: if the class has an `__init__` that does not call its base's.
        """
        recipe = self.recipe
        actor = recipe.cls.__new__(recipe.cls)
        actor.ctx = ActorContext(self)
        actor.__init__(*recipe.args, **recipe.kwargs)  # type: ignore[misc]  # the context has to be there before __init__ runs
        if not hasattr(actor, "actor_inbox"):
            raise ActorflowError(f"{recipe.cls.__name__}.__init__ did not set up its actor", hint="call super().__init__() in it")
        self.actor = actor

    def mark_dead(self) -> None:
        """See `Cell.mark_dead`."""
        self.inbox_max = -1
        self.stopped.set()

    def unstash(self) -> None:
        """See `Cell.unstash`."""
        stash = self.annex.stash
        for message in stash:
            if isinstance(message, Envelope):
                message.taken = not message.asked
        self.data.extendleft(reversed(stash))
        stash.clear()
        self.schedule()

    def pause_data(self) -> None:
        """Let data wait while control goes on."""
        self.paused = True
        self.data_open = False

    def resume_data(self) -> None:
        """See `Cell.resume_data`."""
        self.paused = False
        if self.state is State.RUNNING:
            self.data_open = True
            self.schedule()

    def drain(self) -> list[object]:
        """See `Cell.drain`."""
        waiting: list[object] = [*super().drain(), *self.annex.stash]
        self.annex.stash.clear()
        for lane in (self.control, self.data):
            while lane:
                waiting.append(lane.popleft())
        return waiting
