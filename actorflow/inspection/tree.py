"""The actors of a cluster as a table: one row each, under the path that people know it by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from actorflow.actor import TreeRow
from actorflow.ids import Address
from actorflow.runtime.subtasks.subtask_contract import SubtaskView

COLUMNS = ("path", "kind", "state", "inbox", "in/s", "out/s", "busy", "pressed", "restarts")
"""Heads of the columns."""


@dataclass(frozen=True, slots=True)
class ActorRow:
    """One actor of a cluster.

    Attributes:
        path: what people call it; `ClusterView.actor` finds it by this.
        kind: name of its class, of a subtask its chain of operators.
        state: where it is in its life; of a subtask what it does; "no answer" if its node is too busy to say.
        inbox: messages that wait for it.
        handled: messages handled since it was spawned.
        restarts: fresh instances after failures; of a job and its subtasks deployments after the first.
        address: where it is.
        view: of a subtask what it shows.
    """

    path: str
    kind: str
    state: str
    inbox: int
    handled: int
    restarts: int
    address: Address
    view: SubtaskView | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of its columns."""
        shares: tuple[str, ...] = ("", "", "", "")
        if self.view is not None:
            metrics = self.view.metrics
            shares = (
                f"{metrics.records_in_per_second:,.0f}",
                f"{metrics.records_out_per_second:,.0f}",
                f"{metrics.busy_ms_per_second / 10:.0f} %",
                f"{metrics.back_pressured_ms_per_second / 10:.0f} %",
            )
        return (self.path, self.kind, self.state, str(self.inbox), *shares, str(self.restarts))


class Tree(Sequence[ActorRow]):
    """The actors of a cluster, parents before children; as text, a table."""

    def __init__(self, rows: Sequence[ActorRow]) -> None:
        self._rows = tuple(rows)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - a slice is a tuple of rows
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ActorRow]:
        return iter(self._rows)

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row.cells())}</tr>" for row in self._rows)
        return f"<table><tr>{''.join(f'<th>{column}</th>' for column in COLUMNS)}</tr>{rows}</table>"

    def __repr__(self) -> str:
        return as_table(COLUMNS, [row.cells() for row in self._rows])


def named_row(row: TreeRow, path: str, address: Address, *, kind: str = "", restarts: int = 0) -> ActorRow:
    """Return the row of an actor under the path, and maybe the kind, that people know it by."""
    inbox = row.control_depth + row.data_depth
    return ActorRow(path, kind or row.kind, row.state, inbox, row.handled, row.restarts + restarts, address)


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text; its first three columns are set to the left, the rest, numbers, to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)
