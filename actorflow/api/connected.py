"""Two streams that one operator reads: `left.connect(right)`, and `data.connect(rules.broadcast_state())`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from actorflow.api.arguments import check_function, check_operator
from actorflow.api.options import OperatorOptions
from actorflow.operators.processing.actor import BroadcastOperator, TwoInputOperator
from actorflow.operators.specs import BroadcastProcessSpec, CoFlatMapSpec, CoMapSpec, CoProcessSpec, Selector

if TYPE_CHECKING:
    from actorflow.api.stream import Stream

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")


class ConnectedStreams(Generic[T, U]):
    """A left and a right stream. Made by `Stream.connect` and `KeyedStream.connect`.

    Nothing orders the records of one stream against those of the other; the watermark is the lower one of both.
    """

    def __init__(
        self, left: Stream[T], right: Stream[U], left_key: Selector | None = None, right_key: Selector | None = None
    ) -> None:
        self._left = left
        self._right = right
        self._left_key = left_key
        self._right_key = right_key

    def process(self, operator: TwoInputOperator, **options: Unpack[OperatorOptions]) -> Stream[Any]:
        """Run an operator of the user's own with a method for each stream. See `actorflow.TwoInputOperator`.

        If both streams are keyed, their records of equal keys meet, and share keyed state and timers.
        """
        check_operator(operator, keyed=self._left_key is not None, base=TwoInputOperator)
        return self._left._apply(CoProcessSpec(self._left_key, self._right_key, operator), options, right=self._right)

    def map(self, left: Callable[[T], R], right: Callable[[U], R], **options: Unpack[OperatorOptions]) -> Stream[R]:
        """Turn each record into `left(record)` or `right(record)`."""
        check_function("map", left, 1)
        check_function("map", right, 1)
        return self._left._apply(CoMapSpec(left, right), options, right=self._right)

    def flat_map(
        self, left: Callable[[T], Iterable[R]], right: Callable[[U], Iterable[R]], **options: Unpack[OperatorOptions]
    ) -> Stream[R]:
        """Turn each record into all that `left(record)` or `right(record)` gives."""
        check_function("flat_map", left, 1, may_yield=True)
        check_function("flat_map", right, 1, may_yield=True)
        return self._left._apply(CoFlatMapSpec(left, right), options, right=self._right)

    def __repr__(self) -> str:
        return f"<ConnectedStreams {self._left!r} and {self._right!r}>"


class BroadcastStream(Generic[T]):
    """A stream every record of which goes to all subtasks of an operator, to be kept as broadcast state. Made by `Stream.broadcast_state`."""

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream

    def __repr__(self) -> str:
        return f"<BroadcastStream of {self._stream!r}>"


class BroadcastConnectedStreams(Generic[T, U]):
    """Data, and what is broadcast to all subtasks that see a share of it."""

    def __init__(self, data: Stream[T], broadcast: Stream[U], key: Selector | None = None) -> None:
        self._data = data
        self._broadcast = broadcast
        self._key = key

    def process(self, operator: BroadcastOperator, **options: Unpack[OperatorOptions]) -> Stream[Any]:
        """Run an operator of the user's own that takes the data, and all of what is broadcast. See `actorflow.BroadcastOperator`."""
        check_operator(operator, keyed=self._key is not None, base=BroadcastOperator)
        return self._data._apply(BroadcastProcessSpec(self._key, operator), options, right=self._broadcast)

    def __repr__(self) -> str:
        return f"<BroadcastConnectedStreams {self._data!r} and {self._broadcast!r}>"
