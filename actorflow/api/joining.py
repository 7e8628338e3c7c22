"""The joins of two keyed streams, each composed of what streams have besides: two inputs, keyed state, timers, windows."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, Unpack

from actorflow.api.options import OperatorOptions, check_choice
from actorflow.api.tag import Tag
from actorflow.api.windowed import WindowedStream, check_assigner
from actorflow.config.values import Duration, duration_ms, signed_duration_ms
from actorflow.errors import PlanError
from actorflow.operators.joins.as_of import AsOfJoin
from actorflow.operators.joins.in_windows import LEFT, RIGHT, CoGroup, Pairing, Tagging, co_grouped
from actorflow.operators.joins.interval import IntervalJoin
from actorflow.operators.joins.specs import AsOfJoinSpec, IntervalJoinSpec, JoinSpec
from actorflow.operators.joins.unbounded import JoinKind, UnboundedJoin
from actorflow.operators.processing.actor import TwoInputOperator
from actorflow.operators.windowing.window import WindowAssigner, Windowed

if TYPE_CHECKING:
    from actorflow.api.stream import Stream

K = TypeVar("K")
T = TypeVar("T")
U = TypeVar("U")

_HOW: Final = ("inner", "left", "right", "full")


class KeyedJoins(Generic[K, T]):
    """What a keyed stream can do together with another one. Results are pairs: `(left, right)`.

    Each stream has its own function for the key; records of equal keys meet.
    """

    _stream: Stream[T]
    _key: Callable[[Any], Any] | str

    def join(
        self,
        right: KeyedJoins[K, U],
        *,
        window: WindowAssigner | None = None,
        how: JoinKind = "inner",
        ttl: Duration | None = None,
        **options: Unpack[OperatorOptions],
    ) -> Stream[tuple[T | None, U | None]]:
        """Join by key: within windows, or with all records that are still kept.

        Args:
            right: the other stream.
            window: pairs are made of records in the same window, when it ends; their event time is its last millisecond. None: a record is
                joined at once with all that came before it and are kept.
            how: `inner` gives pairs; `left`, `right` and `full` also give the records of that side, or both, that met none, with None.
            ttl: without windows, how long a record is kept after it came, in processing time; None: until the input ends. Only then is it
                said that it met none.
            options: see `OperatorOptions`.

        Raises:
            PlanError: if windows and a time to live are given.
        """
        check_choice("how of join", how, _HOW)
        if window is not None:
            if ttl is not None:
                raise PlanError(
                    "a join in windows has no ttl: records are kept until their windows end", hint="leave one of them out"
                )
            return self._windowed("join", right, window).apply(Pairing(how), **options).map(_value)
        ttl_ms = None if ttl is None else _positive(ttl, "ttl of join")
        return self._beside("join", right, JoinSpec, UnboundedJoin(how, ttl_ms), options)

    def co_group(
        self, right: KeyedJoins[K, U], *, window: WindowAssigner, **options: Unpack[OperatorOptions]
    ) -> Stream[Windowed[K, CoGroup[T, U]]]:
        """Give the records of both streams for each key and window, when it ends: `Windowed(key, window, CoGroup(left, right))`.

        Args:
            right: the other stream.
            window: such as `af.windows.tumbling("1h")`.
            options: see `OperatorOptions`.
        """
        return self._windowed("co_group", right, window).apply(co_grouped, **options)

    def interval_join(
        self,
        right: KeyedJoins[K, U],
        *,
        lower: Duration,
        upper: Duration,
        lower_inclusive: bool = True,
        upper_inclusive: bool = True,
        late_left: Tag | None = None,
        late_right: Tag | None = None,
        **options: Unpack[OperatorOptions],
    ) -> Stream[tuple[T, U]]:
        """Join by key with records whose event time is near: `left + lower <= right <= left + upper`. Pairs have the later one of both.

        Args:
            right: the other stream.
            lower: the least that a right record is later than the left one; `"-5min"`: it may be 5 minutes earlier.
            upper: the most that it is later.
            lower_inclusive: whether `left + lower` itself is near enough.
            upper_inclusive: whether `left + upper` itself is near enough.
            late_left: side output for left records at or before the watermark, which are not joined.
            late_right: the same for right records.
            options: see `OperatorOptions`.

        Raises:
            PlanError: if no time is within the interval.
        """
        first = signed_duration_ms(lower, "lower of interval_join") + (not lower_inclusive)
        last = signed_duration_ms(upper, "upper of interval_join") - (not upper_inclusive)
        if first > last:
            raise PlanError(
                f"interval_join finds nothing between {lower!r} and {upper!r}", hint="lower is below upper: '-5min', '5min'"
            )
        join = IntervalJoin(first, last, _tag("late_left", late_left), _tag("late_right", late_right))
        return self._beside("interval_join", right, IntervalJoinSpec, join, options)

    def as_of_join(
        self,
        right: KeyedJoins[K, U],
        *,
        tolerance: Duration | None = None,
        how: Literal["left", "inner"] = "left",
        late_left: Tag | None = None,
        **options: Unpack[OperatorOptions],
    ) -> Stream[tuple[T, U | None]]:
        """Join each left record with the latest right one of its key at or before its event time, once the watermark has reached that.

        Args:
            right: the other stream: versions of something, such as prices.
            tolerance: how much earlier the right record may be; None: any time.
            how: whether a left record that finds nothing is given with None (`left`) or left out (`inner`).
            late_left: side output for left records at or before the watermark, which are not joined.
            options: see `OperatorOptions`.
        """
        check_choice("how of as_of_join", how, ("left", "inner"))
        tolerance_ms = None if tolerance is None else duration_ms(tolerance, "tolerance of as_of_join")
        join = AsOfJoin(tolerance_ms, unmatched=how == "left", late_left=_tag("late_left", late_left))
        return self._beside("as_of_join", right, AsOfJoinSpec, join, options)

    def _other(self, verb: str, right: KeyedJoins[K, U]) -> KeyedJoins[K, U]:
        if not isinstance(right, KeyedJoins):
            raise PlanError(
                f"{verb} needs another keyed stream, not {type(right).__name__}", hint=f"write a.key_by(f).{verb}(b.key_by(g), ...)"
            )
        self._stream._check_beside("join", right._stream)
        return right

    def _beside(
        self, verb: str, right: KeyedJoins[K, U], spec: type[JoinSpec], operator: TwoInputOperator, options: OperatorOptions
    ) -> Stream[Any]:
        other = self._other(verb, right)
        return self._stream._apply(spec(self._key, other._key, operator), options, right=other._stream)

    def _windowed(self, verb: str, right: KeyedJoins[K, U], window: WindowAssigner) -> WindowedStream[K, Any]:
        assigner = check_assigner(verb, window)
        both = self._tagged(LEFT).union(self._other(verb, right)._tagged(RIGHT))
        return both.key_by(0).window(assigner)

    def _tagged(self, side: int) -> Stream[Any]:
        key = itemgetter(self._key) if isinstance(self._key, str) else self._key
        return self._stream._spread(None).map(Tagging(key, side))


def _value(result: Windowed[Any, Any]) -> Any:
    return result.value


def _positive(duration: Duration, what: str) -> int:
    length = duration_ms(duration, what)
    if length < 1:
        raise PlanError(f"the {what} must be longer than 0, not {duration!r}", hint="leave it out to keep records until the end")
    return length


def _tag(what: str, tag: Tag | None) -> Tag | None:
    if tag is not None and not isinstance(tag, Tag):
        raise PlanError(f"{what} needs a tag, not {tag!r}", hint="make one with af.Tag('late')")
    return tag
