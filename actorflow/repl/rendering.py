"""How things look at the prompt: the tree as a table in colours. Values are only shown here; their text is their own."""

from __future__ import annotations

import io
import shutil
import sys
from typing import TYPE_CHECKING

from actorflow.inspection.tree import COLUMNS, ActorRow, Tree

if TYPE_CHECKING:
    from rich.table import Table

_MUCH_MS = 800
"""Share of a second from which a subtask stands out."""


def tree_table(tree: Tree) -> Table:
    """Return the tree as a table: red what is busy all the time or does not answer, yellow what is held up."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number < 3 else "right", no_wrap=number != 1)
    for row in tree:
        table.add_row(*map(Text, row.cells()), style=_style(row))
    return table


def _style(row: ActorRow) -> str:
    if row.state in {"no answer", "restarting", "ended"}:
        return "bold red"
    if row.view is None:
        return "dim"
    if row.view.metrics.busy_ms_per_second >= _MUCH_MS:
        return "red"
    return "yellow" if row.view.metrics.back_pressured_ms_per_second >= _MUCH_MS // 2 else ""


def drawn(tree: Tree) -> str:
    """Return the tree as text for standard output: in colours, if that is a terminal."""
    from rich.console import Console

    text = io.StringIO()
    width = shutil.get_terminal_size((160, 40)).columns
    Console(file=text, force_terminal=sys.stdout.isatty(), width=width).print(tree_table(tree))
    return text.getvalue().rstrip("\n")
