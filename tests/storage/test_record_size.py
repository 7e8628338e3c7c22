"""Estimates of memory: what they take into account, and that they are not far from what CPython allocates."""

import tracemalloc
from dataclasses import dataclass

import pytest

from actorflow.storage.record_size import sampled_bytes


@dataclass
class Plain:
    name: str
    values: list


@dataclass(slots=True)
class Slotted:
    name: str
    values: list


class Broken:
    @property
    def __dict__(self):
        raise RuntimeError("no attributes here")


MAKERS = {
    "tuples": lambda n: (f"key {n}", n << 40, n / 3),
    "texts": lambda n: f"a text with the number {n}",
    "dicts": lambda n: {f"name {n}": f"value {n}", n << 40: [n << 30]},
    "large bytes": lambda n: bytes(1000 + n),
    "long lists": lambda n: [(n + place) << 40 for place in range(50)],
    "objects": lambda n: Plain(f"name {n}", [n << 40, f"{n}"]),
    "slotted objects": lambda n: Slotted(f"name {n}", [n << 40, f"{n}"]),
    "nested": lambda n: ((((f"deep {n}",),),), {f"{n}": {f"x{n}": (n << 50,)}}),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_an_estimate_is_close_to_what_was_allocated(kind):
    make = MAKERS[kind]
    tracemalloc.start()
    try:
        values = [make(n) for n in range(1000, 4_000)]
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.75 * allocated < sampled_bytes([values]) + 8 * len(values) < 1.5 * allocated


def test_what_rows_share_counts_once_in_a_sample():
    shared = bytes(1 << 20)
    assert sampled_bytes([[(n, shared) for n in range(16)]]) < 1.2 * (1 << 20)
    assert sampled_bytes([[shared] * 16, [shared] * 16]) < 1.2 * (1 << 20)


def test_values_that_refer_to_themselves_or_cannot_be_looked_at_have_a_size():
    loop = []
    loop.append(loop)
    assert 0 < sampled_bytes([[loop, Broken(), len, int]]) < 1000
    assert sampled_bytes([[]]) == 0
