"""Numbers for the distinct keys of columns, which stay the same from batch to batch: what is known of a key can stand in a column.

Polars keeps them (`pl.Categories`: a hash table of strings that only grows). Integers are numbered by their decimal digits, which stand
for equal integers of every width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


class KeyCodes:
    """The numbers 0, 1, 2, … in the order in which keys appear.

    Args:
        key_type: `str` or `int`: the type of all keys.
    """

    def __init__(self, key_type: type) -> None:
        import polars as pl

        self._key_type = key_type
        self._categories = pl.Categories.random()
        self._coded = pl.Categorical(self._categories)
        self._kept = pl.Series([], dtype=self._coded)  # polars forgets the numbers when no series uses them

    def of(self, keys: pl.Series) -> pl.Series:
        """Return the number of each key, and give one to those that have none."""
        import polars as pl

        return keys.cast(pl.String).cast(self._coded).to_physical()

    def find(self, key: Any) -> int | None:
        """Return the number of a key of the right type, or None if it has none."""
        try:
            found = self._categories[str(key)]
        except (KeyError, UnicodeEncodeError):  # a string that is not text cannot be in a column
            return None
        assert isinstance(found, int), "numbers of strings are integers"
        return found

    def keys(self, start: int, stop: int) -> list[Any]:
        """Return the keys of these numbers."""
        import polars as pl

        return self.keys_of(pl.int_range(start, stop, dtype=pl.UInt32, eager=True))

    def keys_of(self, codes: pl.Series) -> list[Any]:
        """Return the keys of these numbers."""
        import polars as pl

        texts = codes.cast(pl.UInt32).cat.to(self._coded).cast(pl.String).to_list()
        return texts if self._key_type is str else list(map(int, texts))


def numbered_type(keys: pl.Series) -> type | None:
    """Return the Python type of keys that can be numbered, or None for missing keys and other types."""
    import polars as pl

    if keys.null_count():
        return None
    if keys.dtype.is_integer():
        return int
    return str if keys.dtype == pl.String else None
