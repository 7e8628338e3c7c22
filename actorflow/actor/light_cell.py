"""The cell of a light actor: no mailbox at all. Each message stands in the dispatcher's ready queue by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorflow.actor import lifecycle
from actorflow.actor.cell import Cell
from actorflow.actor.ref import ActorRef, LightRef
from actorflow.actor.signals import Signal
from actorflow.actor.state import Recipe
from actorflow.errors import MailboxOverflow

if TYPE_CHECKING:
    from actorflow.actor.actor import LightActor
    from actorflow.actor.dispatcher import Dispatcher
    from actorflow.actor.system import ActorSystem


class Delivery:
    """One message for a light actor, standing in the ready queue by itself."""

    __slots__ = ("cell", "message")

    def __init__(self, cell: LightCell, message: object) -> None:
        self.cell = cell
        self.message = message

    def turn(self) -> None:
        """Handle the message."""
        cell = self.cell
        try:
            cell.take(self.message)
        except BaseException as error:
            lifecycle.failed(cell, error)
        cell.current = None

    def shorten(self) -> None:
        """One message is the shortest turn."""


class LightCell(Cell):
    """A cell without a mailbox."""

    __slots__ = ()

    tells_story = False

    recipe: Recipe[LightActor]

    def __init__(
        self, system: ActorSystem, parent: Cell | None, name: str, dispatcher: Dispatcher, recipe: Recipe[LightActor]
    ) -> None:
        super().__init__(system, parent, name, dispatcher, recipe)

    @property
    def ref(self) -> ActorRef:
        """See `Cell.ref`."""
        return LightRef(self)

    def make_instance(self) -> None:
        """See `Cell.make_instance`."""
        recipe = self.recipe
        actor = recipe.cls.__new__(recipe.cls)
        actor._cell = self
        actor.__init__(*recipe.args, **recipe.kwargs)  # type: ignore[misc]  # the context has to be there before __init__ runs
        self.actor = actor

    def post(self, message: object) -> None:
        """See `Cell.post`. Both lanes are one: messages come in the order they were sent.

        Raises:
            MailboxOverflow: if the dispatcher's queue is full, or what is held until the actor runs again.
        """
        dispatcher = self.dispatcher
        waiting = len(dispatcher.ready) if self._annex is None else len(dispatcher.ready) + len(self._annex.held)
        if waiting >= self.system.inbox_messages_max and not isinstance(message, Signal):
            raise MailboxOverflow(
                f"cannot tell {self.address}: {waiting} messages wait for it or in its dispatcher's queue, the limit",
                hint="whoever sends faster than light actors handle needs flow control",
            )
        dispatcher.ready.append(Delivery(self, message))
        if dispatcher.sleeping:
            dispatcher.wake()

    post_control = post

    def depth(self) -> tuple[int, int]:
        """Light actors have no mailbox; what is held during a failure counts as control."""
        return (len(self.annex.held) if self.has_annex else 0), 0

    def opened(self) -> None:
        """Handle what was held, now: everything that stands in the queue came later."""
        if self._annex is not None:
            held, self._annex.held = self._annex.held, []
            for message in held:
                Delivery(self, message).turn()
