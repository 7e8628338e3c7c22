"""A collection of the user's process as a source.

Its records travel with the splits, each to the one reader that gets it. What the readers get of the source itself holds no record
(`for_readers`), so a large collection is not sent to every subtask.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Source
from actorflow.wire.batch import ObjectBatch

_SPLIT_RECORDS_MAX = 50_000
"""So that a split is a message of moderate size."""


@dataclass(frozen=True)
class CollectionSource(Source):
    """Records from memory.

    Attributes:
        records: all of them; empty in what readers get.
    """

    records: list[Any] = field(repr=False)

    def for_readers(self) -> CollectionSource:
        """Return the source without its records: `open` finds them in the split."""
        return CollectionSource([])

    def splits(self, parallelism: int) -> Iterable[list[Any]]:
        """Return slices of the collection: one for each reader, more if they are large."""
        size = min(max(1, -(-len(self.records) // parallelism)), _SPLIT_RECORDS_MAX)
        for first in range(0, len(self.records), size):
            yield self.records[first : first + size]

    def open(self, split: list[Any], position: Any) -> CollectionReader:
        """Return a reader of a slice."""
        return CollectionReader(split, position or 0)


class CollectionReader:
    """Gives a slice of a collection. Its position is the number of records given."""

    def __init__(self, records: list[Any], given: int) -> None:
        self._records = records
        self._given = given

    @property
    def position(self) -> object:
        """Number of records given."""
        return self._given

    def read(self, records_max: int) -> ObjectBatch | EndOfSplit:
        """Return the next records."""
        batch = self._records[self._given : self._given + records_max]
        if not batch:
            return END_OF_SPLIT
        self._given += len(batch)
        return ObjectBatch(batch)

    def close(self) -> None:
        """Nothing is held."""
