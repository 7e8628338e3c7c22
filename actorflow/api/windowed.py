"""Streams whose records are grouped by window: what may be said about the windows, and the verbs that end with a result of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from actorflow.api.arguments import Selector, check_aggregate, check_function, value_selector
from actorflow.api.options import OperatorOptions
from actorflow.api.tag import Tag
from actorflow.config.values import Duration, duration_ms
from actorflow.errors import PlanError
from actorflow.operators.aggregate import Aggregate
from actorflow.operators.specs import AggregateSpec, CountSpec, KeyedSpec, MaxSpec, MinSpec, ReduceSpec, SumSpec
from actorflow.operators.window import WindowAssigner, Windowed
from actorflow.operators.window_specs import WindowSpec

if TYPE_CHECKING:
    from actorflow.api.stream import Stream

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


class WindowedStream(Generic[K, T]):
    """A stream whose records are grouped by key and window. Made by `KeyedStream.window` and `Stream.window_all`.

    Every result is a `Windowed(key, window, value)`, with the window's last millisecond as its event time.
    """

    def __init__(self, stream: Stream[T], spec: WindowSpec) -> None:
        self._stream = stream
        self._spec = spec

    # --- about the windows -------------------------------------------------------------------------------------------------------

    def allowed_lateness(self, lateness: Duration) -> WindowedStream[K, T]:
        """Keep windows for so long after they have ended: a record that comes in that time gives their result anew.

        Raises:
            PlanError: if these windows do not go by event time.
        """
        self._check_event_time("allowed_lateness")
        return self._with(lateness_ms=duration_ms(lateness, "allowed lateness"))

    def late_to(self, tag: Tag) -> WindowedStream[K, T]:
        """Send records that are late for all their windows to a side output of the result: `result.side_output(tag)`.

        Raises:
            PlanError: if it is no tag, or these windows do not go by event time.
        """
        if not isinstance(tag, Tag):
            raise PlanError(f"late_to needs a tag, not {tag!r}", hint="make one with af.Tag('late')")
        self._check_event_time("late_to")
        return self._with(late_tag=tag.name)

    def _check_event_time(self, verb: str) -> None:
        if not self._spec.assigner.needs_timestamps:
            raise PlanError(f"{verb} is for windows in event time: in these no record is late")

    def _with(self, **changes: Any) -> WindowedStream[K, T]:
        return WindowedStream(self._stream, replace(self._spec, **changes))

    # --- results -----------------------------------------------------------------------------------------------------------------

    def reduce(self, fn: Callable[[T, T], T], **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, T]]:
        """Combine the records of each window: `fn(reduced so far, record)`. In windows that overlap or merge, parts are combined as well.

        Args:
            fn: associative; it returns what two records, or two results, become.
            options: see `OperatorOptions`.
        """
        check_function("reduce", fn, 2)
        return self._fold(ReduceSpec(self._spec.key, fn), options)

    def aggregate(self, aggregate: Aggregate[T, Any, R], **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, R]]:
        """Fold the records of each window into an accumulator, as they come.

        Raises:
            PlanError: if it is not an `Aggregate` object.
        """
        check_aggregate(aggregate)
        return self._fold(AggregateSpec(self._spec.key, aggregate), options)

    def count(self, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, int]]:
        """Count the records of each window."""
        return self._fold(CountSpec(self._spec.key), options)

    def sum(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Add up a value of the records of each window.

        Args:
            value: function of a record, or what to put into `record[...]`: a field name or position.
            options: see `OperatorOptions`.
        """
        return self._fold(SumSpec(self._spec.key, value_selector("sum", value)), options)

    def min(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Keep the smallest value of each window; see `sum` for `value`."""
        return self._fold(MinSpec(self._spec.key, value_selector("min", value)), options)

    def max(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Keep the largest value of each window; see `sum` for `value`."""
        return self._fold(MaxSpec(self._spec.key, value_selector("max", value)), options)

    def _fold(self, fold: KeyedSpec, options: OperatorOptions) -> Stream[Any]:
        return self._stream._apply(replace(self._spec, fold=fold), options)

    def __repr__(self) -> str:
        return f"<WindowedStream of {self._stream!r}>"


def check_assigner(verb: str, assigner: object) -> WindowAssigner:
    """Return what a verb was given, if it assigns windows.

    Raises:
        PlanError: if it does not.
    """
    if not isinstance(assigner, WindowAssigner):
        raise PlanError(
            f"{verb} needs windows, not {assigner!r}",
            hint="such as af.windows.tumbling('1min'); others derive from af.WindowAssigner",
        )
    return assigner
