"""What somebody may have meant by a name that does not exist: the hint of every error about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """Return a hint for the name `wrong`: the valid name next to it, else all of them, in their order.

    >>> nearest("paralelism", ["parallelism", "name"])
    "did you mean 'parallelism'?"
    >>> nearest("colour", ["parallelism", "name"])
    "valid are 'parallelism', 'name'"
    """
    names = list(valid)
    lowered = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(wrong.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{lowered[close[0]]}'?"
    if not names:
        return "there are none"
    return "valid are " + ", ".join(f"'{name}'" for name in names)
