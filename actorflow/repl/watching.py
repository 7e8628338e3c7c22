"""A view that renews itself."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable

from actorflow.config.values import Duration, duration_s
from actorflow.inspection.tree import Tree
from actorflow.repl.rendering import tree_table


def follow(look: Callable[[], Tree], every: Duration, times: int | None) -> None:
    """Draw a tree again and again, in place, until Ctrl-C.

    Args:
        look: returns what is to be drawn.
        every: how long to wait in between.
        times: how often; None without end.
    """
    from rich.live import Live

    pause_s = duration_s(every)
    with contextlib.suppress(KeyboardInterrupt), Live(auto_refresh=False) as live:
        live.update(tree_table(look(), live.console.width), refresh=True)
        for _ in itertools.count() if times is None else range(1, times):
            time.sleep(pause_s)
            live.update(tree_table(look(), live.console.width), refresh=True)
