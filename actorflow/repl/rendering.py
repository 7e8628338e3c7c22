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


_GAP = 2
"""Between two columns."""

_KIND_MIN = 16
"""Room that kinds need, or they are left out."""


def tree_table(tree: Tree, width: int) -> Table:
    """Return the tree as a table: red what is busy all the time or does not answer, yellow what is held up.

    Figures are shown whole in a terminal of 80 columns: where the table is too wide, kinds are broken into lines, or left out and paths are broken.

    Args:
        tree: what is shown.
        width: of the terminal, in characters.
    """
    from rich.table import Table
    from rich.text import Text

    heads = COLUMNS if _room_for_kinds(tree, width) >= _KIND_MIN else tuple(head for head in COLUMNS if head != "kind")
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for head in heads:
        left, breaks = head in {"path", "kind", "state"}, head == "kind" or (head == "path" and "kind" not in heads)
        table.add_column(head, justify="left" if left else "right", no_wrap=not breaks, overflow="fold")
    for row in tree:
        cells = zip(COLUMNS, row.cells(), strict=True)
        table.add_row(*(Text(cell) for head, cell in cells if head in heads), style=_style(row))
    return table


def _room_for_kinds(tree: Tree, width: int) -> int:
    """Return how wide kinds can be beside what is as wide as it is."""
    columns = zip(COLUMNS, *(row.cells() for row in tree), strict=True)
    return width - sum(max(map(len, column)) + _GAP for column in columns if column[0] != "kind")


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
    Console(file=text, force_terminal=sys.stdout.isatty(), width=width).print(tree_table(tree, width))
    return text.getvalue().rstrip("\n")
