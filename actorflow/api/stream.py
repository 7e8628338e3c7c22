"""Streams and their verbs. A verb adds an operator to the pipeline and returns the stream of its output; it runs nothing.

A stream is a value: what it reads (several producers after `union`) and how the next operator's subtasks get the records. Using
one stream twice branches it; each branch gets every record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from actorflow.api.arguments import (
    Selector,
    check_function,
    check_operator,
    check_sink,
    check_stable_key,
    check_supervise,
    check_watermarks,
    selector,
    value_selector,
)
from actorflow.api.builder import GraphBuilder, Upstream
from actorflow.api.connected import BroadcastConnectedStreams, BroadcastStream, ConnectedStreams
from actorflow.api.keyed import KeyedStream
from actorflow.api.options import OperatorOptions, Options, check_choice, check_whole
from actorflow.api.tag import Tag
from actorflow.api.windowed import WindowedStream, check_assigner
from actorflow.config.values import Duration, duration_ms, duration_s
from actorflow.connectors.contracts import Sink, SinkSpec
from actorflow.errors import PlanError
from actorflow.operators.asynchronous.retry import RetryPolicy
from actorflow.operators.event_time.watermarks import TimestampSpec, Watermarks
from actorflow.operators.joins.lookup import CachedLookup, was_found
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.processing.supervise import Supervise
from actorflow.operators.specs import FilterSpec, FlatMapSpec, MapAsyncSpec, MapBatchesSpec, MapSpec, ProcessSpec
from actorflow.operators.windowing.window import WindowAssigner
from actorflow.operators.windowing.window_specs import WindowAllSpec, no_key
from actorflow.plan.graph import LogicalGraph, OperatorSpec, Partitioner, Partitioning

T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K")
P = ParamSpec("P")


class Stream(Generic[T]):
    """Records of type `T`, on their way from one operator to whatever is built on it.

    Every verb that adds an operator takes the keyword options of `OperatorOptions`: `name`, `uid`, `parallelism`,
    `max_parallelism`, `slot_group`, `chain`, `dispatcher`.
    """

    def __init__(self, builder: GraphBuilder, upstreams: Sequence[Upstream]) -> None:
        self._builder = builder
        self._upstreams = tuple(upstreams)

    # --- record by record ------------------------------------------------------------------------------------------------

    def map(self, fn: Callable[[T], U], **options: Unpack[OperatorOptions]) -> Stream[U]:
        """Turn each record into `fn(record)`."""
        check_function("map", fn, 1)
        return self._apply(MapSpec(fn), options)

    def flat_map(self, fn: Callable[[T], Iterable[U]], **options: Unpack[OperatorOptions]) -> Stream[U]:
        """Turn each record into all that `fn(record)` gives: a list, or a generator, of any length."""
        check_function("flat_map", fn, 1, may_yield=True)
        return self._apply(FlatMapSpec(fn), options)

    def filter(self, fn: Callable[[T], object], **options: Unpack[OperatorOptions]) -> Stream[T]:
        """Keep the records for which `fn(record)` is true."""
        check_function("filter", fn, 1)
        return self._apply(FilterSpec(fn), options)

    def map_batches(
        self,
        fn: Callable[[Any], Any],
        *,
        format: Literal["polars", "arrow"] = "polars",  # noqa: A002 - the word that users of data frames expect
        **options: Unpack[OperatorOptions],
    ) -> Stream[Any]:
        """Turn a batch of records at once: columns in, columns out, many times faster than record by record.

        Args:
            fn: takes and returns a `polars.DataFrame` or a `pyarrow.RecordBatch`. Records that are not columns yet must be dicts.
            format: which of the two: `polars` or `arrow`.
            options: see `OperatorOptions`.
        """
        check_function("map_batches", fn, 1)
        check_choice("format of map_batches", format, ("polars", "arrow"))
        return self._apply(MapBatchesSpec(fn, format), options, "format")

    def map_async(
        self,
        fn: Callable[[T], Awaitable[U]],
        *,
        ordered: bool = True,
        capacity: int = 100,
        timeout: Duration = "10s",
        retry: RetryPolicy | None = None,
        **options: Unpack[OperatorOptions],
    ) -> Stream[U]:
        """Turn each record into `await fn(record)`, with many calls under way at once.

        Args:
            fn: a coroutine function, such as one that asks a web service.
            ordered: whether results come out in the order of their records; otherwise as they are ready.
            capacity: how many calls of one subtask may be under way.
            timeout: how long one record may take, retries included.
            retry: when and how often to call again after a failure, made by `af.Retry`; None means never.
            options: see `OperatorOptions`.
        """
        check_function("map_async", fn, 1, may_await=True)
        if check_whole("capacity of map_async", capacity) < 1:
            raise PlanError(f"capacity of map_async must be at least 1, not {capacity}")
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise PlanError(
                f"retry of map_async cannot be {retry!r}", hint="write retry=af.Retry.fixed() or af.Retry.exponential()"
            )
        spec = MapAsyncSpec(fn, ordered, capacity, duration_ms(timeout, "timeout of map_async"), retry)
        return self._apply(spec, options, "ordered", "capacity", "timeout", "retry")

    def process(
        self, operator: OperatorActor, *, supervise: Supervise | None = None, **options: Unpack[OperatorOptions]
    ) -> Stream[Any]:
        """Run an operator of the user's own. For state by key use `key_by(...).process(...)`. See `actorflow.OperatorActor`.

        Args:
            operator: each subtask gets a copy.
            supervise: what follows when it fails; by default the job's restart strategy decides.
            options: see `OperatorOptions`.
        """
        check_operator(operator, keyed=False)
        return self._apply(ProcessSpec(None, operator, check_supervise(supervise)), options, "supervise")

    # --- event time ------------------------------------------------------------------------------------------------------

    def lookup_join(
        self,
        look_up: Callable[[Any], Awaitable[U | None]],
        key: Selector,
        *,
        how: Literal["left", "inner"] = "left",
        cache_size: int = 10_000,
        cache_ttl: Duration | None = None,
        ordered: bool = True,
        capacity: int = 100,
        timeout: Duration = "10s",
        retry: RetryPolicy | None = None,
        **options: Unpack[OperatorOptions],
    ) -> Stream[tuple[T, U | None]]:
        """Give each record with what is found for its key: `(record, await look_up(key))`. See `map_async`, of which it is made.

        Args:
            look_up: a coroutine function of a key, such as one that asks a database; None is: nothing there.
            key: function of a record, or what to put into `record[...]`. While a key is looked up, others with it wait for that answer.
            how: whether a record for which nothing is found is given with None (`left`) or left out (`inner`).
            cache_size: of how many keys the answers are remembered, those used last; 0: of none.
            cache_ttl: for how long; None: for as long as there is room.
            ordered: see `map_async`.
            capacity: see `map_async`.
            timeout: see `map_async`.
            retry: see `map_async`.
            options: see `OperatorOptions`.
        """
        check_function("lookup_join", look_up, 1, may_await=True)
        check_choice("how of lookup_join", how, ("left", "inner"))
        if check_whole("cache_size of lookup_join", cache_size) < 0:
            raise PlanError(f"cache_size of lookup_join must be at least 0, not {cache_size}")
        ttl_s = None if cache_ttl is None else duration_s(cache_ttl, "cache_ttl of lookup_join")
        fn = CachedLookup(look_up, selector("lookup_join", key), cache_size, ttl_s)
        found = self.map_async(fn, ordered=ordered, capacity=capacity, timeout=timeout, retry=retry, **options)
        return found if how == "left" else found.filter(was_found)

    def with_timestamps(self, timestamp: Selector, watermarks: Watermarks, **options: Unpack[OperatorOptions]) -> Stream[T]:
        """Give each record its event time, and say how event time advances. Windows and timers in event time go by it.

        Args:
            timestamp: function of a record, or what to put into `record[...]`. It gives milliseconds since the Unix epoch, or a `datetime`
                with a time zone; of columns also timestamps with a time zone.
            watermarks: how late records may come, made by `af.Watermarks`.
            options: see `OperatorOptions`.
        """
        select = value_selector("with_timestamps", timestamp)
        check_watermarks(watermarks)
        return self._apply(TimestampSpec(select, watermarks), options)

    # --- by key ----------------------------------------------------------------------------------------------------------

    @overload
    def key_by(self, key: Callable[[T], K]) -> KeyedStream[K, T]: ...

    @overload
    def key_by(self, key: str | int) -> KeyedStream[Any, T]: ...

    def key_by(self, key: Selector) -> KeyedStream[Any, T]:
        """Spread the records by key, so that all records of one key meet in one subtask.

        Args:
            key: function of a record, or what to put into `record[...]`: a column or field name, or a position. Keys must be
                equal and hash equal in every process: text, numbers, bytes, dates, None, tuples of those, frozen dataclasses.
        """
        check_stable_key("key_by", key)
        function = selector("key_by", key)
        column = key if isinstance(key, str) else None
        spread = self._spread(Partitioner(Partitioning.HASH, key=function, key_column=column))
        return KeyedStream(spread, function if column is None else column)

    def window_all(self, assigner: WindowAssigner) -> WindowedStream[None, T]:
        """Group all records by window, in one subtask. See `af.windows`.

        Raises:
            PlanError: if these are no windows.
        """
        return WindowedStream(self, WindowAllSpec(no_key, check_assigner("window_all", assigner)))

    # --- several streams -------------------------------------------------------------------------------------------------

    def union(self, *others: Stream[T]) -> Stream[T]:
        """Merge with other streams of the same pipeline. Order is kept within each of them, not between them."""
        upstreams = list(self._upstreams)
        for other in others:
            if not isinstance(other, Stream):
                raise PlanError(f"union needs streams, not {type(other).__name__}", hint="write a.union(b, c)")
            self._check_beside("unite", other)
            upstreams.extend(other._upstreams)
        return Stream(self._builder, upstreams)

    @overload
    def connect(self, other: BroadcastStream[U]) -> BroadcastConnectedStreams[T, U]: ...

    @overload
    def connect(self, other: Stream[U]) -> ConnectedStreams[T, U]: ...

    def connect(self, other: Stream[U] | BroadcastStream[U]) -> ConnectedStreams[T, U] | BroadcastConnectedStreams[T, U]:
        """Put another stream of the same pipeline beside this one, for an operator that takes both and tells them apart.

        Args:
            other: a stream, or `rules.broadcast_state()`. For state by key connect keyed streams: `a.key_by(f).connect(b.key_by(g))`.
        """
        if isinstance(other, BroadcastStream):
            return BroadcastConnectedStreams(self, self._check_beside("connect", other._stream))
        if not isinstance(other, Stream):
            raise PlanError(
                f"a stream without keys cannot be connected to a {type(other).__name__}",
                hint="write a.connect(b), or a.key_by(f).connect(b.key_by(g))",
            )
        return ConnectedStreams(self, self._check_beside("connect", other))

    def broadcast_state(self) -> BroadcastStream[T]:
        """Send each record to every subtask of an operator that keeps it as broadcast state: `data.connect(rules.broadcast_state())`."""
        return BroadcastStream(self.broadcast())

    def side_output(self, tag: Tag) -> Stream[Any]:
        """Return what this stream's operator emits to `tag`, by `ctx.emit_to(tag, record)`."""
        if not isinstance(tag, Tag):
            raise PlanError(f"side_output needs a tag, not {tag!r}", hint="make one with af.Tag('late') and emit to it")
        upstream = self._upstreams[0]
        if upstream != Upstream(upstream.operator) or len(self._upstreams) > 1:
            raise PlanError(
                f"side output '{tag.name}' can only be taken from the output of an operator, not from {self!r}",
                hint="call side_output on what process(...) returned, before union, partitioning or another side_output",
            )
        return Stream(self._builder, [replace(upstream, tag=tag.name)])

    # --- how the next operator's subtasks get the records ----------------------------------------------------------------

    def forward(self) -> Stream[T]:
        """Keep each record in the subtask with the same index. The next operator must have the same parallelism."""
        return self._spread(Partitioner(Partitioning.FORWARD))

    def rebalance(self) -> Stream[T]:
        """Deal the records out evenly, to every subtask in turn."""
        return self._spread(Partitioner(Partitioning.REBALANCE))

    def rescale(self) -> Stream[T]:
        """Deal the records out evenly among near subtasks only: fewer connections than `rebalance`."""
        return self._spread(Partitioner(Partitioning.RESCALE))

    def shuffle(self) -> Stream[T]:
        """Send each record to a random subtask."""
        return self._spread(Partitioner(Partitioning.SHUFFLE))

    def broadcast(self) -> Stream[T]:
        """Send each record to every subtask."""
        return self._spread(Partitioner(Partitioning.BROADCAST))

    def global_(self) -> Stream[T]:
        """Send all records to the first subtask."""
        return self._spread(Partitioner(Partitioning.GLOBAL))

    def partition_by(self, choose: Callable[[Any, int], int], key: Selector) -> Stream[T]:
        """Send each record to subtask `choose(key, parallelism)`.

        Args:
            choose: gives an index below `parallelism`.
            key: function of a record, or what to put into `record[...]`: its result is the first argument of `choose`.
        """
        check_function("partition_by", choose, 2)
        return self._spread(Partitioner(Partitioning.CUSTOM, key=selector("partition_by", key), choose=choose))

    # --- the end, and beyond ---------------------------------------------------------------------------------------------

    def write(self, sink: Sink, **options: Unpack[OperatorOptions]) -> None:
        """Write the records to a sink.

        Raises:
            PlanError: if `sink` is not a sink.
        """
        check_sink(sink)
        self._apply(SinkSpec(sink), options)

    def then(self, verb: Callable[Concatenate[Stream[T], P], U], *args: P.args, **kwargs: P.kwargs) -> U:
        """Return `verb(self, *args, **kwargs)`: verbs of one's own in the middle of a line."""
        return verb(self, *args, **kwargs)

    def graph_into(self, sink: Sink) -> LogicalGraph:
        """Return the graph of only what this stream needs, written to `sink`. The pipeline itself is not changed."""
        return self._builder.graph_behind(self._upstreams, SinkSpec(sink))

    def __repr__(self) -> str:
        return f"<Stream {' + '.join(self._show(upstream) for upstream in self._upstreams)} of pipeline '{self._builder.name}'>"

    def _show(self, upstream: Upstream) -> str:
        tag = "" if upstream.tag is None else f"[{upstream.tag}]"
        spread = "" if upstream.partitioner is None else f".{upstream.partitioner.kind.value}"
        return f"{self._builder.label(upstream.operator)}{tag}{spread}"

    def _spread(self, partitioner: Partitioner | None) -> Stream[T]:
        return Stream(self._builder, [replace(upstream, partitioner=partitioner) for upstream in self._upstreams])

    def _check_beside(self, verb: str, other: Stream[U]) -> Stream[U]:
        if other._builder is not self._builder:
            names = f"'{self._builder.name}' and '{other._builder.name}'"
            raise PlanError(
                f"cannot {verb} streams of two pipelines, {names}", hint="read both sources in one pipeline, or exchange files"
            )
        return other

    def _apply(self, spec: OperatorSpec, options: Mapping[str, object], *own: str, right: Stream[Any] | None = None) -> Stream[Any]:
        """Add an operator that reads this stream, and `right` by its second input."""
        upstreams = self._upstreams if right is None else (*self._upstreams, *(replace(up, port=1) for up in right._upstreams))
        position = self._builder.add(spec, upstreams, Options.of(spec.kind, options, own))
        return Stream(self._builder, [Upstream(position)])
