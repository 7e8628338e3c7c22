"""Streams by key: all records of one key meet in one subtask, which keeps state for each key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from actorflow.api.arguments import Selector, check_aggregate, check_function, check_operator, check_supervise, value_selector
from actorflow.api.connected import BroadcastConnectedStreams, BroadcastStream, ConnectedStreams
from actorflow.api.joining import KeyedJoins
from actorflow.api.options import OperatorOptions
from actorflow.api.windowed import WindowedStream, check_assigner
from actorflow.errors import PlanError
from actorflow.operators.aggregate import Aggregate
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.processing.supervise import Supervise
from actorflow.operators.specs import AggregateSpec, CountSpec, MaxSpec, MinSpec, ProcessSpec, ReduceSpec, SumSpec
from actorflow.operators.windowing.window import WindowAssigner
from actorflow.operators.windowing.window_specs import WindowSpec

if TYPE_CHECKING:
    from actorflow.api.stream import Stream

K = TypeVar("K")
T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")


class KeyedStream(KeyedJoins[K, T]):
    """A stream whose records are spread by key. Made by `Stream.key_by`.

    The built-in aggregations are *running*: each record brings out the new value of its key. Over batches of columns (`map_batches`, Parquet,
    with key and value named by column) a batch brings out one value for each distinct key in it; the last one of every key is the same.
    """

    def __init__(self, stream: Stream[T], key: Callable[[Any], Any] | str) -> None:
        self._stream = stream
        self._key = key

    def reduce(self, fn: Callable[[T, T], T], **options: Unpack[OperatorOptions]) -> Stream[T]:
        """Combine the records of each key: `fn(reduced so far, record)`. Emits the reduced record."""
        check_function("reduce", fn, 2)
        return self._stream._apply(ReduceSpec(self._key, fn), options)

    def aggregate(self, aggregate: Aggregate[T, Any, R], **options: Unpack[OperatorOptions]) -> Stream[tuple[K, R]]:
        """Fold the records of each key into an accumulator. Emits `(key, result)`.

        Raises:
            PlanError: if it is not an `Aggregate` object.
        """
        check_aggregate(aggregate)
        return self._stream._apply(AggregateSpec(self._key, aggregate), options)

    def count(self, **options: Unpack[OperatorOptions]) -> Stream[tuple[K, int]]:
        """Count the records of each key. Emits `(key, count)`."""
        return self._stream._apply(CountSpec(self._key), options)

    def sum(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[tuple[K, Any]]:
        """Add up a value of the records of each key. Emits `(key, sum)`.

        Args:
            value: function of a record, or what to put into `record[...]`: a field name or position.
            options: see `OperatorOptions`.
        """
        return self._stream._apply(SumSpec(self._key, value_selector("sum", value)), options)

    def min(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[tuple[K, Any]]:
        """Keep the smallest value of each key. Emits `(key, smallest)`; see `sum` for `value`."""
        return self._stream._apply(MinSpec(self._key, value_selector("min", value)), options)

    def max(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[tuple[K, Any]]:
        """Keep the largest value of each key. Emits `(key, largest)`; see `sum` for `value`."""
        return self._stream._apply(MaxSpec(self._key, value_selector("max", value)), options)

    def window(self, assigner: WindowAssigner) -> WindowedStream[K, T]:
        """Group the records of each key by window: `window(af.windows.tumbling("1min")).count()`. See `af.windows`.

        Raises:
            PlanError: if these are no windows.
        """
        return WindowedStream(self._stream, WindowSpec(self._key, check_assigner("window", assigner)))

    def process(
        self, operator: OperatorActor, *, supervise: Supervise | None = None, **options: Unpack[OperatorOptions]
    ) -> Stream[Any]:
        """Run an operator of the user's own, with state and context by key. See `actorflow.OperatorActor`, and `Stream.process`."""
        check_operator(operator, keyed=True)
        return self._stream._apply(ProcessSpec(self._key, operator, check_supervise(supervise)), options, "supervise")

    @overload
    def connect(self, other: BroadcastStream[U]) -> BroadcastConnectedStreams[T, U]: ...

    @overload
    def connect(self, other: KeyedStream[K, U]) -> ConnectedStreams[T, U]: ...

    def connect(self, other: KeyedStream[K, U] | BroadcastStream[U]) -> ConnectedStreams[T, U] | BroadcastConnectedStreams[T, U]:
        """Put another keyed stream of the same pipeline beside this one: records of equal keys meet, and share state.

        Args:
            other: a keyed stream, each with its own function for the key, or `rules.broadcast_state()`.
        """
        if isinstance(other, BroadcastStream):
            return BroadcastConnectedStreams(self._stream, self._stream._check_beside("connect", other._stream), self._key)
        if not isinstance(other, KeyedStream):
            raise PlanError(
                f"a keyed stream cannot be connected to a {type(other).__name__}",
                hint="write a.key_by(f).connect(b.key_by(g)), or a.key_by(f).connect(b.broadcast_state())",
            )
        return ConnectedStreams(self._stream, self._stream._check_beside("connect", other._stream), self._key, other._key)

    def __repr__(self) -> str:
        return f"<KeyedStream of {self._stream!r}>"
