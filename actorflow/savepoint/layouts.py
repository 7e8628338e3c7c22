"""States as tables, and back: what a row is. Everything a state holds is in its tables, and nothing else.

    layout          state                            columns
    value, folded   value; reducing, aggregating     key_group, key, value
    map             map                              key_group, key, entry, value: a row for each entry
    list            list                             key_group, key, position, value: a row for each value
    namespaced      of windows                       key_group, key, namespace, value
    timers          timers of a name                 key_group, key, timestamp (ms), namespace
    operator list   list of a subtask, union list    position, value
    broadcast       broadcast map                    entry, value
    in flight       records of `map_async`           record, timestamp (ms, or null)
    splits          all splits of a source           split, payload: pickled; empty for those that were read to their end

With a time to live there is a column `last_use` (ms) as well. Rows stand by key group, then in the order of the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actorflow.errors import CheckpointError
from actorflow.savepoint.columns import to_column, to_values
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, StateDescriptor
from actorflow.state.operator_state import BroadcastState, OperatorStateDescriptor
from actorflow.state.schema import schema_of_state, value_type
from actorflow.state.timers import TIMERS_STATE
from actorflow.wire.savepoint_manifest import Layout, SavedColumn
from actorflow.wire.state_describe import describe
from actorflow.wire.state_types import TypeTree

if TYPE_CHECKING:
    import pyarrow as pa

KEYED_LAYOUTS: Final[tuple[Layout, ...]] = ("value", "folded", "map", "list", "namespaced", "timers")
_SECOND: Final[Mapping[str, str]] = {"map": "entry", "list": "position", "namespaced": "namespace"}
"""What tells apart the rows of one key."""

_OURS: Final = frozenset({"key_group", "position", "last_use", "timestamp"})
"""Columns of numbers, which need no description."""

Declared = StateDescriptor | OperatorStateDescriptor


@dataclass(frozen=True, slots=True)
class Rows:
    """A state as a table, with how its columns are written."""

    layout: Layout
    table: pa.Table
    columns: dict[str, SavedColumn]
    schema: dict[str, Any] | None = None
    ttl: bool = False


def types_of(declared: Declared | None) -> dict[str, TypeTree]:
    """Return the declared types of a state's columns."""
    if declared is None:
        return {}
    types = {"value": describe(value_type(declared))}
    if isinstance(declared, MapState | BroadcastState):
        types["entry"] = describe(declared.key_type)
    return types


def keyed_rows(state: str, groups: Mapping[int, Mapping[Any, Any]], declared: StateDescriptor | None, name: str) -> Rows:
    """Return a keyed state as rows.

    Args:
        state: its name in the snapshot; timers stand there as states.
        groups: by key group: from key to what is held.
        declared: the declaration; None for states of the engine's own.
        name: how errors call it.

    Raises:
        SerializationError: if a value is not of its declared type.
        CheckpointError: if a value cannot be pickled.
    """
    held = [(group, key, value) for group in sorted(groups) for key, value in groups[group].items()]
    layout = _layout(state, declared, [value for _, _, value in held])
    ttl = declared is not None and declared.ttl is not None
    columns: dict[str, list[Any]] = {name: [] for name in _names(layout, ttl=ttl)}
    put = [columns[name].append for name in columns]
    for group, key, value in held:
        for row in _rows_of(layout, value, ttl=ttl):
            for append, part in zip(put, (group, key, *row), strict=True):
                append(part)
    schema = schema_of_state(declared).to_data() if declared is not None else None
    return _table(layout, columns, types_of(declared), name, schema, ttl=ttl)


def _layout(state: str, declared: StateDescriptor | None, values: Sequence[Any]) -> Layout:
    match declared:
        case MapState():
            return "map"
        case ListState():
            return "list"
        case ReducingState() | AggregatingState():
            return "folded"
        case StateDescriptor():
            return "value"
    if state.startswith(TIMERS_STATE):
        return "timers"
    divided = all(type(value) is dict and value for value in values)
    return "namespaced" if divided and values else "value"


def _names(layout: Layout, *, ttl: bool) -> list[str]:
    if layout == "timers":
        return ["key_group", "key", "timestamp", "namespace"]
    second = [_SECOND[layout]] if layout in _SECOND else []
    return ["key_group", "key", *second, "value", *(["last_use"] if ttl else [])]


def _rows_of(layout: Layout, held: Any, *, ttl: bool) -> Iterable[tuple[Any, ...]]:
    """Give what the rows of one key hold behind the key."""
    match layout:
        case "timers":
            yield from held
        case "map" | "namespaced":
            for entry, value in held.items():
                yield (entry, *value) if ttl else (entry, value)
        case "list":
            for position, value in enumerate(held):
                yield (position, *value) if ttl else (position, value)
        case "folded":
            yield (held[0][0], held[1]) if ttl else (held[0],)
        case _:
            yield held if ttl else (held,)


def list_rows(values: Sequence[Any], layout: Layout, declared: OperatorStateDescriptor | None, name: str) -> Rows:
    """Return a list of a subtask as rows. Errors: see `keyed_rows`."""
    columns = {"position": list(range(len(values))), "value": list(values)}
    return _table(layout, columns, types_of(declared), name, _schema(declared))


def broadcast_rows(entries: Mapping[Any, Any], declared: OperatorStateDescriptor | None, name: str) -> Rows:
    """Return a broadcast map as rows. Errors: see `keyed_rows`."""
    columns = {"entry": list(entries), "value": list(entries.values())}
    return _table("broadcast", columns, types_of(declared), name, _schema(declared))


def flight_rows(records: Sequence[tuple[Any, int | None]], name: str) -> Rows:
    """Return records in flight as rows. Errors: see `keyed_rows`."""
    columns = {"record": [record for record, _ in records], "timestamp": [timestamp for _, timestamp in records]}
    return _table("in flight", columns, {}, name, None)


def split_rows(payloads: Sequence[bytes]) -> Rows:
    """Return the splits of a source, by number, as rows."""
    import pyarrow as pa

    table = pa.table({"split": pa.array(range(len(payloads)), pa.int32()), "payload": pa.array(payloads, pa.binary())})
    return Rows("splits", table, {})


def _schema(declared: OperatorStateDescriptor | None) -> dict[str, Any] | None:
    return None if declared is None else schema_of_state(declared).to_data()


def _table(
    layout: Layout,
    columns: Mapping[str, Sequence[Any]],
    types: Mapping[str, TypeTree],
    name: str,
    schema: dict[str, Any] | None,
    *,
    ttl: bool = False,
) -> Rows:
    import pyarrow as pa

    arrays: dict[str, pa.Array] = {}
    saved: dict[str, SavedColumn] = {}
    for column, values in columns.items():
        if column in _OURS:
            arrays[column] = pa.array(values, pa.int32() if column in {"key_group", "position"} else pa.int64())
        else:
            arrays[column], saved[column] = to_column(values, types.get(column), f"the {column} of {name}")
    return Rows(layout, pa.table(arrays), saved, schema, ttl)


# --- back ----------------------------------------------------------------------------------------------------------------------


def columns_of(rows: Rows, declared: Declared | None, name: str) -> dict[str, list[Any]]:
    """Return the values of each column.

    Raises:
        CheckpointError: if a column is missing, or cannot be read.
        IncompatibleState: if the type that is declared now cannot take what was written.
        SerializationError: if a value is damaged.
    """
    types = types_of(declared)
    values: dict[str, list[Any]] = {}
    for column in rows.table.column_names:
        array = rows.table.column(column)
        if column in rows.columns:
            values[column] = to_values(array, rows.columns[column], types.get(column), f"the {column} of {name}")
        elif column in _OURS:
            values[column] = array.to_pylist()
    missing = [column for column in _expected(rows) if column not in values]
    if missing:
        raise CheckpointError(f"{name} lacks the column '{missing[0]}'")
    return values


def _expected(rows: Rows) -> list[str]:
    match rows.layout:
        case "operator list" | "union list":
            return ["value"]
        case "broadcast":
            return ["entry", "value"]
        case "in flight":
            return ["record", "timestamp"]
        case _:
            return _names(rows.layout, ttl=rows.ttl)


def keyed_state(rows: Rows, declared: StateDescriptor | None, name: str) -> dict[int, dict[Any, Any]]:
    """Return by key group what each key holds: what `keyed_rows` was given. Errors: see `columns_of`."""
    values = columns_of(rows, declared, name)
    groups: dict[int, dict[Any, Any]] = {}
    names = _names(rows.layout, ttl=rows.ttl)[2:]
    parts: Iterable[tuple[Any, ...]] = zip(*(values[column] for column in names), strict=True)
    for group, key, row in zip(values["key_group"], values["key"], parts, strict=True):
        _hold(rows.layout, groups.setdefault(group, {}), key, row, ttl=rows.ttl)
    return groups


def _hold(layout: Layout, state: dict[Any, Any], key: Any, row: tuple[Any, ...], *, ttl: bool) -> None:
    match layout:
        case "timers":
            state.setdefault(key, []).append(row)
        case "map" | "namespaced":
            state.setdefault(key, {})[row[0]] = row[1:] if ttl else row[1]
        case "list":
            state.setdefault(key, []).append(row[1:] if ttl else row[1])
        case "folded":
            state[key] = ((row[0],), row[1]) if ttl else row
        case _:
            state[key] = row if ttl else row[0]


def part_of(rows: Rows, groups: range) -> Rows:
    """Return the rows of these key groups."""
    import pyarrow.compute as pc

    column = rows.table.column("key_group")
    mine = pc.and_(pc.greater_equal(column, groups.start), pc.less(column, groups.stop))
    return Rows(rows.layout, rows.table.filter(mine), rows.columns, rows.schema, rows.ttl)
