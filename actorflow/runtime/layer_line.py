"""The line of layers that a subtask's snapshots build upon: which files the next one may refer to.

    base ─ delta ─ delta          of the latest completed checkpoint that this subtask has heard of
             └── a snapshot: the line, and a delta of everything that has changed since
                     completed ──► this is the line now            aborted, or nothing heard ──► as if it had never been

A delta that is small stands in the part itself, and is not built upon: the next one holds its changes as well. So many small changes become
few files. When the deltas are as large as their base, or many, they are merged off the subtask's thread: all of them with the base into a new
base, or with each other. A snapshot that refers to a merged file refers to those that were merged, too: a snapshot that was taken before
this one is known to be complete may still need them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from actorflow.wire.manifest import StoredFile

DELTAS_MAX: Final = 32
"""Then deltas are merged with each other."""

Line = tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class Below:
    """What a snapshot builds upon.

    Attributes:
        layers: the files of its lower layers, in order; none if it has to be a base.
        kept: files that it refers to for the sake of other snapshots.
        line: the line as it was.
    """

    layers: Line = ()
    kept: Line = ()
    line: Line = ()


@dataclass(frozen=True, slots=True)
class _Merged:
    sources: Line
    file: StoredFile


class LayerLine:
    """The layers of one subtask. Used on the subtask's thread, except `stored`.

    Args:
        confirm: told that the changes of a snapshot are in the line.
        decline: told that they are not, and belong to the next one.
    """

    def __init__(self, confirm: Callable[[int], None], decline: Callable[[int], None]) -> None:
        self._confirm = confirm
        self._decline = decline
        self._line: Line = ()
        self._merged: _Merged | None = None
        self._begun: dict[int, Below] = {}
        self._stored: dict[int, StoredFile | None] = {}

    def begin(self, checkpoint: int) -> Below:
        """Return what the snapshot of a checkpoint builds upon."""
        line, merged = self._line, self._merged
        below = Below(line, (), line)
        if merged is not None and not any(begun.kept for begun in self._begun.values()):
            lower = _replaced(line, merged.sources, merged.file)
            if lower != line:
                below = Below(lower, merged.sources, line)
        self._begun[checkpoint] = below
        return below

    def stored(self, checkpoint: int, layer: StoredFile | None) -> None:
        """Note the file of a snapshot's own layer; None if it has none. Called before the snapshot is acknowledged, on any thread."""
        self._stored[checkpoint] = layer

    def completed(self, checkpoint: int) -> None:
        """Note that a checkpoint is complete: later snapshots build upon it. Those before it were overtaken."""
        below = self._begun.pop(checkpoint, None)
        for older in [number for number in self._begun if number < checkpoint]:
            self.given_up(older)
        if below is None:
            return
        own = self._stored.pop(checkpoint, None)
        if own is not None:
            self._confirm(checkpoint)
            self._line = (*below.layers, own)
        else:
            self._decline(checkpoint)
            # If the line went on meanwhile, files of it are not in this checkpoint, and go: the next snapshot is a base.
            self._line = below.layers if self._line == below.line else ()
        if below.kept:
            self._merged = None

    def given_up(self, checkpoint: int) -> None:
        """Note that nothing will be built upon a snapshot: what it stored is removed."""
        below = self._begun.pop(checkpoint, None)
        if below is None:
            return
        self._stored.pop(checkpoint, None)
        if below.kept:
            self._merged = None  # its file is removed with the snapshot
        self._decline(checkpoint)

    # --- merging -----------------------------------------------------------------------------------------------------------------

    def due(self) -> Line:
        """Return neighbouring layers that should become one, from the base if the first is the base; none if that is not worth while."""
        if self._merged is not None or len(self._line) < 2:
            return ()
        base, *deltas = self._line
        if sum(delta.size_bytes for delta in deltas) > base.size_bytes:
            return self._line
        return tuple(deltas) if len(deltas) >= DELTAS_MAX else ()

    def is_base(self, layers: Line) -> bool:
        """Return whether these layers begin with the base."""
        return layers[:1] == self._line[:1]

    def merged(self, sources: Line, file: StoredFile) -> bool:
        """Take the file that some layers have become; return whether it is of use."""
        if _replaced(self._line, sources, file) == self._line:
            return False
        self._merged = _Merged(sources, file)
        return True


def _replaced(line: Line, sources: Line, file: StoredFile) -> Line:
    """Return a line with one file instead of some neighbours, or as it is if they do not stand in it."""
    for start in range(len(line) - len(sources) + 1):
        if line[start : start + len(sources)] == sources:
            return (*line[:start], file, *line[start + len(sources) :])
    return line
