"""Which references of a list are others than before: a million of them in two milliseconds, in which the interpreter serves other threads.

To compare objects with `is` touches each of them, for Python counts who refers to it: that waits for memory a million times. Where they are is
enough to know. CPython keeps the addresses of a list's objects in one array, which is looked at as it is; elsewhere they are asked for.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIST_BYTES: Final = 40
_ITEMS_AT: Final = 24
"""Where a list of this size refers to the array of its objects: behind the counter of references, the type and the length."""


def viewed(objects: list[Any]) -> NDArray[np.object_]:
    """Return a list as an array, without a copy where that is possible: nobody may change the list while the array is used."""
    import numpy as np

    if objects and sys.implementation.name == "cpython" and list.__basicsize__ == _LIST_BYTES:
        items = ctypes.c_ssize_t.from_address(id(objects) + _ITEMS_AT).value
        addresses = (ctypes.c_ssize_t * len(objects)).from_address(items)
        if addresses[0] == id(objects[0]) and addresses[-1] == id(objects[-1]):
            return np.asarray((ctypes.py_object * len(objects)).from_address(items))
    return copied(objects)


def copied(objects: list[Any]) -> NDArray[np.object_]:
    """Return a list as an array with references of its own."""
    import numpy as np

    return np.fromiter(objects, dtype=np.object_, count=len(objects))


def changed(now: NDArray[np.object_], before: NDArray[np.object_], ahead: int) -> NDArray[np.bool_]:
    """Return for each object of `now` whether it is another one than that of `before` at this place.

    Args:
        now: some objects.
        before: others. What is missing at the end is another one.
        ahead: the place in `before` at which `now` begins.
    """
    import numpy as np

    result = np.ones(len(now), dtype=np.bool_)
    common = max(0, min(len(now), len(before) - ahead))
    if common:  # there is no buffer of nothing
        ours, theirs = np.frombuffer(now, dtype=np.intp), np.frombuffer(before, dtype=np.intp)
        np.not_equal(ours[:common], theirs[ahead : ahead + common], out=result[:common])
    return result
