"""The event time of each record of a batch, in whole milliseconds since the Unix epoch, UTC.

| the selector gives                      | event time                                        |
|-----------------------------------------|---------------------------------------------------|
| a whole number                          | itself                                            |
| a datetime with a time zone             | its instant, rounded down                         |
| an Arrow column of either               | the same, without making Python objects of it     |
| a datetime without a time zone          | refused: nobody but the user knows which it is in |
| None, NaN, a fraction, a truth value, … | refused                                           |

One pass in C for each step over the whole batch; a loop only where there are datetimes, and where something is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from actorflow.errors import PlanError
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.compiled.inline import Inlined, inlined
from actorflow.operators.failures import GENERATED_PREFIX, NOTHING, refused, short_repr, user_failure
from actorflow.operators.specs import Selector
from actorflow.wire.batch import EVENT_TIME_MAX, Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NAIVE_HINT = "say which time zone it is in, such as time.replace(tzinfo=datetime.UTC)"
_TICKS_PER_MS: Final = {"ms": 1, "us": 1000, "ns": 1_000_000}
_KINDS_HINT = "give milliseconds since the Unix epoch as an int, or a datetime with a time zone"


class EventTimes:
    """Reads event times as one `with_timestamps` was told.

    Args:
        selector: function of a record, or name of a field or column.
        name: the operator's name, for reports.
        subtask: for reports.
    """

    def __init__(self, selector: Selector, name: str, subtask: str) -> None:
        self._column = selector if isinstance(selector, str) else None
        self._select = itemgetter(selector) if isinstance(selector, str) else selector
        self._simple = inlined(self._select)
        self._fill = _filler(self._select, self._simple)
        self._name = name
        self._subtask = subtask

    def stamp(self, batch: Batch) -> tuple[Batch, int]:
        """Return the batch with event times, and the latest of them.

        Raises:
            UserFunctionError: if the user's function raises, or gives what is no event time; it names operator and record.
        """
        if isinstance(batch, ObjectBatch):
            stamps, latest = self._of_records(batch.records)
            return ObjectBatch(batch.records, stamps), latest
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._column is not None and self._column in batch.columns.schema.names:
            column = self._of_column(batch, batch.columns.column(self._column))
            span = pc.min_max(column)
            earliest, latest = span["min"].as_py(), span["max"].as_py()
            if latest >= EVENT_TIME_MAX or earliest <= -EVENT_TIME_MAX:
                self._refuse_column(batch, f"reaches from {earliest} to {latest}")
            return ColumnBatch(batch.columns, column), latest
        stamps, latest = self._of_records(to_objects(batch).records)
        return ColumnBatch(batch.columns, pa.array(stamps, pa.int64())), latest

    # --- records -----------------------------------------------------------------------------------------------------------

    def _of_records(self, records: list[Any]) -> tuple[list[int], int]:
        """Return the event time of each record, and the latest."""
        stamps: list[Any] = []
        try:
            self._fill(records, stamps)
        except BaseException as error:
            self._fail(error, records[len(stamps)])  # what came before the failure is in the list
        earliest = _earliest(stamps)
        if earliest is None:
            stamps = [self._milliseconds(stamp, record) for stamp, record in zip(stamps, records, strict=True)]
            earliest = min(stamps)
        latest = max(stamps)
        if latest >= EVENT_TIME_MAX or earliest <= -EVENT_TIME_MAX:
            place = next(place for place, stamp in enumerate(stamps) if not -EVENT_TIME_MAX < stamp < EVENT_TIME_MAX)
            self._refuse(f"the event time {stamps[place]}, which is not within 146 million years", _KINDS_HINT, records[place])
        return stamps, latest

    def _milliseconds(self, stamp: Any, record: Any) -> int:
        """Return one event time, or refuse it."""
        if isinstance(stamp, datetime):
            if stamp.utcoffset() is None:
                self._refuse(f"a datetime without a time zone, {stamp!r}, as event time", _NAIVE_HINT, record)
            return (stamp - _EPOCH) // _MILLISECOND
        if isinstance(stamp, bool) or not hasattr(stamp, "__index__"):
            self._refuse(f"{short_repr(stamp)} ({type(stamp).__name__}) as event time", _KINDS_HINT, record)
        try:
            return operator.index(stamp)
        except TypeError:
            self._refuse(f"{short_repr(stamp)} ({type(stamp).__name__}) as event time", _KINDS_HINT, record)

    # --- columns -----------------------------------------------------------------------------------------------------------

    def _of_column(self, batch: ColumnBatch, column: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = column.type
        if column.null_count:
            self._refuse("null as event time", _KINDS_HINT, _row(batch, pc.index(column.is_null(), True).as_py()))
        if pa.types.is_timestamp(kind):
            if kind.tz is None:
                self._refuse(f"datetimes without a time zone (column of {kind}) as event times", _NAIVE_HINT, _row(batch, 0))
            return self._of_instants(batch, column.view(pa.int64()), kind.unit)
        if not pa.types.is_integer(kind):
            self._refuse(f"a column of {kind} as event times", _KINDS_HINT, _row(batch, 0))
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            self._refuse_column(batch, str(error))

    def _of_instants(self, batch: ColumnBatch, ticks: pa.Array, unit: str) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        per_ms = _TICKS_PER_MS.get(unit)
        if per_ms is not None:
            whole = pc.divide(ticks, per_ms)  # towards 0; what is before 1970 and no whole number of ms is rounded down
            return pc.subtract(whole, pc.less(ticks, pc.multiply(whole, per_ms)).cast(pa.int64())) if per_ms > 1 else ticks
        try:
            return pc.multiply_checked(ticks, 1000)
        except pa.ArrowInvalid as error:
            self._refuse_column(batch, str(error))

    # --- what is refused ---------------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException, record: Any) -> NoReturn:
        line = self._simple.line if self._simple is not None else None
        failure = user_failure(error, operator=self._name, subtask=self._subtask, function=self._select, line=line, record=record)
        if failure is error:
            raise error
        raise failure from error

    def _refuse_column(self, batch: ColumnBatch, why: str) -> NoReturn:
        self._refuse(
            f"a column of event times that are not within 146 million years ({why})", _KINDS_HINT, _row_if_it_can_be_shown(batch)
        )

    def _refuse(self, what: str, hint: str, record: Any) -> NoReturn:
        error = PlanError(f"'{self._name}' got {what}", hint=hint)
        raise refused(error, operator=self._name, subtask=self._subtask, record=record)


def _filler(select: Callable[[Any], Any], simple: Inlined | None) -> Callable[[list[Any], list[Any]], None]:
    """Return what appends the selected part of each record to a list. If the user's function is simple, it stands inline."""
    if simple is None:
        return lambda records, stamps: stamps.extend(map(select, records))
    source = f"def fill(records, stamps):\n    for record in records:\n        stamps.append({simple.text('record')})\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, f"{GENERATED_PREFIX}event times>", "exec"), namespace)  # noqa: S102 - made of a proven expression
    fill: Callable[[list[Any], list[Any]], None] = namespace["fill"]
    return fill


def _earliest(stamps: list[Any]) -> int | None:
    """Return the smallest of some numbers if all are whole, and none is a truth value; else None.

    Only whole numbers have a sum that is one, and a sum costs half as much as a look at all types. It takes True for 1.
    """
    try:
        if type(sum(stamps)) is not int:
            return None
        earliest: int = min(stamps)
    except TypeError:
        return None
    return earliest if earliest > 1 or set(map(type, stamps)) == {int} else None


def _row_if_it_can_be_shown(batch: ColumnBatch) -> Any:
    try:
        return _row(batch, 0)
    except (OverflowError, ValueError):  # no Python object stands for such a time
        return NOTHING


def _row(batch: ColumnBatch, place: int) -> Any:
    return to_objects(ColumnBatch(batch.columns.slice(place, 1))).records[0]
