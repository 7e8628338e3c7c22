"""A keyed aggregation in batch mode: one final result for each key, once all of its records are there.

The records come sorted by key, so the state holds a few keys at a time. The loop is the one of a running aggregation, without its output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.compiled.keyed_loop import KeyedLoop
from actorflow.operators.failures import user_failure
from actorflow.operators.specs import AggregateSpec, KeyedSpec, ReduceSpec
from actorflow.operators.stage import Consumer, Lookup, Stage
from actorflow.state.backend import KeyedBackend
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch


class FinalStage(Stage):
    """Aggregates, and gives on what came of it when keys are complete. A result has the latest event time of its key's records.

    Args:
        name: the operator's name.
        spec: the aggregation.
        backend: keeps the accumulators, as the state named like the operator's kind.
        following: gets the results.
        subtask: for reports.
    """

    def __init__(self, name: str, spec: KeyedSpec, backend: KeyedBackend, following: Consumer, *, subtask: str) -> None:
        self._name = name
        self._spec = spec
        self._loop = KeyedLoop(name, spec, backend, subtask=subtask)
        self._backend = backend
        self._values = backend.table(spec.kind)
        self._key_of: Callable[[Any], Any] = itemgetter(spec.key) if isinstance(spec.key, str) else spec.key
        self._latest: dict[Any, int] = {}
        self._following = following
        self._subtask = subtask
        self._records_in = 0
        self._records_out = 0

    def process(self, batch: Batch) -> None:
        """Update the values of the batch's keys. Records of a key come in the order of their event times."""
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        self._records_in += len(batch)
        self._loop.run(batch.records)
        if batch.timestamps is not None:
            self._latest.update(zip(map(self._key_of, batch.records), batch.timestamps, strict=True))

    def finish_keys(self) -> bool:
        """Give on the results of all keys there are, and forget these keys."""
        results = self._results()
        keys, latest = list(self._values), self._latest
        self._values.clear()
        self._latest = {}
        timed = [key in latest for key in keys] if latest else []
        if results and all(timed):
            self._give(results, list(map(latest.__getitem__, keys)) if latest else None)
        elif results:
            self._give([result for result, has in zip(results, timed, strict=True) if not has], None)
            rest = [result for result, has in zip(results, timed, strict=True) if has]
            self._give(rest, [latest[key] for key in keys if key in latest])
        return True

    def _give(self, results: list[Any], times: list[int] | None) -> None:
        if results:
            self._records_out += len(results)
            self._following.process(ObjectBatch(results, times))

    def _results(self) -> list[Any]:
        match self._spec:
            case ReduceSpec():
                return list(self._values.values())
            case AggregateSpec(aggregate=aggregate):
                key: Any = None
                results = []
                try:
                    for key, accumulator in self._values.items():
                        results.append((key, aggregate.result(accumulator)))
                except BaseException as error:
                    name, subtask, result = self._name, self._subtask, aggregate.result
                    raise user_failure(error, operator=name, subtask=subtask, function=result, key=key) from error
                return results
            case _:
                return list(self._values.items())

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, and the number of keys that are not complete."""
        return {self._name: {"records_in": self._records_in, "records_out": self._records_out, "keys": len(self._values)}}

    def lookups(self) -> Mapping[str, Lookup]:
        """Return how to read the accumulator of a key that is not complete."""
        return {self._name: self._backend.values}
