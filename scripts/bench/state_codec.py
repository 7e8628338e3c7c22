"""State values as bytes: the codec of a declared type beside pickle, msgspec and marshal, one value at a time and a thousand.

The floor is pickle protocol 5, which needs no declaration. msgspec alone writes the same values without a look at their types, and reads them
into the classes it knows; it is not exact (subclasses, big ints, named zones) and has no unions of classes: what the codec adds to it is
the price of exactness. marshal takes plain values only.

    migrate    values of a dataclass that were written before it got a new field, had one renamed and one widened
"""

from __future__ import annotations

import dataclasses
import marshal
import pickle
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import msgspec
from harness import Benchmark

from actorflow.state.schema import schema_of
from actorflow.wire.state_codec import codec_for
from actorflow.wire.state_migration import Migration


@dataclasses.dataclass
class Visit:
    """A small record, as state often is."""

    user: str
    count: int
    total: float


@dataclasses.dataclass
class Session:
    """A record with parts."""

    visits: list[Visit]
    pages: dict[str, int]
    last: Visit | None


class Sample(NamedTuple):
    """The same as a named tuple."""

    user: str
    count: int
    total: float


class Entry(msgspec.Struct):
    """The same as a struct."""

    user: str
    count: int
    total: float


@dataclasses.dataclass
class NextVisit:
    """`Visit` in the next version of the job."""

    __state_aliases__: ClassVar = {"__class__": f"{__name__}.Visit", "amount": "total"}

    user: str
    count: float
    amount: float
    tags: list[str] = dataclasses.field(default_factory=list)


CASES: dict[str, tuple[Any, Any]] = {
    "int": (int, 12345),
    "tuple[int, str]": (tuple[int, str], (5, "abc")),
    "dataclass of 3 fields": (Visit, Visit("bob", 3, 1.5)),
    "named tuple of 3 fields": (Sample, Sample("bob", 3, 1.5)),
    "struct of 3 fields": (Entry, Entry("bob", 3, 1.5)),
    "dataclass with 5 of them in a list": (Session, Session([Visit("bob", 3, 1.5)] * 5, {"a": 1, "b": 2}, None)),
    "list of 100 ints": (list[int], list(range(1000, 1100))),
    "dict of 20 str to int": (dict[str, int], {f"k{i}": i for i in range(20)}),
    "object (pickled)": (object, (5, "abc")),
}


def nanoseconds(count: int, act: Callable[[], object]) -> float:
    """Return how long one of `count` takes, in ns."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) / count * 1e9


def each(function: Callable[[Any], object], argument: Any, count: int) -> Callable[[], float]:
    """Return a contender that calls a function over and over."""

    def run() -> float:
        return nanoseconds(count, lambda: [function(argument) for _ in range(count)])

    return run


def compare(bench: Benchmark, title: str, of: Any, value: Any) -> None:
    """Measure writing and reading of one value."""
    count = bench.size(20_000, quick=200)
    codec = codec_for(of)
    data, pickled, packed = codec.encode(value), pickle.dumps(value, 5), msgspec.msgpack.encode(value)
    many, many_data = [value] * count, [data] * count
    decoder = msgspec.msgpack.Decoder(of)
    writers = {
        "pickle": each(lambda v: pickle.dumps(v, 5), value, count),
        "codec": each(codec.encode, value, count),
        "codec, many": lambda: nanoseconds(count, lambda: codec.encode_many(many)),
    }
    readers = {
        "pickle": each(pickle.loads, pickled, count),
        "codec": each(codec.decode, data, count),
        "codec, many": lambda: nanoseconds(count, lambda: codec.decode_many(many_data)),
    }
    if of is not object:
        writers["msgspec"] = each(msgspec.msgpack.encode, value, count)
        readers["msgspec"] = each(decoder.decode, packed, count)
    if type(value) in {int, tuple, list, dict}:
        marshalled = marshal.dumps(value)
        writers["marshal"] = each(marshal.dumps, value, count)
        readers["marshal"] = each(marshal.loads, marshalled, count)
    bench.compare(f"{title}: write ({len(data)} bytes, pickle {len(pickled)})", "ns", writers)
    bench.compare(f"{title}: read", "ns", readers)


def migrate(bench: Benchmark) -> None:
    """Measure reading values of an older version of a class."""
    count = bench.size(20_000, quick=200)
    value = Visit("bob", 3, 1.5)
    data = codec_for(Visit).encode(value)
    codec = codec_for(NextVisit)
    migration = Migration(schema_of(Visit).value, codec, "a value")
    now = codec.encode(migration.decode(data))
    bench.compare(
        "migrate: read",
        "ns",
        {
            "pickle, no change": each(pickle.loads, pickle.dumps(value, 5), count),
            "codec, no change": each(codec.decode, now, count),
            "codec, migrating": each(migration.decode, data, count),
        },
    )


def main() -> None:
    """Run all tables."""
    bench = Benchmark("state_codec", __doc__)
    for title, (of, value) in CASES.items():
        compare(bench, title, of, value)
    migrate(bench)
    bench.finish()


if __name__ == "__main__":
    main()
