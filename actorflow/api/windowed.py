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
from actorflow.operators.windowing.evictor import Evictor
from actorflow.operators.windowing.trigger import Trigger
from actorflow.operators.windowing.window import WindowAssigner, Windowed
from actorflow.operators.windowing.window_function import WindowFunction
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import CountWindows

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

    def trigger(self, trigger: Trigger) -> WindowedStream[K, T]:
        """Say when windows give results, instead of when they end. See `af.triggers`.

        Raises:
            PlanError: if it is no trigger, these windows have one of their own, or they merge and it cannot.
        """
        if not isinstance(trigger, Trigger):
            raise PlanError(f"trigger needs a trigger, not {trigger!r}", hint="such as af.triggers.count(100)")
        self._check_own("trigger")
        if self._spec.assigner.merging and not trigger.can_merge:
            raise PlanError(
                f"windows that merge cannot be used with {type(trigger).__name__}: it has no on_merge",
                hint="say in on_merge what becomes of its state and timers",
            )
        return self._with(trigger=trigger)

    def evict(self, evictor: Evictor) -> WindowedStream[K, T]:
        """Leave records out of windows when they fire. See `af.evictors`. Windows then keep all records until they end.

        Raises:
            PlanError: if it is no evictor, or these windows have one of their own.
        """
        if not isinstance(evictor, Evictor):
            raise PlanError(f"evict needs an evictor, not {evictor!r}", hint="such as af.evictors.count(100)")
        self._check_own("evictor")
        return self._with(evictor=evictor)

    def _check_own(self, what: str) -> None:
        if isinstance(self._spec.assigner, CountWindows):
            raise PlanError(
                f"count windows have a {what} of their own", hint="use af.windows.global_() with a trigger and an evictor"
            )

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
        if not self._spec.assigner.needs_timestamps:  # processing time, or windows without an end
            raise PlanError(f"{verb} is for windows in event time: in these no record is late")

    def _with(self, **changes: Any) -> WindowedStream[K, T]:
        return WindowedStream(self._stream, replace(self._spec, **changes))

    # --- results -----------------------------------------------------------------------------------------------------------------

    def reduce(
        self, fn: Callable[[T, T], T], *, apply: WindowFunction | None = None, **options: Unpack[OperatorOptions]
    ) -> Stream[Windowed[K, Any]]:
        """Combine the records of each window: `fn(reduced so far, record)`. In windows that overlap or merge, parts are combined as well.

        Args:
            fn: associative; it returns what two records, or two results, become.
            apply: `apply(key, window, reduced, ctx)` makes the result; see `apply`.
            options: see `OperatorOptions`.
        """
        check_function("reduce", fn, 2)
        return self._fold(ReduceSpec(self._spec.key, fn), apply, options)

    def aggregate(
        self, aggregate: Aggregate[T, Any, R], *, apply: WindowFunction | None = None, **options: Unpack[OperatorOptions]
    ) -> Stream[Windowed[K, Any]]:
        """Fold the records of each window into an accumulator, as they come.

        Args:
            aggregate: how.
            apply: `apply(key, window, result, ctx)` makes the result; see `apply`.
            options: see `OperatorOptions`.

        Raises:
            PlanError: if it is not an `Aggregate` object.
        """
        check_aggregate(aggregate)
        return self._fold(AggregateSpec(self._spec.key, aggregate), apply, options)

    def count(self, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, int]]:
        """Count the records of each window."""
        return self._fold(CountSpec(self._spec.key), None, options)

    def sum(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Add up a value of the records of each window.

        Args:
            value: function of a record, or what to put into `record[...]`: a field name or position.
            options: see `OperatorOptions`.
        """
        return self._fold(SumSpec(self._spec.key, value_selector("sum", value)), None, options)

    def min(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Keep the smallest value of each window; see `sum` for `value`."""
        return self._fold(MinSpec(self._spec.key, value_selector("min", value)), None, options)

    def max(self, value: Selector, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Keep the largest value of each window; see `sum` for `value`."""
        return self._fold(MaxSpec(self._spec.key, value_selector("max", value)), None, options)

    def apply(self, fn: WindowFunction, **options: Unpack[OperatorOptions]) -> Stream[Windowed[K, Any]]:
        """Make results of all records of a window at once, when it fires. They are kept until then.

        Args:
            fn: `fn(key, window, records, ctx)`; see `af.WindowContext` for `ctx`. What it returns is the value of the result; a generator
                function gives as many results as it yields.
            options: see `OperatorOptions`.
        """
        check_function("apply", fn, 4, may_yield=True)
        return self._add(replace(self._spec, function=fn), options)

    def _fold(self, fold: KeyedSpec, apply: WindowFunction | None, options: OperatorOptions) -> Stream[Any]:
        if apply is not None:
            check_function("apply", apply, 4, may_yield=True)
        return self._add(replace(self._spec, fold=fold, function=apply), options)

    def _add(self, spec: WindowSpec, options: OperatorOptions) -> Stream[Any]:
        return self._stream._apply(spec, options, "apply")

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
