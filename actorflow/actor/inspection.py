"""Looking at living actors: the story of one, and a snapshot of the tree. People, tests and error reports read the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actorflow.actor.state import State
from actorflow.ids import ActorPath

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell
    from actorflow.actor.signals import Look


@dataclass(frozen=True, slots=True)
class StoryEntry:
    """Something that happened to an actor.

    Attributes:
        at_s: when, on the system's clock.
        event: what came: a machine's event (of a large one its `keepsakes.Outline`), or a step of the actor's life ("started", ...).
        caused: what followed: a machine's effects, or details of the step.
    """

    at_s: float
    event: object
    caused: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One actor in a snapshot of the tree.

    Attributes:
        path: its path.
        kind: name of its class.
        state: where it is in its life.
        control_depth: messages waiting in the control lane.
        data_depth: messages waiting in the data lane.
        handled: messages handled since it was spawned.
        restarts: fresh instances after failures.
        children: how many children it has.
        observation: what `observe()` returned, if that was asked for and answered in time.
    """

    path: ActorPath
    kind: str
    state: str
    control_depth: int
    data_depth: int
    handled: int
    restarts: int
    children: int
    observation: object = None


def note(cell: Cell, event: object, *caused: object) -> None:
    """Add an entry to the story of an actor. Light actors tell only what goes wrong."""
    if cell.tells_story or event == "failed":
        cell.annex.story.append(StoryEntry(cell.system.clock.now(), event, caused))


def story(cell: Cell, n: int) -> tuple[StoryEntry, ...]:
    """Return the last `n` entries, oldest first."""
    entries: Sequence[StoryEntry] = tuple(cell.annex.story) if cell.has_annex else ()
    return tuple(entries[max(0, len(entries) - n) :])


def look(cell: Cell, request: Look) -> None:
    """Answer a `Look`. What an actor's own `observe` raises goes to whoever looked, not to its supervisor."""
    try:
        answer = story(cell, request.n) if request.what == "story" else (cell.actor.observe() if cell.actor is not None else None)
    except BaseException:
        request.reply.set_exception()
    else:
        request.reply.set(answer)


def walk(root: Cell) -> Iterator[Cell]:
    """Yield all living cells below `root`, parents before children, in the order they were spawned."""
    for child in tuple((root.children or {}).values()):
        yield child
        yield from walk(child)


def row(cell: Cell, observation: object = None) -> TreeRow:
    """Return the snapshot of one cell. Any thread may call this: it only reads."""
    control_depth, data_depth = cell.depth()
    return TreeRow(
        cell.path,
        cell.recipe.cls.__name__,
        State(cell.state).value,
        control_depth,
        data_depth,
        cell.handled,
        cell.annex.restarts if cell.has_annex else 0,
        len(cell.children or ()),
        observation,
    )
