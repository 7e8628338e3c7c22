"""Spawning: how an actor gets its cell, its place in the tree, its dispatcher and its first instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from actorflow.actor.actor import Actor, LightActor
from actorflow.actor.cell import Cell
from actorflow.actor.dispatcher import Dispatcher
from actorflow.actor.inbox_cell import InboxCell
from actorflow.actor.light_cell import LightCell
from actorflow.actor.signals import End
from actorflow.actor.state import Recipe, State
from actorflow.errors import ActorflowError
from actorflow.protocol.machine import Killed

if TYPE_CHECKING:
    from actorflow.actor.context import DispatcherName
    from actorflow.actor.ref import ActorRef
    from actorflow.actor.system import ActorSystem
    from actorflow.protocol.supervision import Supervise


class Guardian(Actor):
    """The root of the tree: supervises top-level actors, and handles nothing else."""


def make_root(system: ActorSystem) -> Cell:
    """Make the root of a system's tree."""
    root = InboxCell(system, None, "", system.dispatcher, Recipe(Guardian, (), {}))
    root.children = {}  # before any thread can spawn: two that make it at once would each have their own
    root.make_instance()
    root.begin()
    return root


def spawn(
    parent: Cell,
    cls: type[Actor | LightActor],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str,
    dispatcher: DispatcherName,
    supervise: Supervise | None,
) -> ActorRef:
    """Make a child of `parent` and let it begin. See `ActorSystem.spawn`."""
    if not name or "/" in name:
        raise ActorflowError(f"cannot spawn {cls.__name__} as {name!r}: a name is not empty and has no slash")
    cell = _make_cell(parent, cls, _recipe(parent, cls, args, kwargs), name, dispatcher)
    if supervise is not None:
        cell.annex.supervise = supervise
    _enter_tree(parent, cell)
    try:
        cell.make_instance()
    except BaseException:
        _leave_tree(parent, cell)
        for child in tuple((cell.children or {}).values()):
            child.post_control(End(Killed()))
        raise
    assert cell.actor is not None, "made just now"
    cell.actor._start_actor_loop()
    return cell.ref


def _recipe(parent: Cell, cls: type[Actor | LightActor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe[Any]:
    """Return what to make the actor from. Those made without arguments share one recipe a class."""
    if args or kwargs:
        return Recipe(cls, args, kwargs)
    return parent.system.recipes.setdefault(cls, Recipe(cls, (), {}))


def _make_cell(parent: Cell, cls: type[Actor | LightActor], recipe: Recipe[Any], name: str, dispatcher: DispatcherName) -> Cell:
    system = parent.system
    runs_it: Dispatcher
    if dispatcher == "pool" and issubclass(cls, LightActor):
        raise ActorflowError(
            f"cannot spawn {cls.__name__} on the pool: a light actor has no mailbox to wait in", hint="derive from Actor"
        )
    if system.simulated or dispatcher == "default":
        runs_it = system.dispatcher
    elif dispatcher == "pool":
        runs_it = system.pool_dispatcher
    elif dispatcher == "pinned":
        runs_it = system.own_thread(f"{parent.path.rstrip('/')}/{name}")
    else:
        assert_never(dispatcher)
    if issubclass(cls, LightActor):
        return LightCell(system, parent, name, runs_it, recipe)
    return InboxCell(system, parent, name, runs_it, recipe)


def _enter_tree(parent: Cell, cell: Cell) -> None:
    """Put the cell among its parent's children. Any thread may spawn at the top, so this is atomic without a lock.

    The parent's state is looked at afterwards: either the child sees that the parent is ending, or the parent sees the child.
    """
    if parent.children is None:
        parent.children = {}
    problem = ""
    if parent.children.setdefault(cell.name, cell) is not cell:
        problem = "the name is taken"
    elif parent.state in {State.STOPPING, State.RESTARTING, State.ENDED}:
        problem = f"its parent is {parent.state.value}"
    if problem:
        where = cell.path
        _leave_tree(parent, cell)
        raise ActorflowError(f"cannot spawn {where}: {problem}")


def _leave_tree(parent: Cell, cell: Cell) -> None:
    children = parent.children
    if children is not None and children.get(cell.name) is cell:
        del children[cell.name]
    cell.state = State.ENDED
    parent.system.cell_ended(cell)
