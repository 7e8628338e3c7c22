"""What becomes of a message that arrives for a path: the layer's own messages become signals, the rest goes to the mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pykka
from pykka.messages import _ActorStop

from actorflow.actor.asking import RemoteReply
from actorflow.actor.messages import Ended, StopRequested, Unwatched, WatchRequested
from actorflow.actor.signals import End, Envelope, Unwatch, Watch, WatchedEnded
from actorflow.actor.watching import ENDING_OF_UNKNOWN
from actorflow.ids import ActorPath, Address, address
from actorflow.protocol.machine import Stopped

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell
    from actorflow.actor.system import ActorSystem


def hand_over(cell: Cell, message: object, *, control: bool, reply_to: Address | None, correlation: int | None) -> None:
    """Give a message to the actor that it is for. Thread-safe.

    Raises:
        MailboxOverflow: if the lane is full.
    """
    match message:
        case WatchRequested(watcher=watcher):
            cell.post_control(Watch(watcher))
        case Unwatched(watcher=watcher):
            cell.post_control(Unwatch(watcher))
        case Ended(target=target):
            cell.post_control(WatchedEnded(target, message.ending()))
        case StopRequested(drain=drain) if reply_to is not None:
            reply = RemoteReply(cell.system, reply_to, correlation)
            if drain:
                cell.post(Envelope(_ActorStop(), reply))
            else:
                cell.post_control(End(Stopped(), reply))
        case _:
            content = message
            if reply_to is not None:
                content = Envelope(message, RemoteReply(cell.system, reply_to, correlation), asked=correlation is not None)
            (cell.post_control if control else cell.post)(content)


def nobody_there(system: ActorSystem, path: ActorPath, message: object, reply_to: Address | None, correlation: int | None) -> None:
    """Deal with a message for a path where nobody lives: watchers and askers hear it, the rest are dead letters. Thread-safe."""
    target = address(system.node, path)
    if isinstance(message, WatchRequested):
        system.send(message.watcher, Ended.of(target, ENDING_OF_UNKNOWN))
    elif not isinstance(message, Unwatched | Ended):
        system.dead_letter(target, message, "nobody lives at this address")
        if reply_to is not None and correlation is not None:
            dead = pykka.ActorDeadError(f"{target} not found")
            RemoteReply(system, reply_to, correlation).set_exception((type(dead), dead, None))
