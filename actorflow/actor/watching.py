"""Death watch: who wants to know when an actor ends, here and on other nodes. The messages are described in `messages`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from actorflow.actor.messages import Ended, Unwatched, WatchRequested
from actorflow.actor.signals import Unwatch, Watch, WatchedEnded
from actorflow.actor.state import State
from actorflow.ids import Address, NodeId, split_address
from actorflow.protocol.machine import ChildEnded, Ending, Killed, Lost, Stopped

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell
    from actorflow.actor.system import ActorSystem

logger = logging.getLogger("actorflow.actor")

ENDING_OF_UNKNOWN: Ending = Killed()
"""What a watcher hears of an actor that does not exist: it ended before, and nobody knows how."""


# --- the watched side -----------------------------------------------------------------------------------------------------


def add_watcher(cell: Cell, watcher: Cell | str) -> None:
    """Note a watcher; tell it now if the actor has ended already."""
    if cell.state is State.ENDED:
        _tell(cell, watcher, cell.ending or Stopped())
    else:
        cell.annex.watchers[watcher] = None


def tell_watchers(cell: Cell, ending: Ending) -> None:
    """Tell everyone who watches that the actor has ended."""
    watchers = tuple(cell.annex.watchers)
    cell.annex.watchers.clear()
    for watcher in watchers:
        _tell(cell, watcher, ending)


def _tell(cell: Cell, watcher: Cell | str, ending: Ending) -> None:
    """Tell one watcher. Never raises: one that cannot be told must not keep the others from hearing."""
    try:
        if isinstance(watcher, str):
            cell.system.send(Address(watcher), Ended.of(cell.address, ending))
        else:
            watcher.post_control(WatchedEnded(cell.address, ending))
    except Exception:
        logger.exception("cannot tell %s that %s has ended", watcher, cell.address)


# --- the watching side ----------------------------------------------------------------------------------------------------


def take_ending(cell: Cell, target: str, ending: Ending) -> None:
    """Hand the ending of a watched actor to the watcher, once, as `ChildEnded` under the name it watches it by."""
    name = cell.annex.watching.pop(target, None)
    if name is not None:
        cell.system.remote_watches.remove(target, cell)
        if cell.state not in {State.STOPPING, State.ENDED}:
            cell.take(ChildEnded(name, ending))


def forget_all(cell: Cell) -> None:
    """Take back every watch of an actor that ends."""
    if cell.has_annex:
        for target in tuple(cell.annex.watching):
            try:
                unwatch(cell, Address(target))
            except Exception:  # whoever is watched may tell an actor that has ended, which drops it
                logger.exception("%s cannot take back its watch of %s", cell.path, target)


def watch(cell: Cell, target: Address, name: str) -> None:
    """Make `cell` watch the actor at `target` and report its ending under `name`."""
    if target in cell.annex.watching:
        cell.annex.watching[target] = name
        return
    cell.annex.watching[target] = name
    node, path = split_address(target)
    if node == cell.system.node:
        found = cell.system.find(path)
        if found is None:
            cell.post_control(WatchedEnded(target, ENDING_OF_UNKNOWN))
        else:
            found.post_control(Watch(cell))
    else:
        cell.system.remote_watches.add(target, cell)
        cell.system.send(target, WatchRequested(cell.address))


def unwatch(cell: Cell, target: Address) -> None:
    """Undo `watch`; an ending that is under way is not delivered."""
    if cell.annex.watching.pop(target, None) is None:
        return
    node, path = split_address(target)
    if node == cell.system.node:
        found = cell.system.find(path)
        if found is not None:
            found.post_control(Unwatch(cell))
    elif cell.system.remote_watches.remove(target, cell):
        cell.system.send(target, Unwatched(cell.address))


class RemoteWatches:
    """Which local actors watch which remote addresses. Thread-safe: actors of several dispatchers watch."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._watchers: dict[str, dict[Cell, None]] = {}
        self._lock = threading.Lock()

    def add(self, target: Address, cell: Cell) -> None:
        """Note that `cell` watches `target`; the router hears of the first watcher."""
        with self._lock:
            watchers = self._watchers.setdefault(target, {})
            first = not watchers
            watchers[cell] = None
        if first and self._system.router is not None:
            self._system.router.watch(target)

    def remove(self, target: str, cell: Cell) -> bool:
        """Forget that `cell` watches `target`; the router hears of the last. Returns whether it did watch."""
        with self._lock:
            watchers = self._watchers.get(target, {})
            was = cell in watchers
            watchers.pop(cell, None)
            last = was and not watchers
            if last:
                del self._watchers[target]
        if last and self._system.router is not None:
            self._system.router.unwatch(Address(target))
        return was

    def ended(self, target: Address, ending: Ending) -> None:
        """Tell every watcher of `target`."""
        with self._lock:
            cells = tuple(self._watchers.get(target, ()))
        for cell in cells:
            cell.post_control(WatchedEnded(target, ending))

    def node_lost(self, node: NodeId) -> None:
        """Tell every watcher of an actor on `node`."""
        with self._lock:
            targets = [Address(target) for target in self._watchers if split_address(Address(target))[0] == node]
        for target in targets:
            self.ended(target, Lost(node))

    def link_restored(self, node: NodeId) -> None:
        """Ask again to be told of endings on `node`: what was said before, and what was answered, may have been lost."""
        with self._lock:
            watched = [
                (Address(target), tuple(cells))
                for target, cells in self._watchers.items()
                if split_address(Address(target))[0] == node
            ]
        for target, cells in watched:
            for cell in cells:
                self._system.send(target, WatchRequested(cell.address))
