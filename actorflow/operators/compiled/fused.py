"""A run of operators that share one generated loop, and the outputs at their positions.

The loop is generated at the first batch of a kind: with or without timestamps, and from the first operator or, when that one has a
columnar twin and got columns, from the second. A stage without operators spreads what it is given over outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.columnar.twins import ColumnarTwin
from actorflow.operators.compiled.codegen import FusedOperator, Loop, LoopWriter, Site, generate, loop_failure
from actorflow.operators.compiled.key_check import KeyCheck, TableCheck
from actorflow.operators.contract import OutputPort
from actorflow.operators.specs import ColumnarKeyedSpec, FilterSpec, FlatMapSpec, KeyedSpec
from actorflow.operators.stage import Consumer, Lookup, Stage
from actorflow.state.backend import KeyedBackend
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch


class FusedStage(Stage):
    """Compiled operators, and outputs.

    Args:
        operators: may be empty.
        ports: the outputs at each position: of the input first, then of each operator.
        following: the next stage, which gets what the last operator gives.
        subtask: for reports.
        origin: name of the operator that makes the input, for reports.
        alone: whether this is the only subtask, whose keys nobody else has looked at.
    """

    immediate: ClassVar[bool] = True

    def __init__(
        self,
        operators: Sequence[FusedOperator],
        ports: Sequence[Sequence[OutputPort]],
        following: Consumer | None,
        *,
        subtask: str,
        origin: str,
        alone: bool = False,
    ) -> None:
        assert len(ports) == len(operators) + 1, "one set of outputs for the input and for each operator"
        self._operators = tuple(operators)
        self._names = (origin, *(operator.name for operator in operators))
        self._title = " -> ".join(self._names[1:]) or f"outputs of {origin}"
        self._subtask = subtask
        self._loops: dict[tuple[bool, int], Loop] = {}
        for operator in self._operators:
            if operator.state is not None and isinstance(operator.spec, ColumnarKeyedSpec):
                operator.state.replaced(operator.spec.kind)
        self._twin = _twin(self._operators[0]) if self._operators else None
        self._loaded = _loaded(self._operators)
        self._key_checks = _key_checks(self._operators, subtask) if alone else []
        self._emits = [[port.output.emit for port in at] for at in ports]
        self.takes_frames = not ports[0] and (
            self._twin is not None if operators else isinstance(following, Stage) and following.takes_frames
        )
        if following is not None:
            self._emits[-1].append(following.process)
        self._records_in = 0
        self._records_out = 0

    def process(self, batch: Batch) -> None:
        """Take one batch through the loop and into the outputs."""
        self._records_in += len(batch)
        for emit in self._emits[0]:
            emit(batch)
        if not self._operators:
            return
        if isinstance(batch, ObjectBatch):
            self._run(batch, 0)
        else:
            self._run_columns(batch)

    def _run_columns(self, batch: ColumnBatch) -> None:
        result = self._twin.update(batch) if self._twin is not None else None
        if result is None:
            self._run(to_objects(batch), 0)
            return
        if self._loaded is not None:
            self._loaded.settle()
        for emit in self._emits[1]:
            emit(result)
        if len(self._operators) > 1:
            self._run(to_objects(result) if isinstance(result, ColumnBatch) else result, 1)
        else:
            self._records_out += len(result)

    def _run(self, batch: ObjectBatch, start: int) -> None:
        if start == 0 and self._twin is not None:
            self._twin.move_to_dict()
        timestamps = batch.timestamps
        variant = (timestamps is not None, start)
        loaded = self._loaded if start == 0 else None
        loop = self._loops.get(variant)
        if loop is None:
            collected = [bool(emits) for emits in self._emits[1:]]
            keyed = loaded is not None
            loop = generate(self._title, self._operators, collected, timed=variant[0], start=start, keyed=keyed)
            self._loops[variant] = loop
        if loaded is None:
            lists = self._call(loop, batch.records, timestamps)
        else:
            keys = batch.records
            if self._keys is not None:
                (keys,) = self._call(self._keys, batch.records, None)
            loaded.load(self._operators[0].spec.kind, keys)
            lists = self._call(loop, batch.records, timestamps, keys)
        for check in self._key_checks:
            check.look()
        if loaded is not None:
            loaded.settle()
        self._spread(lists, start, timed=variant[0])

    @functools.cached_property
    def _keys(self) -> Loop | None:
        return _key_loop(self._title, self._operators[0])

    def _call(self, loop: Loop, *arguments: list[Any] | None) -> tuple[list[Any], ...]:
        try:
            lists: tuple[list[Any], ...] = loop.run(*arguments)
        except BaseException as error:
            failure = loop_failure(error, loop, self._names, self._subtask)
            if failure is error:
                raise
            raise failure from error
        return lists

    def _spread(self, lists: tuple[list[Any], ...], start: int, *, timed: bool) -> None:
        """Give out the lists of the loop, which stand in the order of positions."""
        if self._emits[-1]:
            self._records_out += len(lists[-1])
        place = 0
        for emits in self._emits[start + 1 :]:
            if not emits:
                continue
            records = lists[place]
            if records:
                result = ObjectBatch(records, lists[place + 1] if timed else None)
                for emit in emits:
                    emit(result)
            place += 2 if timed else 1

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in of the first operator and records out of the last, and of those between where they must be the same."""
        facts: dict[str, dict[str, object]] = {operator.name: {} for operator in self._operators}
        for operator in self._operators:
            facts[operator.name]["records_in"] = self._records_in
            if isinstance(operator.spec, FilterSpec | FlatMapSpec):
                break
            facts[operator.name]["records_out"] = self._records_in
        if self._emits[-1]:
            for operator in reversed(self._operators):
                facts[operator.name]["records_out"] = self._records_out
                if isinstance(operator.spec, FilterSpec | FlatMapSpec):
                    break
                facts[operator.name]["records_in"] = self._records_out
        for operator in self._operators:
            if operator.state is not None:
                facts[operator.name]["keys"] = len(operator.state)
        return facts

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return the backends of the aggregations."""
        return {operator.name: operator.state for operator in self._operators if operator.state is not None}

    def lookups(self) -> Mapping[str, Lookup]:
        """Return how to read the accumulator of a key, under the name of the aggregation."""
        return {operator.name: operator.state.values for operator in self._operators if operator.state is not None}


def _loaded(operators: Sequence[FusedOperator]) -> KeyedBackend | None:
    """Return the state of the first operator if its values have to be loaded before a loop."""
    assert all(operator.state is None or operator.state.resident for operator in operators[1:]), "only the first keys are known"
    state = operators[0].state if operators else None
    return None if state is None or state.resident else state


def _key_checks(operators: Sequence[FusedOperator], subtask: str) -> list[TableCheck]:
    return [TableCheck(o.entries, KeyCheck(o.name, subtask)) for o in operators if o.entries is not None]


def _key_loop(title: str, operator: FusedOperator) -> Loop | None:
    """Return the loop that gives nothing but the keys of a keyed aggregation, which is operator number 1; None if records are the keys."""
    assert isinstance(operator.spec, KeyedSpec), "a keyed aggregation"
    writer = LoopWriter([1], [])
    record = writer.header(0)
    key, site = writer.select("key1", operator.spec.key, Site(1, record), record)
    if key == record:
        return None
    writer.collect(1, key, site)
    return writer.finish(f"key of {title}", timed=False)


def _twin(operator: FusedOperator) -> ColumnarTwin | None:
    """Return what runs this operator on columns, if it can."""
    if not isinstance(operator.spec, ColumnarKeyedSpec) or not operator.spec.columnar:
        return None
    assert operator.state is not None, "a keyed aggregation has state"
    state, kind = operator.state, operator.spec.kind
    if not state.resident:
        return ColumnarTwin(operator.name, operator.spec, state.table(kind), lambda keys: state.load(kind, keys))
    twin = ColumnarTwin(operator.name, operator.spec, state.table(kind))
    state.overlay(kind, twin)
    return twin
