"""Count, sum, min and max over records in any order: what has come so far becomes one pair a key, so that less has to be sorted.

Batch mode sorts the input of keyed aggregations. These four do not care for the order of their records, and what they make of some of them
can be combined with what they make of others: their input is combined in memory as it comes, columns as columns, and only the pairs of key
and value are sorted. `merging` is the aggregation that combines the pairs. As far as memory goes, this is a table with an entry a key;
its owner empties it when it is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeGuard

from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.columnar.twins import ColumnarTwin
from actorflow.operators.compiled.keyed_loop import KeyedLoop
from actorflow.operators.specs import ColumnarKeyedSpec, CountSpec, MaxSpec, MinSpec, SumSpec
from actorflow.plan.graph import LogicalOperator, OperatorSpec
from actorflow.state.hashmap import HashMapBackend
from actorflow.storage.record_size import sampled_bytes
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import pyarrow as pa

_ENTRY_BYTES = 150
"""Of a dict with some room to grow, and of the pair that an entry becomes."""

_KEY, _VALUE = itemgetter(0), itemgetter(1)


def combines(spec: OperatorSpec) -> TypeGuard[ColumnarKeyedSpec]:
    """Return whether there can be a `Combiner` for an operator."""
    return isinstance(spec, ColumnarKeyedSpec)


def merging(spec: ColumnarKeyedSpec) -> ColumnarKeyedSpec:
    """Return the aggregation that makes the result of `spec` out of the pairs that a `Combiner` for it gives."""
    match spec:
        case CountSpec() | SumSpec():
            return SumSpec(_KEY, _VALUE)
        case MinSpec():
            return MinSpec(_KEY, _VALUE)
        case MaxSpec():
            return MaxSpec(_KEY, _VALUE)
        case _:
            raise AssertionError(f"unknown aggregation {spec!r}")


def merging_pairs(operator: LogicalOperator) -> LogicalOperator:
    """Return the operator as it stands behind a `Combiner`, if there is one for it; else the operator itself."""
    return replace(operator, spec=merging(operator.spec)) if combines(operator.spec) else operator


class Combiner:
    """The values of one aggregation so far, by key, and the latest event time of each key that has one.

    Args:
        name: the operator's name, for reports.
        spec: the aggregation.
        subtask: for reports.
    """

    def __init__(self, name: str, spec: ColumnarKeyedSpec, *, subtask: str) -> None:
        self._spec = spec
        self._key_of: Callable[[Any], Any] = itemgetter(spec.key) if isinstance(spec.key, str) else spec.key
        self._values = _Table(name, spec, spec if spec.columnar else None, subtask)
        self._latest = _Table(name, MaxSpec(_KEY, _VALUE), MaxSpec("key", "time"), subtask)

    def add(self, batch: Batch) -> None:
        """Take in a batch.

        Raises:
            UserFunctionError: if a function of the user raised.
        """
        self._values.add(batch)
        if batch.timestamps is None:
            return
        if isinstance(batch, ColumnBatch) and self._spec.columnar:
            self._latest.add(_times_of_columns(batch.columns, self._spec.key, batch.timestamps))
        else:
            batch = to_objects(batch) if isinstance(batch, ColumnBatch) else batch
            self._latest.add(ObjectBatch(list(zip(map(self._key_of, batch.records), batch.timestamps or (), strict=True))))

    @property
    def held_bytes(self) -> float:
        """About how much memory it takes, once its columns have become objects."""
        return self._values.held_bytes + self._latest.held_bytes

    def take(self, records_max: int) -> Iterator[ObjectBatch]:
        """Give everything as pairs, some at once, and forget what is given. Nothing is added meanwhile."""
        latest, values = self._latest.entries(), self._values.entries()
        while values:
            some = [values.popitem() for _ in range(min(records_max, len(values)))]
            timed = [pair for pair in some if pair[0] in latest] if latest else []
            untimed = [pair for pair in some if pair[0] not in latest] if timed else some
            if untimed:
                yield ObjectBatch(untimed)
            if timed:
                yield ObjectBatch(timed, [latest[key] for key, _ in timed])
        latest.clear()

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._values)


class _Table:
    """Running values by key, in a dict or in columns.

    Args:
        name: the operator's name.
        spec: the aggregation, for records.
        columns_spec: the same for columns, or None if it takes records only.
        subtask: for reports.
    """

    def __init__(self, name: str, spec: ColumnarKeyedSpec, columns_spec: ColumnarKeyedSpec | None, subtask: str) -> None:
        backend = HashMapBackend()
        self._entries = backend.table(spec.kind)
        self._loop = KeyedLoop(name, spec, backend, subtask=subtask)
        self._twin = ColumnarTwin(name, columns_spec, self._entries) if columns_spec is not None else None
        self._entry_bytes = 0.0

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        if isinstance(batch, ColumnBatch):
            if self._twin is not None and self._twin.update(batch) is not None:
                self._entry_bytes = max(self._entry_bytes, batch.columns.nbytes / max(1, len(batch)))
                return
            batch = to_objects(batch)
        if self._twin is not None:
            self._twin.move_to_dict()
        self._loop.run(batch.records)
        entries = self._entries
        sample = list(islice(entries.items(), 16))
        if sample:
            self._entry_bytes = sampled_bytes([sample])

    @property
    def held_bytes(self) -> float:
        """About how much memory it takes as a dict."""
        return len(self) * (_ENTRY_BYTES + self._entry_bytes)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._entries) if self._twin is None else len(self._twin)

    def entries(self) -> dict[Any, Any]:
        """Return the dict of all values, which the caller empties."""
        if self._twin is not None:
            self._twin.release()
        return self._entries


def _times_of_columns(columns: pa.RecordBatch, key: Any, times: pa.Array) -> ColumnBatch:
    import pyarrow as pa

    return ColumnBatch(pa.RecordBatch.from_arrays([columns.column(key), times], names=["key", "time"]))
