"""Records in order: by code, then by event time, then by lane, then as they came. Sorting, merging, and writing them as blocks.

Nothing here happens per record in Python: orders are found by `list.sort` over the codes (`wire.key_order` says why they are text), whole
lists are permuted and cut at once, and merging sorts what several runs have up to a common place, which for lists that consist of sorted
pieces is a merge in C (Timsort finds the pieces).

A *lane* tells apart what must not end up in one batch: records of another input, records without event time.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress, islice, repeat
from operator import itemgetter, ne, sub
from typing import Any

from actorflow.wire import codec
from actorflow.wire.batch import MIN_TIMESTAMP, ObjectBatch

Place = tuple[str, int, int]
"""Code, event time and lane: where in the order a record stands, but for its arrival."""

_HEADER = struct.Struct("<BBhQQQQ")
_MIXED = -1
_COMPRESSED_BYTES_MAX = 1 << 30


class Rows:
    """Columns of equal length.

    Attributes:
        codes: of the records' keys.
        records: the values.
        times: event times (ms), or None when no record has any; `MIN_TIMESTAMP` stands for a missing one.
        lanes: one number for all records, or one each; 0 to 255.
    """

    __slots__ = ("codes", "lanes", "records", "times")

    def __init__(self, codes: list[str], records: list[Any], times: list[int] | None, lanes: list[int] | int) -> None:
        self.codes = codes
        self.records = records
        self.times = times
        self.lanes = lanes

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"Rows({len(self.records)} records)"

    def cut(self, start: int, stop: int) -> Rows:
        """Return the rows from `start` up to `stop`."""
        if start == 0 and stop == len(self.records):
            return self
        times, lanes = self.times, self.lanes
        return Rows(
            self.codes[start:stop],
            self.records[start:stop],
            None if times is None else times[start:stop],
            lanes if isinstance(lanes, int) else lanes[start:stop],
        )

    def sorted(self) -> Rows:
        """Return the rows in order: by one stable sort after the other, which for columns that are in order already costs little."""
        count = len(self.records)
        if isinstance(self.lanes, int) and self.times is None:
            return self._taken(sorted(range(count), key=self.codes.__getitem__))
        order = list(range(count))
        for column in (self.lanes, self.times, self.codes):
            if isinstance(column, list):
                order.sort(key=column.__getitem__)
        return self._taken(order)

    def merged(self) -> Rows:
        """Return the rows in order, quickly if they are a few sorted pieces one behind the other."""
        columns = [column for column in (self.codes, self.times, self.lanes) if isinstance(column, list)]
        places: Sequence[Any] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        return self._taken(sorted(range(len(self.records)), key=places.__getitem__))

    def _taken(self, order: list[int]) -> Rows:
        if len(order) < 2:
            return self
        take = itemgetter(*order)
        times, lanes = self.times, self.lanes
        return Rows(
            list(take(self.codes)),
            list(take(self.records)),
            None if times is None else list(take(times)),
            lanes if isinstance(lanes, int) else list(take(lanes)),
        )

    def place(self, index: int) -> Place:
        """Return where in the order a row stands."""
        times, lanes = self.times, self.lanes
        return (
            self.codes[index],
            MIN_TIMESTAMP if times is None else times[index],
            lanes if isinstance(lanes, int) else lanes[index],
        )

    def find(self, place: Place, start: int, *, after: bool) -> int:
        """Return the index from `start` on that separates the rows before a place from those after it; those at it count as `after` says."""
        low, high = start, len(self.records)
        columns: tuple[Any, ...] = (self.codes, MIN_TIMESTAMP if self.times is None else self.times, self.lanes)
        for column, wanted in zip(columns, place, strict=True):
            if isinstance(column, list):
                low = bisect_left(column, wanted, low, high)
                high = bisect_right(column, wanted, low, high)
                if low == high:
                    return low
            elif column != wanted:
                return high if column < wanted else low
        return high if after else low


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows one behind the other."""
    if len(parts) == 1:
        return parts[0]
    codes = list(chain.from_iterable([part.codes for part in parts]))
    records = list(chain.from_iterable([part.records for part in parts]))
    times: list[int] | None = None
    if any(part.times is not None for part in parts):
        times = list(chain.from_iterable([part.times or repeat(MIN_TIMESTAMP, len(part)) for part in parts]))
    lanes: list[int] | int = parts[0].lanes
    if any(part.lanes != lanes for part in parts) or not isinstance(lanes, int):
        each = [repeat(part.lanes, len(part)) if isinstance(part.lanes, int) else part.lanes for part in parts]
        lanes = list(chain.from_iterable(each))
    return Rows(codes, records, times, lanes)


# --- merging -------------------------------------------------------------------------------------------------------------


class _Head:
    """What of a run is in memory: the rest of one block, from `start` on."""

    __slots__ = ("blocks", "rows", "start")

    def __init__(self, blocks: Iterator[Rows]) -> None:
        self.blocks = blocks
        self.rows = Rows([], [], None, 0)
        self.start = 0

    def fill(self) -> bool:
        """Take the next block if this one is used up; return whether anything is left."""
        while self.start >= len(self.rows):
            block = next(self.blocks, None)
            if block is None:
                return False
            self.rows, self.start = block, 0
        return True

    def give(self, stop: int) -> Rows:
        """Return the rows up to `stop`."""
        rows, self.start = self.rows.cut(self.start, stop), stop
        return rows


def merge(runs: Sequence[Iterator[Rows]], portion_records: Callable[[], int]) -> Iterator[Rows]:
    """Merge sorted runs; give them out in portions of at most twice `portion_records()` records.

    In each step, every run gives what it has up to one place in the order: the first of the places that are `stride` records ahead in each
    run. So none gives more than its stride, and nothing that is still to come belongs before what was given.

    Args:
        runs: blocks in order, each block in order. Where places are equal, their order counts.
        portion_records: asked at each step.
    """
    heads = [head for head in map(_Head, runs) if head.fill()]
    while heads:
        stride = max(1, 2 * portion_records() // len(heads))
        yield _portion(heads, stride)
        heads = [head for head in heads if head.fill()]


def _portion(heads: Sequence[_Head], stride: int) -> Rows:
    stops = [min(head.start + stride, len(head.rows)) for head in heads]
    if len(heads) == 1:
        return heads[0].give(stops[0])
    places = [head.rows.place(stop - 1) for head, stop in zip(heads, stops, strict=True)]
    place = min(places)
    chosen = places.index(place)
    parts = []
    for number, head in enumerate(heads):
        # What others have at this very place comes before what the chosen run has there if they are earlier, else after all of it.
        stop = stops[chosen] if number == chosen else head.rows.find(place, head.start, after=number < chosen)
        if stop > head.start:
            parts.append(head.give(stop))
    return joined(parts).merged() if len(parts) > 1 else parts[0]


# --- blocks --------------------------------------------------------------------------------------------------------------


def encode_rows(rows: Rows) -> tuple[list[bytes | memoryview], int]:
    """Return sorted rows as the pieces of a block, and how many bytes these were before they were compressed. Each code is written once.

    Raises:
        SerializationError: if a record cannot be pickled.
    """
    begins = [True, *map(ne, rows.codes, islice(rows.codes, 1, None))]
    starts = list(compress(range(len(rows)), begins))
    codes_codec, codes = codec.encode_batch(ObjectBatch(list(compress(rows.codes, begins))))
    records_codec, records = codec.encode_batch(ObjectBatch(rows.records, rows.times))
    counts = array("q", map(sub, [*starts[1:], len(rows)], starts))
    lanes = rows.lanes if isinstance(rows.lanes, int) else _MIXED
    pieces = [codes, counts.tobytes(), b"" if isinstance(rows.lanes, int) else bytes(rows.lanes), records]
    sizes = [len(piece) for piece in pieces]
    packed = codec.compress(b"".join(pieces)) if sum(sizes) <= _COMPRESSED_BYTES_MAX else None
    body = pieces if packed is None else [packed]
    return [bytes([packed is not None]), _HEADER.pack(codes_codec, records_codec, lanes, *sizes), *body], sum(sizes)


def decode_rows(block: bytes) -> Rows:
    """Return the rows that `encode_rows` wrote.

    Raises:
        FrameRefused: if the block is damaged.
        SerializationError: if a record cannot be rebuilt.
    """
    codes_codec, records_codec, lanes, *sizes = _HEADER.unpack_from(block, 1)
    body: bytes | memoryview = memoryview(block)[1 + _HEADER.size :]
    if block[0]:
        body = codec.decompress(body, _COMPRESSED_BYTES_MAX)
    view, pieces = memoryview(body), []
    for size in sizes:
        pieces.append(view[:size])
        view = view[size:]
    batch = codec.decode_batch(records_codec, pieces[3])
    assert isinstance(batch, ObjectBatch), "rows are written as objects"
    distinct = codec.decode_batch(codes_codec, pieces[0])
    assert isinstance(distinct, ObjectBatch), "codes are written as objects"
    codes = list(chain.from_iterable(map(repeat, distinct.records, pieces[1].cast("q"))))
    return Rows(codes, batch.records, batch.timestamps, list(pieces[2]) if lanes == _MIXED else lanes)
