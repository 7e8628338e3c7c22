"""Sorts more records than fit into memory, in small pieces of work.

    add ──► open rows ──► sorted slices ──► too many? merged into a run on disk
                                │                        │
    finish ─────────────────────┴────────────────────────┴──► merged, a block at a time ──► take

Records come back ordered by the code of their key (`wire.key_order`), then by event time, then by lane, then as they came. Memory is
bounded by an estimate: half of what is allowed holds records until they are written, the other half holds one block of every run that
is being merged; where there are more runs than that, neighbours are merged into longer ones first. What is left below the limit is for the
allocator, and for estimates that are wrong; how wrong they are is seen when records are written, and corrected.

Whoever uses it calls `work` between batches until nothing is pending: no call takes longer than to sort or merge some thousand records.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from actorflow.storage.record_size import sampled_bytes
from actorflow.storage.sorted_rows import Rows, decode_rows, encode_rows, joined, merge
from actorflow.storage.spill_file import Extent, SpillFile
from actorflow.wire.batch import ObjectBatch
from actorflow.wire.key_order import KeyCodes

_SLICE_RECORDS_MAX = 1 << 15
_BLOCK_RECORDS_MAX = 1 << 13
_BLOCK_BYTES_MAX = 1 << 20
_BLOCKS_IN_MEMORY = 64
_SLICES_IN_MEMORY = 16
_POINTER_BYTES = 8
_SAMPLES_MAX = 16
_RECORDS_A_SAMPLE = 64


@dataclass(slots=True)
class _Run:
    """A sorted run on disk.

    Attributes:
        blocks: where its blocks are, in order.
        length: bytes of all of them.
    """

    blocks: list[Extent] = field(default_factory=list)
    length: int = 0


class ExternalSort:
    """Sorts records by the codes of their keys.

    Args:
        open_file: makes the file that runs are spilled to; called once, and only if they are.
        memory_bytes_max: what it may use, in bytes.
    """

    def __init__(self, open_file: Callable[[], SpillFile], memory_bytes_max: int) -> None:
        self._open_file = open_file
        self._file: SpillFile | None = None
        self._codes = KeyCodes()
        self._held_bytes_max = memory_bytes_max / 2
        self._block_bytes = max(1, min(_BLOCK_BYTES_MAX, memory_bytes_max // 2 // _BLOCKS_IN_MEMORY))
        self._fan_in = max(2, int(self._held_bytes_max / self._block_bytes))
        self._open: list[Rows] = []
        self._open_records = 0
        self._open_bytes = 0.0
        self._unsorted: list[Rows] = []
        self._slices: list[Rows] = []
        self._held_bytes = 0.0
        self._runs: list[_Run] = []
        self._task: Iterator[None] | None = None
        self._finished = False
        self._result: Iterator[Rows] | None = None
        self._estimated_bytes = 0.0
        self._encoded_bytes = 0.0
        self._underestimate = 1.0
        self.records = 0
        """Records that were added."""

    # --- input ---------------------------------------------------------------------------------------------------------------

    def add(self, batch: ObjectBatch, keys: list[Any], lane: int = 0) -> None:
        """Take over a batch, and the key of each of its records.

        Raises:
            UnstableKey: if a key cannot be compared with others; nothing of the batch was taken then.
        """
        assert not self._finished, "nothing is added after finish"
        rows = Rows(self._codes.of(keys), batch.records, batch.timestamps, lane)
        self.records += len(rows)
        size = self._bytes_of(rows)
        self._estimated_bytes += size
        self._held_bytes += size * self._underestimate
        if len(rows) > _SLICE_RECORDS_MAX:
            self._close_slice()
            self._unsorted += [rows.cut(at, at + _SLICE_RECORDS_MAX) for at in range(0, len(rows), _SLICE_RECORDS_MAX)]
            return
        self._open.append(rows)
        self._open_records += len(rows)
        self._open_bytes += size * self._underestimate
        if self._open_records >= _SLICE_RECORDS_MAX or self._open_bytes >= self._held_bytes_max / _SLICES_IN_MEMORY:
            self._close_slice()

    @staticmethod
    def _bytes_of(rows: Rows) -> float:
        columns = [column for column in (rows.records, rows.codes, rows.times) if column is not None]
        samples = max(1, min(_SAMPLES_MAX, len(rows) // _RECORDS_A_SAMPLE))
        return sampled_bytes(columns, samples) + len(rows) * len(columns) * _POINTER_BYTES

    def _close_slice(self) -> None:
        if self._open:
            self._unsorted.append(joined(self._open))
            self._open, self._open_records, self._open_bytes = [], 0, 0.0

    def finish(self) -> None:
        """Say that no record will follow."""
        self._close_slice()
        self._finished = True

    # --- work ----------------------------------------------------------------------------------------------------------------

    def work(self) -> bool:
        """Do a piece of what is to be done before more is added or taken; return False if there was nothing to do.

        Raises:
            SpillError: if the disk is full, or fails.
            SerializationError: if a record cannot be written.
        """
        if self._unsorted:
            self._slices.append(self._unsorted.pop(0).sorted())
        elif self._task is not None:
            if next(self._task, self) is self:
                self._task = None
        else:
            self._task = self._next_task()
            return self._task is not None
        return True

    def _next_task(self) -> Iterator[None] | None:
        if self._held_bytes > self._held_bytes_max or (self._finished and self._runs and self._slices):
            self._close_slice()
            return self._spill()
        if self._finished and len(self._runs) > self._fan_in:
            return self._shorten()
        return None

    def _spill(self) -> Iterator[None]:
        """Write everything in memory as one run."""
        slices, self._slices, self._held_bytes = self._slices, [], 0.0
        blocks = merge([iter([rows]) for rows in slices], self._block_records)
        del slices
        self._runs.append((yield from self._written(blocks)))
        # Values take more memory than their bytes in a file: if these are more than was estimated, the estimate was too low.
        self._underestimate = max(1.0, self._encoded_bytes / self._estimated_bytes)

    def _shorten(self) -> Iterator[None]:
        """Merge so many neighbouring runs, the shortest, that one pass can merge what is left."""
        count = min(self._fan_in, len(self._runs) - self._fan_in + 1)
        starts = range(len(self._runs) - count + 1)
        start = min(starts, key=lambda at: sum(run.length for run in self._runs[at : at + count]))
        blocks = merge([self._blocks(run) for run in self._runs[start : start + count]], self._block_records)
        self._runs[start : start + count] = [(yield from self._written(blocks))]

    def _written(self, portions: Iterator[Rows]) -> Generator[None, None, _Run]:
        if self._file is None:
            self._file = self._open_file()
        run = _Run()
        for rows in portions:
            pieces, size = encode_rows(rows)
            extent = self._file.append(pieces)
            run.blocks.append(extent)
            run.length += extent.length
            self._encoded_bytes += size
            yield
        return run

    def _blocks(self, run: _Run) -> Iterator[Rows]:
        assert self._file is not None, "a run is in the file"
        for extent in run.blocks:
            yield decode_rows(self._file.read(extent))

    def _block_records(self) -> int:
        size = self._estimated_bytes * self._underestimate / max(1, self.records)
        return min(_BLOCK_RECORDS_MAX, max(1, int(self._block_bytes / max(1.0, size))))

    # --- output --------------------------------------------------------------------------------------------------------------

    def take(self) -> Rows | None:
        """Return the next records in order, or None at the end.

        Raises:
            SpillError: if they cannot be read back.
            SerializationError: if a record cannot be rebuilt.
        """
        assert self._finished, "records come in order once all are there"
        if self._result is None:
            runs: Sequence[Iterator[Rows]] = [self._blocks(run) for run in self._runs] or [iter([rows]) for rows in self._slices]
            self._slices = []
            self._result = merge(runs, self._block_records)
        return next(self._result, None)

    @property
    def spilled_bytes(self) -> int:
        """Bytes that were written to disk."""
        return self._file.bytes_written if self._file is not None else 0

    def close(self) -> None:
        """Give memory and disk space back."""
        self._open, self._unsorted, self._slices, self._result, self._task = [], [], [], None, None
        if self._file is not None:
            self._file.close()
