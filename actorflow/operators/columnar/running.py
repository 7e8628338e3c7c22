"""Running values by key in columns: a batch of keys and values is taken in without one Python object a key.

The distinct keys are numbered (see `key_codes`), and the values stand in one dense column by that number. So a batch costs what its own
distinct keys cost, however many others there are:

    key ──hash──► code ──gather──► old value ──+ value of the batch──► new value ──scatter──► column
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from actorflow.operators.columnar.key_codes import KeyCodes
from actorflow.operators.specs import ColumnarKeyedSpec, CountSpec, MaxSpec, MinSpec, SumSpec

if TYPE_CHECKING:
    import polars as pl

_ROOM_MIN: Final = 1024
_BITS_64: Final = range(-(2**63), 2**63)


class RunningColumns:
    """Running sums (counts are sums of ones), smallest or largest values.

    Args:
        spec: what to compute.
        key_type: `str` or `int`: the type of all keys.
        value_type: `int` or `float`: the type of all values.
    """

    def __init__(self, spec: ColumnarKeyedSpec, key_type: type, value_type: type) -> None:

        self.key_type = key_type
        self.value_type = value_type
        self._spec = spec
        self._codes = KeyCodes(key_type)
        self._start = _start(spec, value_type)
        self._values = self._room(_ROOM_MIN)
        self._given = self._values.head(0)
        self._count = 0
        self._largest = 0  # of the absolute values that integer sums have had

    @classmethod
    def of(cls, spec: ColumnarKeyedSpec, entries: Mapping[Any, Any]) -> RunningColumns | None:
        """Return columns that hold these entries (at least one), or None if they do not fit."""
        import polars as pl

        key_types, value_types = set(map(type, entries)), set(map(type, entries.values()))
        if key_types not in ({str}, {int}) or value_types not in ({int}, {float}):
            return None
        made = cls(spec, key_types.pop(), value_types.pop())
        try:
            keys = pl.Series(list(map(str, entries)), dtype=pl.String)
            values = pl.Series(list(entries.values()), dtype=made._values.dtype)
        except (TypeError, OverflowError, UnicodeEncodeError):  # integers beyond 64 bits, strings that are not text
            return None
        if made.value_type is float and values.is_nan().any():
            return None
        return made if made.update(made.codes(keys), values) is not None else None

    def __len__(self) -> int:
        return self._count

    def codes(self, keys: pl.Series) -> pl.Series:
        """Return the number of each key, for `update`."""
        return self._codes.of(keys)

    def update(self, codes: pl.Series, parts: pl.Series) -> pl.Series | None:
        """Combine values with the running ones.

        Args:
            codes: of keys, each once.
            parts: a value for each of them, of this object's type.

        Returns:
            The new running values, or None if nothing was done because a sum might leave 64 bits.
        """
        if codes.is_empty():
            return parts
        exact_sum = self.value_type is int and isinstance(self._spec, CountSpec | SumSpec)
        if exact_sum and self._largest + _largest(parts) not in _BITS_64:
            return None
        last = codes.max()
        assert isinstance(last, int), "codes are integers"
        self._reach(last + 1)
        old = self._values.gather(codes)
        match self._spec:
            case MinSpec():
                new = parts.zip_with(parts < old, old)
            case MaxSpec():
                new = parts.zip_with(parts > old, old)
            case _:
                new = old + parts
        if exact_sum:
            self._largest = max(self._largest, _largest(new))
        self._values.scatter(codes, new)
        return new

    def get(self, key: Any, default: Any) -> Any:
        """Return the running value of a key of the right type."""
        code = self._codes.find(key)
        return default if code is None else self._values[code]

    def changed_items(self) -> Iterable[tuple[Any, Any]]:
        """Return the keys whose running value is not that of the last call, with their values; every key at the first call."""
        import polars as pl

        values, given = self._values.head(self._count), self._given
        codes = pl.int_range(len(given), len(values), dtype=pl.UInt32, eager=True)
        if len(given):
            codes = (values.head(len(given)) != given).arg_true().append(codes)
        self._given = values
        return zip(self._codes.keys_of(codes), values.gather(codes).to_list(), strict=True)

    def _reach(self, count: int) -> None:
        """Have values for at least so many codes."""
        if count > len(self._values):
            self._values.extend(self._room(max(count, 2 * len(self._values)) - len(self._values)))
        self._count = max(self._count, count)

    def _room(self, count: int) -> pl.Series:
        import polars as pl

        return pl.repeat(self._start, count, dtype=pl.Int64 if self.value_type is int else pl.Float64, eager=True)


def _start(spec: ColumnarKeyedSpec, value_type: type) -> float:
    """Return the value that changes nothing when another is combined with it."""
    match spec:
        case MinSpec():
            return _BITS_64[-1] if value_type is int else float("inf")
        case MaxSpec():
            return _BITS_64[0] if value_type is int else float("-inf")
        case _:
            return 0


def _largest(integers: pl.Series) -> int:
    """Return the largest absolute value."""
    low, high = integers.min(), integers.max()
    assert isinstance(low, int), "not empty, and integers"
    assert isinstance(high, int), "not empty, and integers"
    return max(-low, high)
