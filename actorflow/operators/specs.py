"""What each operator does, as immutable values: the nodes of the logical graph. `chain.compile_chain` makes them run.

A *selector* says which part of a record is meant: a function, or the name of a field (then records are dicts, or rows of columns).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from actorflow.operators.aggregate import Aggregate
from actorflow.operators.asynchronous.retry import RetryPolicy
from actorflow.operators.processing.actor import BroadcastOperator, OperatorActor, TwoInputOperator
from actorflow.operators.processing.supervise import Supervise
from actorflow.plan.graph import DataPath, OperatorSpec

Selector = Callable[[Any], Any] | str


@dataclass(frozen=True)
class MapSpec(OperatorSpec):
    """One record in, one out: `fn(record)`."""

    fn: Callable[[Any], Any]

    kind: ClassVar[str] = "map"
    immediate: ClassVar[bool] = True

    def functions(self) -> Mapping[str, object]:
        """The user's function."""
        return {"fn": self.fn}


@dataclass(frozen=True)
class FlatMapSpec(OperatorSpec):
    """One record in, any number out: all of the iterable `fn(record)`."""

    fn: Callable[[Any], Iterable[Any]]

    kind: ClassVar[str] = "flat_map"
    immediate: ClassVar[bool] = True

    def functions(self) -> Mapping[str, object]:
        """The user's function."""
        return {"fn": self.fn}


@dataclass(frozen=True)
class FilterSpec(OperatorSpec):
    """Keeps the records for which `fn(record)` is true."""

    fn: Callable[[Any], Any]

    kind: ClassVar[str] = "filter"
    immediate: ClassVar[bool] = True

    def functions(self) -> Mapping[str, object]:
        """The user's function."""
        return {"fn": self.fn}


@dataclass(frozen=True)
class MapBatchesSpec(OperatorSpec):
    """A whole batch in, a whole batch out, as columns: `fn(frame) -> frame`.

    Attributes:
        fn: gets and returns a polars DataFrame or an Arrow RecordBatch; it may return None for no rows.
        format: which of the two.
    """

    fn: Callable[[Any], Any]
    format: Literal["polars", "arrow"] = "polars"

    kind: ClassVar[str] = "map_batches"
    immediate: ClassVar[bool] = True
    takes: ClassVar[DataPath] = DataPath.COLUMNS
    gives: ClassVar[DataPath] = DataPath.COLUMNS

    def functions(self) -> Mapping[str, object]:
        """The user's function."""
        return {"fn": self.fn}


@dataclass(frozen=True)
class MapAsyncSpec(OperatorSpec):
    """One record in, one out, by a coroutine function; many wait at the same time.

    Attributes:
        fn: `await fn(record)` is the result.
        ordered: results leave in the order of their records; otherwise as they come, but never past a watermark.
        capacity: calls in flight.
        timeout_ms: for all attempts of one record; passing it fails the job.
        retry: when to call again.
    """

    fn: Callable[[Any], Awaitable[Any]]
    ordered: bool = True
    capacity: int = 100
    timeout_ms: float = 10_000.0
    retry: RetryPolicy | None = None

    kind: ClassVar[str] = "map_async"

    def functions(self) -> Mapping[str, object]:
        """The user's function and the retry policy with its predicates."""
        return {"fn": self.fn} if self.retry is None else {"fn": self.fn, "retry": self.retry}


@dataclass(frozen=True)
class KeyedSpec(OperatorSpec):
    """A running aggregation for each key: every record gives one updated result.

    Attributes:
        key: what records are grouped by; the exchange before it partitions by the same.
    """

    key: Selector

    immediate: ClassVar[bool] = True

    def functions(self) -> Mapping[str, object]:
        """The selectors and functions that are not names of fields."""
        return _functions(self)


@dataclass(frozen=True)
class ReduceSpec(KeyedSpec):
    """`fn(reduced so far, record)`, starting with the first record of a key; emits the reduced record."""

    fn: Callable[[Any, Any], Any]

    kind: ClassVar[str] = "reduce"


@dataclass(frozen=True)
class AggregateSpec(KeyedSpec):
    """An aggregation of the user's; emits `(key, result)`."""

    aggregate: Aggregate[Any, Any, Any]

    kind: ClassVar[str] = "aggregate"


@dataclass(frozen=True)
class ColumnarKeyedSpec(KeyedSpec):
    """An aggregation that also runs on columns, a batch at a time, when its selectors are names of columns."""

    @property
    def columnar(self) -> bool:
        """Whether the selectors are names of columns."""
        return all(isinstance(value, str) for value in vars(self).values())

    @property
    def takes(self) -> DataPath:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Batches as they come, if the selectors allow it."""
        return DataPath.ANY if self.columnar else DataPath.OBJECTS

    @property
    def gives(self) -> DataPath:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """The form that it was given."""
        return DataPath.ANY if self.columnar else DataPath.OBJECTS


@dataclass(frozen=True)
class CountSpec(ColumnarKeyedSpec):
    """Counts records; emits `(key, n)`."""

    kind: ClassVar[str] = "count"


@dataclass(frozen=True)
class SumSpec(ColumnarKeyedSpec):
    """Adds values up, from 0; emits `(key, sum)`. Without `value`, records themselves are added."""

    value: Selector | None = None

    kind: ClassVar[str] = "sum"


@dataclass(frozen=True)
class MinSpec(ColumnarKeyedSpec):
    """Keeps the smallest value, the first of equals; emits `(key, smallest)`. Without `value`, records themselves are compared."""

    value: Selector | None = None

    kind: ClassVar[str] = "min"


@dataclass(frozen=True)
class MaxSpec(ColumnarKeyedSpec):
    """Keeps the largest value, the first of equals; emits `(key, largest)`. Without `value`, records themselves are compared."""

    value: Selector | None = None

    kind: ClassVar[str] = "max"


@dataclass(frozen=True)
class ProcessSpec(OperatorSpec):
    """An operator of the user's.

    Attributes:
        key: what state is kept by, or None without `key_by`.
        operator: the instance that each subtask gets a copy of.
        supervise: what follows when it fails, or None for the job's restart strategy.
    """

    key: Selector | None
    operator: OperatorActor
    supervise: Supervise | None = None

    kind: ClassVar[str] = "process"
    acts: ClassVar[bool] = True

    def functions(self) -> Mapping[str, object]:
        """The operator, and the key function if it is one."""
        key = {} if self.key is None or isinstance(self.key, str) else {"key": self.key}
        return {**key, "operator": self.operator}


@dataclass(frozen=True)
class CoProcessSpec(OperatorSpec):
    """An operator of the user's with two inputs.

    Attributes:
        left_key: what state is kept by for records of the left input, or None without `key_by`.
        right_key: the same for the right input.
        operator: the instance that each subtask gets a copy of.
    """

    left_key: Selector | None
    right_key: Selector | None
    operator: TwoInputOperator

    kind: ClassVar[str] = "co_process"
    acts: ClassVar[bool] = True
    ports: ClassVar[tuple[str, ...]] = ("left", "right")

    def functions(self) -> Mapping[str, object]:
        """The operator, and the keys that are functions."""
        return _functions(self)


@dataclass(frozen=True)
class BroadcastProcessSpec(OperatorSpec):
    """An operator of the user's that sees its share of the data, and all of what is broadcast.

    Attributes:
        key: what state is kept by, or None without `key_by`.
        operator: the instance that each subtask gets a copy of.
    """

    key: Selector | None
    operator: BroadcastOperator

    kind: ClassVar[str] = "broadcast_process"
    acts: ClassVar[bool] = True
    ports: ClassVar[tuple[str, ...]] = ("data", "broadcast")
    untimed_ports: ClassVar[frozenset[int]] = frozenset({1})

    def functions(self) -> Mapping[str, object]:
        """The operator, and the key if it is a function."""
        return _functions(self)


@dataclass(frozen=True)
class CoMapSpec(OperatorSpec):
    """One record in, one out, by a function for each input: `left(record)` or `right(record)`."""

    left: Callable[[Any], Any]
    right: Callable[[Any], Any]

    kind: ClassVar[str] = "co_map"
    ports: ClassVar[tuple[str, ...]] = ("left", "right")

    def functions(self) -> Mapping[str, object]:
        """Both functions."""
        return _functions(self)


@dataclass(frozen=True)
class CoFlatMapSpec(OperatorSpec):
    """One record in, any number out, by a function for each input."""

    left: Callable[[Any], Iterable[Any]]
    right: Callable[[Any], Iterable[Any]]

    kind: ClassVar[str] = "co_flat_map"
    ports: ClassVar[tuple[str, ...]] = ("left", "right")

    def functions(self) -> Mapping[str, object]:
        """Both functions."""
        return _functions(self)


def _functions(spec: OperatorSpec) -> dict[str, object]:
    """Return the attributes that are neither missing nor names of fields."""
    return {name: value for name, value in vars(spec).items() if not isinstance(value, str | None)}
