"""References: the only thing one actor has of another.

`tell` means what it means in pykka: it raises `ActorDeadError` if the actor is known to have ended. `tell_control` never raises for
that: what reaches nobody is a dead letter. A reference is pickled as its address; `ActorSystem.resolve` makes a reference of it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, overload

import pykka
from pykka.messages import _ActorStop

from actorflow.actor.future import ReplyFuture, refuse_deadlock
from actorflow.actor.messages import Sight, StopRequested
from actorflow.actor.signals import End, Envelope, Look
from actorflow.actor.state import State
from actorflow.errors import ActorflowError
from actorflow.ids import ActorPath, Address, split_address
from actorflow.protocol.machine import Stopped

if TYPE_CHECKING:
    from pykka import Future

    from actorflow.actor.cell import Cell
    from actorflow.actor.inbox_cell import InboxCell
    from actorflow.actor.light_cell import LightCell
    from actorflow.actor.system import ActorSystem


class ActorRef:
    """A reference to an actor, here or on another node. Safe to share between threads."""

    __slots__ = ()

    @property
    def address(self) -> Address:
        """The actor's address."""
        raise NotImplementedError

    @property
    def path(self) -> ActorPath:
        """The actor's path on its node."""
        return split_address(self.address)[1]

    def __repr__(self) -> str:
        return f"<ActorRef {self.address}>"

    def __reduce__(self) -> tuple[object, ...]:
        return (str, (str(self.address),))

    def is_alive(self) -> bool:
        """Return whether the actor is there, as far as this node knows; a remote one always is."""
        raise NotImplementedError

    def tell(self, message: object) -> None:
        """Send `message` on the data lane.

        Raises:
            pykka.ActorDeadError: if the actor is known to have ended.
            MailboxOverflow: if the lane is full.
        """
        raise NotImplementedError

    def tell_control(self, message: object) -> None:
        """Send `message` on the control lane, ahead of data.

        Raises:
            MailboxOverflow: if the lane is full.
        """
        raise NotImplementedError

    @overload
    def ask(self, message: object, *, block: Literal[True] = True, timeout: float | None = None, control: bool = False) -> Any: ...
    @overload
    def ask(
        self, message: object, *, block: Literal[False], timeout: float | None = None, control: bool = False
    ) -> Future[Any]: ...
    @overload
    def ask(self, message: object, *, block: bool, timeout: float | None = None, control: bool = False) -> Any | Future[Any]: ...
    def ask(self, message: object, *, block: bool = True, timeout: float | None = None, control: bool = False) -> Any | Future[Any]:
        """Send `message` on the data lane, or with `control` ahead of data, and wait for the answer, or return a future of it.

        Raises:
            AskRefused: if `block`, on the thread that runs the actor.
            pykka.ActorDeadError: if the actor has ended, or ends before it answers.
            pykka.Timeout: if there is no answer in `timeout` seconds.
            Exception: whatever the actor raised.
        """
        raise NotImplementedError

    def stop(self, *, block: bool = True, timeout: float | None = None, drain: bool = True) -> bool | Future[bool]:
        """Stop the actor, its children first.

        Args:
            block: wait until it has ended; else return a future.
            timeout: most seconds to wait.
            drain: first handle what was told before, as pykka does; else stop after the current message.

        Returns:
            whether it was alive (in a future, if not `block`).
        """
        raise NotImplementedError

    def observe(self, *, timeout: float | None = 5.0) -> Any:
        """Return the actor's state as it shows it, read between two messages; from another node, as plain data."""
        return self._look("observe", 0, timeout)

    def story(self, n: int = 10, *, timeout: float | None = 5.0) -> Any:
        """Return the last `n` things that happened to the actor, oldest first."""
        return self._look("story", n, timeout)

    def proxy(self) -> pykka.ActorProxy[Any]:
        """Return pykka's proxy, for method calls as messages.

        Raises:
            pykka.ActorDeadError: if the actor has ended.
        """
        raise ActorflowError(f"cannot make a proxy for {self.address}: only local actors that derive from Actor have one")

    def mailbox(self, n: int = 10, *, timeout: float | None = 5.0) -> Any:
        """Return what waits in the actor's mailbox: how many messages in each lane, and the first `n` as text."""
        return self._look("mailbox", n, timeout)

    def tree(self, *, timeout: float | None = 5.0) -> Any:
        """Return one row for this actor and for each below it, parents before children."""
        return self._look("tree", 0, timeout)

    def look(self, what: Sight, n: int = 10, *, timeout: float | None = 5.0) -> Future[Any]:
        """Look at the actor without waiting: return a future of what `observe`, `story`, `tree` or `mailbox` returns.

        Raises:
            pykka.ActorDeadError: if the actor is known to have ended.
        """
        raise NotImplementedError

    def _look(self, what: Sight, n: int, timeout: float | None) -> Any:
        raise NotImplementedError


class CellRef(ActorRef):
    """A reference to a local actor."""

    __slots__ = ("_cell",)

    _cell: Cell

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CellRef) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(self._cell)

    @property
    def address(self) -> Address:
        """See `ActorRef.address`."""
        return self._cell.address

    @property
    def path(self) -> ActorPath:
        """See `ActorRef.path`."""
        return self._cell.path

    def is_alive(self) -> bool:
        """See `ActorRef.is_alive`."""
        return self._cell.state is not State.ENDED

    def tell(self, message: object) -> None:
        """See `ActorRef.tell`."""
        if self._cell.state is State.ENDED:
            raise self._dead()
        self._cell.post(message)

    def tell_control(self, message: object) -> None:
        """See `ActorRef.tell_control`."""
        self._cell.post_control(message)

    def ask(self, message: object, *, block: bool = True, timeout: float | None = None, control: bool = False) -> Any:
        """See `ActorRef.ask`."""
        cell = self._cell
        if block:
            refuse_deadlock(cell, "ask")
        future = ReplyFuture(cell)
        if cell.state is State.ENDED:
            dead = self._dead()
            future.set_exception((type(dead), dead, None))
        else:
            (cell.post_control if control else cell.post)(Envelope(message, future))
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = None, drain: bool = True) -> bool | Future[bool]:
        """See `ActorRef.stop`."""
        cell = self._cell
        if block:
            refuse_deadlock(cell, "stop and wait for")
        stopped = ReplyFuture(cell)
        if cell.state is State.ENDED:
            dead = self._dead()
            stopped.set_exception((type(dead), dead, None))
        elif drain:
            cell.post(Envelope(_ActorStop(), stopped))
        else:
            cell.post_control(End(Stopped(), stopped))
        return _was_alive_later(stopped, block=block, timeout=timeout)

    def look(self, what: Sight, n: int = 10, *, timeout: float | None = 5.0) -> Future[Any]:  # noqa: ARG002 - for actors elsewhere
        """See `ActorRef.look`."""
        if self._cell.state is State.ENDED:
            raise self._dead()
        future = ReplyFuture(self._cell)
        self._cell.post_control(Look(what, n, future))
        return future

    def _look(self, what: Sight, n: int, timeout: float | None) -> Any:
        refuse_deadlock(self._cell, f"wait for {what}() of")
        return self.look(what, n).get(timeout=timeout)

    def _dead(self) -> pykka.ActorDeadError:
        return pykka.ActorDeadError(f"{self.address} not found")


def _was_alive_later(stopped: Future[Any], *, block: bool, timeout: float | None) -> bool | Future[bool]:
    """Return, in a future unless `block`, whether a stop found its actor alive."""

    def was_alive(left: float | None) -> bool:
        try:
            stopped.get(timeout=left)
        except pykka.ActorDeadError:
            return False
        return True

    if block:
        return was_alive(timeout)
    answer: Future[bool] = ReplyFuture()
    answer.set_get_hook(was_alive)
    return answer


class LocalRef(CellRef):
    """A reference to a local actor with a mailbox."""

    __slots__ = ()

    _cell: InboxCell

    def __init__(self, cell: InboxCell) -> None:
        self._cell = cell

    def tell(self, message: object) -> None:
        """See `ActorRef.tell`. This is `InboxCell.post`, written out: the engine's busiest line."""
        cell = self._cell
        data = cell.data
        if len(data) >= cell.inbox_max:
            raise cell.overflow("data") if cell.inbox_max >= 0 else self._dead()
        data.append(message)
        if not cell.scheduled:
            cell.scheduled = True
            dispatcher = cell.dispatcher
            dispatcher.ready.append(cell)
            if dispatcher.sleeping:
                dispatcher.wake()

    def proxy(self) -> pykka.ActorProxy[Any]:
        """See `ActorRef.proxy`."""
        return pykka.ActorProxy(actor_ref=cast("pykka.ActorRef[Any]", self))

    def _actor_weakref(self) -> Any:
        """Return the present instance; pykka's proxy looks at its attributes."""
        return self._cell.actor


class LightRef(CellRef):
    """A reference to a light actor."""

    __slots__ = ()

    _cell: LightCell

    def __init__(self, cell: LightCell) -> None:
        self._cell = cell


class AddressRef(ActorRef):
    """A reference by address alone: to an actor on another node, or to a local one that is looked up for each message."""

    __slots__ = ("_address", "_system")

    def __init__(self, system: ActorSystem, target: Address) -> None:
        self._system = system
        self._address = target

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddressRef) and other._address == self._address

    def __hash__(self) -> int:
        return hash(self._address)

    @property
    def address(self) -> Address:
        """See `ActorRef.address`."""
        return self._address

    def is_alive(self) -> bool:
        """See `ActorRef.is_alive`."""
        return not self._system.is_local(self._address) or self._system.find(self.path) is not None

    def tell(self, message: object) -> None:
        """See `ActorRef.tell`. An actor that is not there makes a dead letter, not an error."""
        self._system.send(self._address, message, control=False)

    def tell_control(self, message: object) -> None:
        """See `ActorRef.tell_control`."""
        self._system.send(self._address, message)

    def ask(self, message: object, *, block: bool = True, timeout: float | None = None, control: bool = False) -> Any:
        """See `ActorRef.ask`. Without `timeout` the answer has to come within the system's default."""
        return self._system.asks.ask(self._address, message, control=control, block=block, timeout_s=timeout)

    def stop(self, *, block: bool = True, timeout: float | None = None, drain: bool = True) -> bool | Future[bool]:
        """See `ActorRef.stop`."""
        if block:
            refuse_deadlock(self._system.root, "stop and wait for", self._address)
        stopped = self._system.asks.ask(self._address, StopRequested(drain), control=not drain, block=False, timeout_s=timeout)
        return _was_alive_later(stopped, block=block, timeout=timeout)

    def look(self, what: Sight, n: int = 10, *, timeout: float | None = 5.0) -> Future[Any]:
        """See `ActorRef.look`."""
        return self._system.looks.ask(self._address, what, n, timeout)

    def _look(self, what: Sight, n: int, timeout: float | None) -> Any:
        refuse_deadlock(self._system.root, f"wait for {what}() of", self._address)
        return self.look(what, n, timeout=timeout).get()
