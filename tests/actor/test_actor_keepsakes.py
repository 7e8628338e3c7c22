"""What is kept of messages: small ones whole, of large ones an outline; and no code of theirs runs."""

import dataclasses
import enum
from typing import NamedTuple

import pytest

from actorflow.actor.dead_letters import DeadLetter
from actorflow.actor.keepsakes import KEPT_BYTES_MAX, Outline, kept
from actorflow.errors import ErrorInfo
from actorflow.ids import Address
from actorflow.wire.message import Message

LARGE = "x" * (KEPT_BYTES_MAX + 1)


class Order(Message, frozen=True):
    number: int
    payload: object = b""


@dataclasses.dataclass(frozen=True)
class Wrapped:
    to: str
    order: object


class Pair(NamedTuple):
    left: object
    right: object


class Colour(enum.Enum):
    RED = 1


class Hostile:
    def __init__(self, inside=None):
        self.inside = inside

    def __repr__(self):
        raise ValueError

    __len__ = __iter__ = __sizeof__ = __eq__ = __hash__ = __repr__


class Plain:
    def __init__(self, inside):
        self.inside = inside


LOOP = []
LOOP.append(LOOP)

SMALL = [
    "text", b"bytes", 7, 2**70, 1.5, True, None, (1, "a"), ["x"] * 100, {"a": (1, 2)}, {1, 2}, Pair(1, 2), Colour.RED, Order(1, b"x" * 1000),
    Wrapped("n/a", Order(1)), ErrorInfo("E", "m", traceback="t" * 5000, context={"a": "b"}), len, Plain(1), memoryview(b"x" * 10),
]  # fmt: skip
LARGER = [
    LARGE, LARGE.encode(), bytearray(KEPT_BYTES_MAX), 1 << (8 * KEPT_BYTES_MAX), (LARGE,), list(range(1000)), dict.fromkeys(range(1000)),
    Pair(1, LARGE), Pair(*[[0] * 400] * 2), Order(1, LARGE.encode()), Wrapped("n/a", Order(1, LARGE)), Plain(LARGE),
    Plain(Plain([LARGE])), Hostile(), Hostile(LARGE), LOOP, memoryview(LARGE.encode()),
]  # fmt: skip


@pytest.mark.parametrize("message", SMALL, ids=lambda message: type(message).__name__)
def test_a_small_message_is_kept_as_it_is(message):
    assert kept(message) is message


@pytest.mark.parametrize("message", LARGER, ids=lambda message: type(message).__name__)
def test_of_a_large_message_an_outline_is_kept(message):
    outline = kept(message)
    assert (type(outline), outline.kind) == (Outline, type(message).__name__)
    assert len(outline.text) < 200


def test_an_outline_shows_the_fields_that_fit():
    message = Wrapped("n/a", Order(3, LARGE.encode()))
    assert repr(kept(message)) == "Wrapped(to='n/a', order=Order(number=3, payload=<16,385 bytes>))"
    assert repr(kept(Pair(1, LARGE))) == "<Pair>"
    assert repr(kept({"a": LARGE})) == "<dict of 1>"


def test_dead_letters_keep_outlines(sim):
    sim.dead_letter(Address("n/a"), LARGE, "test")
    [letter] = sim.dead_letters.last()
    assert letter == DeadLetter(Address("n/a"), kept(LARGE), 0.0, "test")
