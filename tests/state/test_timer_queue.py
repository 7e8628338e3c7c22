"""Timers against a list that is sorted anew for every question."""

import tempfile
from pathlib import Path

import pytest
from backend_kinds import BACKENDS
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actorflow.state.rocksdb.layout import group_prefixes
from actorflow.state.rocksdb.memory import RocksDBMemory
from actorflow.state.rocksdb.store import Store
from actorflow.state.rocksdb.timers import RocksDBTimers
from actorflow.state.timers import HeapTimers, Timer

times = st.integers(-3, 6)
keys = st.sampled_from(["a", "b", 1, None, ("x", 2)])
namespaces = st.sampled_from([None, "w1", (0, 10)])


def machine_over(make_timers):
    class TimersAgainstAList(RuleBasedStateMachine):
        @initialize()
        def start(self):
            self.timers = make_timers()
            self.expected = []

        @rule(timestamp=times, key=keys, namespace=namespaces)
        def set(self, timestamp, key, namespace):
            self.timers.set(timestamp, key, namespace)
            if (timestamp, key, namespace) not in self.expected:
                self.expected.append((timestamp, key, namespace))

        @rule(timestamp=times, key=keys, namespace=namespaces)
        def delete(self, timestamp, key, namespace):
            self.timers.delete(timestamp, key, namespace)
            if (timestamp, key, namespace) in self.expected:
                self.expected.remove((timestamp, key, namespace))

        @rule(until=times)
        def take(self, until):
            taken = self.timers.take(until)
            due = [timer for timer in self.expected if timer[0] <= until]
            if not due:
                assert taken is None
                return
            assert isinstance(taken, Timer)
            assert min(timer[0] for timer in due) == taken.timestamp
            self.expected.remove(tuple(taken))

        @rule()
        def all_are_looked_at(self):
            assert {*self.expected} == {tuple(timer) for timer in self.timers}
            assert sorted(timer.timestamp for timer in self.timers) == [timer.timestamp for timer in self.timers]

        @rule()
        def they_are_counted(self):
            assert len(self.expected) == len(self.timers)

        @invariant()
        def the_first_is_the_same(self):
            if hasattr(self, "timers"):
                assert min((timer[0] for timer in self.expected), default=None) == self.timers.first()

        def teardown(self):
            if not hasattr(self, "timers"):
                return
            assert len(self.expected) == len(self.timers)
            assert {*self.expected} == {tuple(timer) for timer in self.timers}
            if isinstance(self.timers, RocksDBTimers):
                self.timers.store.close()

    return TimersAgainstAList.TestCase


def on_disk(timers_max):
    """Return how to make timers of which so many are in memory."""

    def make():
        store = Store(Path(tempfile.mkdtemp(prefix="actorflow-state-test-")), RocksDBMemory(8 << 20), "test")
        return RocksDBTimers(store, store.family("timers"), group_prefixes(16), timers_max=timers_max)

    return make


def steps(examples):
    return settings(max_examples=examples, stateful_step_count=30, deadline=None)


TestTimersInMemory = machine_over(HeapTimers)
TestTimersInMemory.settings = steps(60)
TestTimersOnDisk = machine_over(on_disk(2))
TestTimersOnDisk.settings = steps(20)


@pytest.mark.slow
class TestTimersOnDiskAtLength(machine_over(on_disk(2))):
    settings = steps(400)


@pytest.mark.slow
class TestMoreTimersOnDiskAtLength(machine_over(on_disk(7))):
    settings = steps(250)


def test_timers_of_one_timestamp_come_out_in_the_order_in_which_they_were_set():
    timers = HeapTimers([Timer(5, "b"), Timer(5, "a"), Timer(4, "z"), Timer(5, "c")])
    taken = []
    while (timer := timers.take(5)) is not None:
        taken.append(timer.key)
        if timer.key == "b":
            timers.delete(5, "a")
            timers.set(5, "d")
    assert ["z", "b", "c", "d"] == taken


@pytest.mark.parametrize("namespace", [None, "w1"])
@pytest.mark.parametrize(
    "keys",
    [range(-100, 100), [f"k{number:03}" for number in range(200)], [True, *range(2, 200)], [1 << 70, "x", *range(200)]],
    ids=["integers", "text", "one that is kept", "mixed"],
)
def test_many_timers_of_a_time_come_back_from_disk_as_they_were(keys, namespace):
    timers = on_disk(20)()
    for key in keys:
        timers.set(5, key, namespace)
    timers.delete(5, 7, namespace)
    taken = []
    while (timer := timers.take(5)) is not None:
        taken.append(timer)
    expected = [Timer(5, key, namespace) for key in keys if key != 7]
    assert sorted(map(repr, expected)) == sorted(map(repr, taken))
    timers.store.close()


def test_changes_at_the_time_of_the_border_are_seen_wherever_they_belong():
    timers = on_disk(4)()
    for key in range(40):
        timers.set(5, key)
    for key in range(40, 60):
        timers.set(5, key)
        assert timers.holds(5, key, None)
        timers.delete(5, key - 40)
        assert not timers.holds(5, key - 40, None)
    assert 5 == timers.first()
    assert 40 == len(timers)
    assert {*range(20, 60)} == {timer.key for timer in timers}
    timers.store.close()


@pytest.mark.parametrize("make_backend", BACKENDS)
@pytest.mark.parametrize("make_other", BACKENDS[:2])
def test_timers_stand_in_snapshots_by_key_group_and_are_set_again_in_any_backend(make_backend, make_other):
    backend, other = make_backend(), make_other()
    expected = {Timer(5, "a"), Timer(-3, "b"), Timer(5, "b", (0, 10)), Timer(9, "b", (0, 10))}
    for timer in expected:
        backend.timers("event").set(*timer)
    backend.timers("processing").set(7, "c")
    groups = backend.snapshot({"a": 0, "b": 1, "c": 1}.__getitem__)
    assert {0: ["timers:event"], 1: ["timers:event", "timers:processing"]} == {
        group: sorted(states) for group, states in groups.items()
    }
    other.restore([groups[1]])
    assert expected - {Timer(5, "a")} == set(other.timers("event"))
    assert [Timer(7, "c")] == list(other.timers("processing"))
    assert -3 == other.timers("event").first()
    backend.close()
    other.close()
