"""Cuts records that come sorted by key into batches, so that it is known where keys end.

A piece holds several small keys, or a part of a large one. It is *complete* if no record follows of any key that it holds, or that an
incomplete piece before it held. Where records of two inputs, or with and without event times, stand among each other within a key, a piece
becomes several batches; those of different keys share them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from actorflow.storage.sorted_rows import Rows, joined
from actorflow.wire.batch import ObjectBatch


class KeyPieces:
    """Cuts a sorted sequence of rows.

    Args:
        take: returns the next rows, or None at the end.
        records_max: in a piece.
    """

    def __init__(self, take: Callable[[], Rows | None], records_max: int) -> None:
        self._take = take
        self._records_max = records_max
        self._rows = Rows([], [], None, 0)
        self._start = 0
        self._exhausted = False

    def next(self) -> tuple[Rows, bool] | None:
        """Return the next piece and whether it is complete, or None at the end."""
        self._fill()
        rows, start = self._rows, self._start
        stop = start + self._records_max
        if stop >= len(rows):
            self._start = len(rows)
            return (rows.cut(start, len(rows)), True) if start < len(rows) else None
        following = rows.codes[stop]
        complete = rows.codes[stop - 1] != following
        if not complete:
            boundary = bisect_left(rows.codes, following, start, stop)
            if boundary > start:
                stop, complete = boundary, True
        self._start = stop
        return rows.cut(start, stop), complete

    def _fill(self) -> None:
        """Have more rows than one piece, so that it is known what follows it, unless there are no more."""
        while not self._exhausted and len(self._rows) - self._start <= self._records_max:
            more = self._take()
            if more is None:
                self._exhausted = True
            else:
                rest = self._rows.cut(self._start, len(self._rows))
                self._rows, self._start = joined([rest, more]) if len(rest) else more, 0


def lane_of(port: int, *, timed: bool) -> int:
    """Return the number that tells apart what must not be in one batch."""
    return 2 * port + timed


def batches_of(rows: Rows) -> Iterator[tuple[ObjectBatch, int]]:
    """Give the batches of a piece, and the port of each. Of one key, records keep their order; of different keys they need not."""
    if isinstance(rows.lanes, int):
        yield _batch(rows.records, rows.times, rows.lanes)
        return
    times = rows.times or [0] * len(rows)
    rounds: dict[tuple[int, int], list[int]] = {}
    code, lane, number = None, -1, 0
    for position, (its_code, its_lane) in enumerate(zip(rows.codes, rows.lanes, strict=True)):
        if its_code != code:
            code, lane, number = its_code, its_lane, 0
        elif its_lane != lane:
            lane, number = its_lane, number + 1
        rounds.setdefault((number, lane), []).append(position)
    for number_and_lane in sorted(rounds):
        positions = rounds[number_and_lane]
        yield _batch([rows.records[at] for at in positions], [times[at] for at in positions], number_and_lane[1])


def _batch(records: list[object], times: list[int] | None, lane: int) -> tuple[ObjectBatch, int]:
    port, timed = divmod(lane, 2)
    return ObjectBatch(records, times if timed else None), port
