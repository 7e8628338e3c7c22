"""Savepoints as tables, for people: read, edit, write a new one, make one from nothing, compare two. Nothing here changes a savepoint in place."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from actorflow.errors import CheckpointError, PlanError
from actorflow.plan.key_groups import key_group
from actorflow.plan.suggest import nearest
from actorflow.savepoint.arrow_types import form_of
from actorflow.savepoint.columns import to_values
from actorflow.savepoint.files import copy_file, home_of, read_manifest, read_table, write_manifest, write_rows
from actorflow.savepoint.layouts import KEYED_LAYOUTS, Rows, keyed_rows
from actorflow.savepoint.opening import open_snapshot
from actorflow.state.descriptors import AggregatingState, ReducingState, StateDescriptor
from actorflow.wire.savepoint_manifest import SavedColumn, SavedOperator, SavedState, Savepoint
from actorflow.wire.stable_hash import stable_hash
from actorflow.wire.state_types import TypeSchema

if TYPE_CHECKING:
    import os

    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class SavepointTables:
    """A savepoint as tables. A value: what changes it returns another one, which exists on disk once it is written.

    Attributes:
        manifest: what it holds, by operator and state.
        home: where its files are; empty for one that is made from nothing.
    """

    manifest: Savepoint
    home: str = ""
    _changed: Mapping[tuple[str, str], Rows] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return what it holds, for people."""
        manifest = self.manifest
        taken = datetime.fromtimestamp(manifest.timestamp / 1000, tz=UTC).isoformat(timespec="seconds")
        lines = [f"{manifest.name}: taken {taken} by actorflow {manifest.actorflow}{', drained' if manifest.drained else ''}"]
        for operator in manifest.operators:
            lines.append(
                f"  {operator.id} '{operator.name}' ({operator.kind or 'made by hand'}), parallelism {operator.parallelism}"
            )
            for state in operator.states:
                changed = self._changed.get((operator.id, state.name))
                rows = sum(file.rows for file in state.files) if changed is None else changed.table.num_rows
                lines.append(f"    {state.name} ({state.layout}): {rows} rows")
        return "\n".join(lines)

    # --- reading ---------------------------------------------------------------------------------------------------------------

    def operators(self) -> dict[str, list[str]]:
        """Return the names of all states, by operator id."""
        return {operator.id: [state.name for state in operator.states] for operator in self.manifest.operators}

    def arrow(self, operator: str, state: str) -> pa.Table:
        """Return a state as an Arrow table, the rows of all subtasks; see `docs/savepoints.md` for its columns.

        Args:
            operator: its uid, id or name.
            state: its name.

        Raises:
            CheckpointError: if there is none, a file is damaged, or its subtasks have written it in different forms.
        """
        import pyarrow as pa

        found, saved = self._state(operator, state)
        changed = self._changed.get((found.id, state))
        if changed is not None:
            return changed.table
        tables = [read_table(self.home, file) for file in saved.files]
        if not tables:
            return pa.table({})
        try:
            return pa.concat_tables(tables)
        except pa.ArrowInvalid as error:
            raise CheckpointError(
                f"state '{state}' of '{operator}' has no common type: {error}", hint="its files can be read one by one"
            ) from error

    def polars(self, operator: str, state: str) -> pl.DataFrame:
        """Return a state as a polars data frame. Arguments and errors as for `arrow`."""
        import polars as pl

        frame = pl.from_arrow(self.arrow(operator, state))
        assert isinstance(frame, pl.DataFrame), "a table becomes a data frame"
        return frame

    def _operator(self, name: str) -> SavedOperator:
        operators = self.manifest.operators
        found = next((one for one in operators if one.id == name), None) or next(
            (one for one in operators if one.name == name), None
        )
        if found is None:
            known = [operator.id for operator in operators]
            raise CheckpointError(f"the savepoint has no operator '{name}'", hint=nearest(name, known))
        return found

    def _state(self, operator: str, state: str) -> tuple[SavedOperator, SavedState]:
        found = self._operator(operator)
        saved = next((one for one in found.states if one.name == state), None)
        if saved is None:
            names = [one.name for one in found.states]
            raise CheckpointError(f"'{operator}' has no state '{state}' in the savepoint", hint=nearest(state, names))
        return found, saved

    # --- changing --------------------------------------------------------------------------------------------------------------

    def with_state(self, operator: str, state: str, rows: pl.DataFrame | pa.Table) -> SavepointTables:
        """Return it with other rows in a state, such as an edited frame of `polars`.

        Columns keep the types that they had. Key groups are counted anew from the keys.

        Args:
            operator: its uid, id or name.
            state: its name.
            rows: with the columns that it had; `key_group` may be left out.

        Raises:
            CheckpointError: if a column is missing, or of another type.
        """
        found, saved = self._state(operator, state)
        if not saved.files:
            raise CheckpointError(f"state '{state}' of '{operator}' is empty in the savepoint", hint="use with_values")
        columns = saved.files[0].columns
        table = rows if hasattr(rows, "schema") and hasattr(rows, "column_names") else rows.to_arrow()
        name = f"state '{state}' of '{operator}'"
        typed = _typed(table, read_table(self.home, saved.files[0]).schema, columns, name)
        if saved.layout in KEYED_LAYOUTS:
            typed = _grouped(typed, columns["key"], found.max_parallelism, name)
        return self._with(found, saved, Rows(saved.layout, typed, columns, saved.schema, saved.ttl))

    def with_values(
        self, operator: str, state: str, values: Mapping[Any, Any], *, declared: StateDescriptor | None = None
    ) -> SavepointTables:
        """Return it with a keyed state that holds these values, in place of what it held.

        Args:
            operator: its uid, id or name.
            state: its name.
            values: by key; a dict by entry for a map, a list for a list.
            declared: the declaration, such as `Dedup.seen`. Without it the type is that of the values.

        Raises:
            SerializationError: if a value is not of its declared type.
            PlanError: if it has a time to live: nobody knows when its values were last used.
        """
        if declared is not None and declared.ttl is not None:
            raise PlanError(
                f"state '{state}' has a time to live: its values cannot be made up", hint="edit a savepoint that has it"
            )
        found = self._operator(operator)
        folded = isinstance(declared, ReducingState | AggregatingState)
        groups: dict[int, dict[Any, Any]] = {}
        for key, value in values.items():
            groups.setdefault(key_group(stable_hash(key), found.max_parallelism), {})[key] = (value,) if folded else value
        rows = keyed_rows(state, groups, declared, f"state '{state}' of '{operator}'")
        known = next((one for one in found.states if one.name == state), None)
        return self._with(found, known or SavedState(state, rows.layout, ()), rows)

    def with_operator(self, uid: str, *, max_parallelism: int = 128) -> SavepointTables:
        """Return it with one more operator, which has no state yet.

        Raises:
            CheckpointError: if there is one of this id.
        """
        if any(operator.id == uid for operator in self.manifest.operators):
            raise CheckpointError(f"the savepoint has an operator '{uid}' already")
        added = SavedOperator(uid, uid, "", 1, max_parallelism, uid)
        return replace(self, manifest=self.manifest.having((*self.manifest.operators, added)))

    def _with(self, operator: SavedOperator, state: SavedState, rows: Rows) -> SavepointTables:
        empty = SavedState(state.name, rows.layout, (), rows.schema, rows.ttl)
        changed = operator.holding((*(one for one in operator.states if one.name != state.name), empty))
        operators = tuple(changed if one.id == operator.id else one for one in self.manifest.operators)
        return replace(self, manifest=self.manifest.having(operators), _changed={**self._changed, (operator.id, state.name): rows})

    def write(self, directory: str | os.PathLike[str]) -> str:
        """Write it as a savepoint of its own; return the directory, which a job can go on from.

        Raises:
            CheckpointError: if there is a savepoint already, or it cannot be written.
        """
        home = home_of(str(directory))
        operators = []
        for operator in self.manifest.operators:
            states = []
            for state in operator.states:
                rows = self._changed.get((operator.id, state.name))
                if rows is None:
                    files = tuple(copy_file(self.home, home, file) for file in state.files)
                else:
                    files = (write_rows(home, operator.id, state.name, 0, rows),)
                states.append(SavedState(state.name, state.layout, files, state.schema, state.ttl))
            operators.append(operator.holding(tuple(states)))
        return write_manifest(home, self.manifest.having(tuple(operators)))


def _typed(table: pa.Table, schema: pa.Schema, columns: Mapping[str, SavedColumn], name: str) -> pa.Table:
    """Return a table with the types that its columns are written with."""
    import pyarrow as pa

    arrays = {}
    for column in schema.names:
        if column == "key_group" and column not in table.column_names:
            arrays[column] = pa.nulls(table.num_rows, pa.int32())
            continue
        if column not in table.column_names:
            raise CheckpointError(f"{name} lacks the column '{column}'", hint=nearest(column, table.column_names))
        saved = columns.get(column)
        of = schema.field(column).type
        if saved is not None and saved.encoding == "arrow" and saved.type is not None:
            of = form_of(TypeSchema.from_data(saved.type)).type
        try:
            arrays[column] = pa.array(table.column(column).to_pylist(), of)
        except (pa.ArrowException, OverflowError) as error:
            raise CheckpointError(f"the column '{column}' of {name} is not of type {of}: {error}") from error
    return pa.table(arrays)


def _grouped(table: pa.Table, key: SavedColumn, max_parallelism: int, name: str) -> pa.Table:
    """Return a table with its key groups, in their order."""
    import pyarrow as pa

    keys = to_values(table.column("key"), key, None, f"the key of {name}")
    groups = pa.array([key_group(stable_hash(one), max_parallelism) for one in keys], pa.int32())
    table = table.set_column(table.column_names.index("key_group"), "key_group", groups)
    order = sorted(range(len(keys)), key=groups.to_pylist().__getitem__)
    return table.take(pa.array(order, pa.int64()))


def read(path: str | os.PathLike[str]) -> SavepointTables:
    """Open a savepoint.

    Args:
        path: its directory.

    Raises:
        CheckpointError: if there is none, it is damaged, or it is native or a checkpoint, which only a job can read.
    """
    home, snapshot = open_snapshot(str(path))
    if not isinstance(snapshot, Savepoint):
        what = "savepoint is native" if snapshot.savepoint else "is a checkpoint"
        raise CheckpointError(
            f"'{home}': this {what}, which only a job can read", hint="start a job from it, and take a canonical savepoint"
        )
    return SavepointTables(read_manifest(home), home)


def create(name: str) -> SavepointTables:
    """Return an empty savepoint, to be filled by `with_operator` and `with_values`: the first state of a job that has never run."""
    now = round(time.time() * 1000)
    return SavepointTables(Savepoint(name, version("actorflow"), platform.python_version(), "", 1, now, ()))


@dataclass(frozen=True)
class Difference:
    """What differs between two savepoints.

    Attributes:
        states: by operator id and state: the number of rows that only the first has, and that only the second has.
    """

    states: Mapping[tuple[str, str], tuple[int, int]]

    def __bool__(self) -> bool:
        return bool(self.states)

    def __str__(self) -> str:
        if not self.states:
            return "no difference"
        return "\n".join(f"{operator} / {state}: -{left} +{right} rows" for (operator, state), (left, right) in self.states.items())


def diff(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Difference:
    """Compare the states of two savepoints, operator by operator, whatever the parallelism that they were taken with.

    Raises:
        CheckpointError: see `read`.
    """
    left, right = _rows(read(first)), _rows(read(second))
    found = {}
    for place in dict.fromkeys([*left, *right]):
        before, after = left.get(place, Counter()), right.get(place, Counter())
        counts = ((before - after).total(), (after - before).total())
        if any(counts):
            found[place] = counts
    return Difference(found)


def _rows(tables: SavepointTables) -> dict[tuple[str, str], Counter[str]]:
    """Return the rows of each state as text."""
    return {
        (operator.id, state.name): Counter(repr(row) for file in state.files for row in read_table(tables.home, file).to_pylist())
        for operator in tables.manifest.operators
        for state in operator.states
    }
