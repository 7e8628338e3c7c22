"""Looking at living actors: the story of one, and a snapshot of the tree. People, tests and error reports read the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from actorflow.actor.keepsakes import outline
from actorflow.actor.messages import Sight
from actorflow.actor.state import State
from actorflow.ids import ActorPath
from actorflow.wire.plain_form import plain_form

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


@dataclass(frozen=True, slots=True)
class StoryLine:
    """An entry of a story as another node shows it.

    Attributes:
        at_s: when, on the clock of the actor's system.
        event: what came, as text.
        caused: what followed, as text.
    """

    at_s: float
    event: str
    caused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MailboxView:
    """What waits in a mailbox: how many messages in each lane, and the first of them as text."""

    control_depth: int
    data_depth: int
    control: tuple[str, ...]
    data: tuple[str, ...]


def mailbox(cell: Cell, n: int) -> MailboxView:
    """Return what waits, of each lane the first `n`. On the thread that runs the cell: only senders touch the lanes meanwhile."""
    control, data = cell.waiting(n)
    return MailboxView(*cell.depth(), tuple(outline(message) for message in control), tuple(outline(message) for message in data))


def look(cell: Cell, request: Look) -> None:
    """Answer a `Look`. What an actor's own `observe` raises goes to whoever looked, not to its supervisor."""
    try:
        answer = _sight(cell, request.what, request.n)
    except BaseException:
        request.reply.set_exception()
    else:
        request.reply.set(answer)


def _sight(cell: Cell, what: Sight, n: int) -> object:
    match what:
        case "observe":
            return cell.actor.observe() if cell.actor is not None else None
        case "story":
            return story(cell, n)
        case "tree":
            return tuple(row(each) for each in (cell, *walk(cell)))
        case "mailbox":
            return mailbox(cell, n)
        case _:
            assert_never(what)


def shown_elsewhere(value: Any) -> Any:
    """Return what an actor has shown as plain data, of a story text, for other nodes."""
    return plain_form(lines(value) if _is_story(value) else value)


def lines(entries: Sequence[StoryEntry]) -> tuple[StoryLine, ...]:
    """Return a story as text: in outlines, without what options, code and state are in it."""
    return tuple(StoryLine(entry.at_s, _told(entry.event), tuple(_told(cause) for cause in entry.caused)) for entry in entries)


def _told(happening: object) -> str:
    return happening if isinstance(happening, str) else outline(happening)


def _is_story(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(entry, StoryEntry) for entry in value)


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
