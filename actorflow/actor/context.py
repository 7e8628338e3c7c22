"""The context: an actor's view of its place in the system. To be used by the actor itself, on its own turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from actorflow.actor import watching
from actorflow.actor.signals import End, Envelope, Reply
from actorflow.errors import ActorflowError
from actorflow.ids import ActorPath, Address
from actorflow.protocol.machine import Done, Stopped

if TYPE_CHECKING:
    from actorflow.actor.actor import Actor, LightActor
    from actorflow.actor.cell import Cell
    from actorflow.actor.inbox_cell import InboxCell
    from actorflow.actor.ref import ActorRef
    from actorflow.actor.system import ActorSystem
    from actorflow.protocol.supervision import Supervise

DispatcherName = Literal["default", "pinned", "pool"]


class LightContext:
    """What light actors have, too."""

    __slots__ = ("_cell",)

    _cell: Cell

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def path(self) -> ActorPath:
        """This actor's path."""
        return self._cell.path

    @property
    def address(self) -> Address:
        """This actor's address."""
        return self._cell.address

    @property
    def ref(self) -> ActorRef:
        """A reference to this actor."""
        return self._cell.ref

    @property
    def system(self) -> ActorSystem:
        """The system this actor lives in."""
        return self._cell.system

    @property
    def parent(self) -> ActorRef:
        """A reference to the parent."""
        assert self._cell.parent is not None, "only the root has no parent, and the root is the engine's"
        return self._cell.parent.ref

    @property
    def children(self) -> tuple[ActorRef, ...]:
        """References to the living children, in the order they were spawned."""
        return tuple(child.ref for child in tuple((self._cell.children or {}).values()))

    def spawn(
        self,
        cls: type[Actor | LightActor],
        *args: Any,
        name: str,
        dispatcher: DispatcherName = "default",
        supervise: Supervise | None = None,
        **kwargs: Any,
    ) -> ActorRef:
        """Make a child. See `ActorSystem.spawn`."""
        return self._cell.system.spawn_under(self._cell, cls, args, kwargs, name, dispatcher, supervise)

    def stop(self, child: ActorRef | str) -> None:
        """Stop a child (its reference or its name), ahead of the data that waits for it. One that has ended is no error.

        Raises:
            ActorflowError: if the reference is not one of this actor's children.
        """
        name = child if isinstance(child, str) else child.path.rpartition("/")[2]
        cell = (self._cell.children or {}).get(name)
        if cell is not None:
            if not isinstance(child, str) and cell.ref != child and child.address != cell.address:
                raise ActorflowError(f"cannot stop {child.address}: it is not a child of {self.path}")
            cell.post_control(End(Stopped()))

    def finish(self) -> None:
        """End this actor after the current message, as `Done`: its work is finished."""
        self._cell.post_control(End(Done()))

    def watch(self, ref: ActorRef, name: str | None = None) -> None:
        """Deliver `ChildEnded(name, ending)` when the actor ends (at once if it has).

        Args:
            ref: any actor, here or elsewhere.
            name: how the ending is reported; by default the name of a child, the address of anyone else.
        """
        target = ref.address
        if name is None:
            own = (self._cell.children or {}).get(ref.path.rpartition("/")[2])
            name = own.name if own is not None and own.address == target else target
        watching.watch(self._cell, target, name)

    def unwatch(self, ref: ActorRef) -> None:
        """Take `watch` back."""
        watching.unwatch(self._cell, ref.address)

    def set_timer(self, name: str, delay_s: float) -> None:
        """Deliver `TimerFired(name)` after `delay_s` seconds, in place of a timer of that name."""
        self._cell.set_timer(name, self.now() + delay_s)

    def set_timer_at(self, name: str, at_s: float) -> None:
        """Deliver `TimerFired(name)` at a time on the system's clock."""
        self._cell.set_timer(name, at_s)

    def cancel_timer(self, name: str) -> None:
        """Forget a timer; it will not fire after this."""
        self._cell.cancel_timer(name)

    def now(self) -> float:
        """Return the time on the system's clock, in seconds."""
        return self._cell.system.clock.now()

    @property
    def reply_to(self) -> Reply | None:
        """Who waits for an answer to the current message, or None.

        Reading it takes the answer into the actor's own hands: call `set` or `set_exception` on it, now or in a later turn; what
        `on_receive` returns is no longer the answer.
        """
        current = self._cell.current
        if not isinstance(current, Envelope) or current.reply is None:
            return None
        current.taken = True
        return current.reply

    def reply(self, value: object) -> None:
        """Answer the current message, instead of by a return value. If nobody waits, the answer is a dead letter."""
        to = self.reply_to
        if to is not None:
            to.set(value)
        else:
            self._cell.system.dead_letter(self.address, value, "a reply to a message that nobody waits for")


class ActorContext(LightContext):
    """What actors with a mailbox have: everything of `LightContext`, the stash, and a hold on the data lane."""

    __slots__ = ()

    _cell: InboxCell

    def __init__(self, cell: InboxCell) -> None:
        self._cell = cell

    def stash(self) -> None:
        """Put the current message aside.

        Raises:
            ActorflowError: if the stash is full; it may hold as many messages as the mailbox.
        """
        cell = self._cell
        current = cell.current
        assert current is not None, "stash() is for the message that is being handled"
        if len(cell.annex.stash) >= cell.inbox_max:
            raise ActorflowError(f"cannot stash another message in {cell.path}: {cell.inbox_max} are there, the limit")
        if isinstance(current, Envelope):
            current.taken = True
        cell.annex.stash.append(current)

    def unstash_all(self) -> None:
        """Put everything stashed back in front of the data that waits, in the order it came."""
        self._cell.unstash()

    def pause_data(self) -> None:
        """Handle no data after the current message until `resume_data`. Control messages still come."""
        self._cell.pause_data()

    def resume_data(self) -> None:
        """Handle data again."""
        self._cell.resume_data()
