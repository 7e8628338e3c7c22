"""Makes the next item of an iterator on a thread of its own while the last one is in use.

For readers whose items are large and made by code that lets other threads run, such as the decoding of column files: the operators
of the slot need not wait for it, unless they are faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_END: Final = object()


class ReadAhead(Generic[Item]):
    """Gives what `items` gives; at most one item more is made than was asked for.

    Args:
        items: raises what it raises, to who asks for the item. Never used by two threads at a time.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._coming: Future[Item | object] | None = None

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        coming, self._coming = self._coming, None
        item = next(self._items, _END) if coming is None else coming.result()
        if item is _END:
            raise StopIteration
        self._coming = self._thread.submit(next, self._items, _END)
        return item  # type: ignore[return-value]  # it is not the end, so the iterator gave it

    def close(self) -> None:
        """Wait until the thread has ended, and give nothing more."""
        self._thread.shutdown(cancel_futures=True)
        self._items = iter(())
        self._coming = None
