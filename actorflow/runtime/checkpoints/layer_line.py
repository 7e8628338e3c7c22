"""The line of layers that a subtask's snapshots build upon: which files the next one may refer to.

    base ─ delta ─ delta          of the latest completed checkpoint that this subtask has heard of
             └── a snapshot: the line, and a delta of everything that has changed since
                     completed ──► this is the line now            aborted, or nothing heard ──► as if it had never been

It may be heard late that a checkpoint is complete: when another one is, which does without its files. So each snapshot says which is the oldest
that later ones may yet build upon, and of the completed ones none is discarded that is not older: all files of the line stay.

A layer is one file, or several if it is large, so that nobody has to hold all of it. A delta that is small stands in the part itself, and is not built upon: the next one holds its changes as well. So many small changes become
few files. When the deltas are larger than their base, the next snapshot is a base again, where that costs no more than a delta. Elsewhere, and when deltas
are many, they are merged off the subtask's thread: all of them with the base into a new base, or with each other; what is too large to be
merged in memory becomes a base again as well, when its deltas are twice as large. A snapshot that does without some files refers to
them all the same: one that was taken before this one is known to be complete may still need them.

A native savepoint borrows the line: it takes files of its own of it, and nothing is built upon what it adds. Until it has them, snapshots refer to
what it was lent, whatever they build upon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from actorflow.wire.manifest import StoredFile

DELTAS_MAX: Final = 32
"""Then deltas are merged with each other."""

_BEGUN_MAX: Final = 16
"""Snapshots of which nothing was heard; earlier ones are given up."""

_MERGED_ABOVE: Final = 2
"""How much larger than the base the deltas are when they are merged with it: merging reads and writes all of it."""

MERGED_BYTES_MAX: Final = 32 << 20
"""What is merged in memory, at most: it takes several times as much there."""

Line = tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class Below:
    """What a snapshot builds upon.

    Attributes:
        layers: the files of its lower layers, in order; none if it has to be a base.
        base: how many of them are the base.
        kept: files that it refers to for the sake of other snapshots.
        line: the line as it was.
        lent: files that it refers to for the sake of savepoints, besides these.
        oldest: the oldest checkpoint that later snapshots may build upon, when they hear that it is complete: this one, or one whose end was not
            heard of. 0 if nothing is built upon it.
    """

    layers: Line = ()
    base: int = 0
    kept: Line = ()
    line: Line = ()
    lent: Line = ()
    oldest: int = 0

    @property
    def beside(self) -> Line:
        """The files that it refers to, and does not build upon."""
        return (*self.kept, *self.lent)


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
        self._base = 0  # so many files of the line are the base
        self._merged: _Merged | None = None
        self._begun: dict[int, Below] = {}
        self._lent: dict[int, Line] = {}
        self._stored: dict[int, Line] = {}

    def resume(self, line: Line, base: int) -> None:
        """Build upon the layers that this run's state was restored from, of which so many files are the base."""
        assert not self._line, "a run is restored before its first checkpoint"
        assert not self._begun, "a run is restored before its first checkpoint"
        self._line, self._base = line, base

    def begin(self, checkpoint: int, *, afresh: bool = False) -> Below:
        """Return what the snapshot of a checkpoint builds upon.

        Args:
            checkpoint: its number.
            afresh: whether a base costs no more than a large delta.
        """
        line = self._line
        below = Below(line, self._base, (), line)
        free = self._merged if not any(begun.kept for begun in self._begun.values()) else None
        if self._base_is_due(afresh=afresh):
            # What was merged in vain goes with this snapshot.
            below = Below((), 0, (*line, *([free.file] if free is not None else [])), line)
        elif free is not None:
            lower = _replaced(line, free.sources, free.file)
            if lower == line:  # the line went on without them: merged in vain
                below = Below(line, self._base, (free.file,), line)
            else:
                below = Below(lower, 1 if self.is_base(free.sources) else self._base, free.sources, line)
        lent = dict.fromkeys(file for lent in self._lent.values() for file in lent)
        below = replace(below, lent=tuple(file for file in lent if file not in below.layers and file not in below.kept))
        self._begun[checkpoint] = below
        while len(self._begun) > _BEGUN_MAX:
            self.given_up(min(self._begun))
        return replace(below, oldest=min(self._begun))

    def lend(self, checkpoint: int) -> Below:
        """Return what the snapshot of a savepoint builds upon. Until it is given back, later snapshots name all of these files: they stay."""
        self._lent[checkpoint] = self._line
        return Below(self._line, self._base, (), self._line)

    def given_back(self, checkpoint: int) -> None:
        """Note that a savepoint has files of its own; nothing if none was lent any."""
        self._lent.pop(checkpoint, None)

    def stored(self, checkpoint: int, layer: Line) -> None:
        """Note the files of a snapshot's own layer; none if it stands in the part. Called before the snapshot is acknowledged, on any thread."""
        self._stored[checkpoint] = layer

    def completed(self, checkpoint: int) -> None:
        """Note that a checkpoint is complete: later snapshots build upon it. Those before it were overtaken."""
        below = self._begun.pop(checkpoint, None)
        for older in [number for number in self._begun if number < checkpoint]:
            self.given_up(older)
        if below is None:
            return
        own = self._stored.pop(checkpoint, ())
        if own:
            self._confirm(checkpoint)
            self._line, self._base = (*below.layers, *own), below.base or len(own)
        else:
            self._decline(checkpoint)
            if self._line == below.line:  # else it has gone on meanwhile, and holds more than this one is built upon
                self._line, self._base = below.layers, below.base
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

    def due(self, *, afresh: bool = False) -> Line:
        """Return neighbouring layers that should become one, from the base if the first is the base; none if that is not worth while.

        Args:
            afresh: see `begin`: where the next snapshot is a base, nothing has to be merged.
        """
        if self._merged is not None or len(self._line) <= self._base or self._base_is_due(afresh=afresh):
            return ()
        if self._deltas_exceed(_MERGED_ABOVE):
            return self._line
        return _longest_run(self._line[self._base :]) if len(self._line) - self._base >= DELTAS_MAX else ()

    def _base_is_due(self, *, afresh: bool) -> bool:
        """Return whether the next snapshot is a base: where that costs no more, or where merging would take too much memory."""
        if afresh and self._deltas_exceed(1):
            return True
        return self._deltas_exceed(_MERGED_ABOVE) and _bytes(self._line) > MERGED_BYTES_MAX

    def _deltas_exceed(self, bases: int) -> bool:
        return _bytes(self._line[self._base :]) > bases * _bytes(self._line[: self._base])

    def is_base(self, layers: Line) -> bool:
        """Return whether these layers begin with the base."""
        return layers[:1] == self._line[:1]

    def merged(self, sources: Line, file: StoredFile) -> bool:
        """Take the file that some layers have become; return whether it is of use."""
        if any(begun.kept for begun in self._begun.values()) or _replaced(self._line, sources, file) == self._line:
            return False
        self._merged = _Merged(sources, file)
        return True


def _bytes(files: Line) -> int:
    return sum(file.size_bytes for file in files)


def _longest_run(deltas: Line) -> Line:
    """Return the most neighbours that can be merged in memory; none if that is only one."""
    best: Line = ()
    start = 0
    for end in range(1, len(deltas) + 1):
        while _bytes(deltas[start:end]) > MERGED_BYTES_MAX:
            start += 1
        if end - start > max(1, len(best)):
            best = deltas[start:end]
    return best


def _replaced(line: Line, sources: Line, file: StoredFile) -> Line:
    """Return a line with one file instead of some neighbours, or as it is if they do not stand in it."""
    for start in range(len(line) - len(sources) + 1):
        if line[start : start + len(sources)] == sources:
            return (*line[:start], file, *line[start + len(sources) :])
    return line
