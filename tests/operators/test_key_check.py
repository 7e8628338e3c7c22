"""Keys without a stable hash are refused with one subtask as with many."""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass

import pytest

import actorflow as af
from actorflow.errors import UserFunctionError
from actorflow.operators.compiled.key_check import _STABLE, KeyCheck, TableCheck
from actorflow.wire.stable_hash import stable_hash


class Odd:
    """Equal to others of its number, and hashed by it: a key for Python, and in another process another."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return self.number == other.number

    def __hash__(self):
        return hash(self.number)


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: int


STABLE = ["a", 1, True, None, b"a", 1.5, (1, "a"), frozenset([1]), Colour.RED, Point(1), uuid.UUID(int=1), dt.date(2026, 1, 1)]
UNSTABLE = [Odd(1), (1, Odd(1)), float("nan"), Point(Odd(1)), frozenset([Odd(1)])]


@pytest.mark.parametrize("key", STABLE, ids=repr)
def test_stable_keys_are_taken(key):
    assert stable_hash(key) >= 0
    KeyCheck("count", "count/0").key(key)


@pytest.mark.parametrize("key", UNSTABLE, ids=lambda key: type(key).__name__)
def test_unstable_keys_are_refused_with_operator_and_key(key):
    with pytest.raises(UserFunctionError, match="has no stable hash") as caught:
        KeyCheck("count", "count/0").key(key)
    context = caught.value.info().context
    assert ("the key of 'count'", "count/0") == (context["operator"], context["subtask"])
    assert context["key"]


def test_of_the_types_that_are_taken_unseen_every_value_is_stable():
    values = [
        "\udcff",
        -(10**30),
        False,
        b"",
        None,
        dt.date.min,
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.time.max,
        dt.timedelta.min,
        uuid.uuid4(),
    ]
    assert {type(value) for value in values} == _STABLE
    assert all(stable_hash(value) >= 0 for value in values)


def test_a_table_is_looked_at_where_it_has_grown():
    table = {Odd(0): 1}
    check = TableCheck(table, KeyCheck("count", "count/0"))
    check.look()
    table |= {"a": 1, ("b", 1): 1}
    check.look()
    table |= {Odd(1): 1, "c": 1}
    with pytest.raises(UserFunctionError):
        check.look()


def test_a_table_that_was_cleared_is_looked_at_from_its_beginning():
    table = {"a": 1, "b": 1}
    check = TableCheck(table, KeyCheck("count", "count/0"))
    table.clear()
    check.look()
    table[Odd(1)] = 1
    with pytest.raises(UserFunctionError):
        check.look()


class Total(af.Aggregate):
    def create(self):
        return 0

    def add(self, acc, value):
        return acc + value

    def merge(self, a, b):
        return a + b

    def result(self, acc):
        return acc


class Passes(af.OperatorActor):
    def on_record(self, record, ctx):
        ctx.emit(record)


class PassesBoth(af.TwoInputOperator):
    def on_left(self, record, ctx):
        ctx.emit(record)

    def on_right(self, record, ctx):
        ctx.emit(record)


USES = {
    "count": lambda keyed: keyed.count(),
    "count that is not chained": lambda keyed: keyed.count(chain="head"),
    "reduce": lambda keyed: keyed.reduce(lambda a, b: a),
    "aggregate": lambda keyed: keyed.aggregate(Total()),
    "process": lambda keyed: keyed.process(Passes()),
    "tumbling": lambda keyed: keyed.window(af.windows.tumbling("1s")).count(),
    "sliding": lambda keyed: keyed.window(af.windows.sliding("1s", "500ms")).aggregate(Total()),
    "session": lambda keyed: keyed.window(af.windows.session("1s")).count(),
    "connect": lambda keyed: keyed.connect(keyed).process(PassesBoth()),
}


@pytest.mark.parametrize("mode", ["streaming", "batch"])
@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("use", USES)
def test_every_keyed_operator_refuses_unstable_keys(use, parallelism, mode):
    numbers = af.Pipeline("odd", mode=mode).read(af.sources.collection(range(4)))
    timed = numbers.with_timestamps(lambda n: n, af.Watermarks.monotonous())
    with pytest.raises(af.JobFailed, match="a key of type 'Odd' has no stable hash"):
        af.collect(USES[use](timed.key_by(lambda n: Odd(n % 2))), slots="inline", parallelism=parallelism)
