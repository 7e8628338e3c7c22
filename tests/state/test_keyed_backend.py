"""The contract of keyed state backends, run over each of them."""

import pytest
from backend_kinds import BACKENDS, rocksdb, rocksdb_with_little_room, rocksdb_without_room
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actorflow.errors import PlanError
from actorflow.state.backend import NO_KEY
from actorflow.state.descriptors import ListState, MapState, ValueState, declared_states
from actorflow.state.hashmap import HashMapBackend


class Declared:
    value = ValueState(int, default=7)
    counts = MapState(str, int)
    log = ListState(int)


def bound(backend):
    return tuple(backend.bind(descriptor) for descriptor in declared_states(Declared).values())


def by_key(groups):
    """Merge snapshot groups into {state: {key: value}}."""
    merged = {}
    for group in groups.values():
        for name, values in group.items():
            merged.setdefault(name, {}).update(values)
    return merged


keys = st.sampled_from(["a", "b", 1, (2, "x"), None])
entries = st.sampled_from(["p", "q", "r"])
numbers = st.integers(-5, 5)


def machine_over(make_backend, examples):
    class KeyedStateAgainstDicts(RuleBasedStateMachine):
        @initialize()
        def start(self):
            self.open(make_backend())
            self.expected = {"value": {}, "counts": {}, "log": {}}

        def open(self, backend):
            self.backend = backend
            self.value, self.counts, self.log = bound(backend)
            self.key = None
            backend.current_key = None

        @rule(key=keys)
        def another_record(self, key):
            self.key = self.backend.current_key = key

        @rule(number=numbers)
        def value_is_set(self, number):
            self.value.set(number)
            self.expected["value"][self.key] = number

        @rule()
        def value_is_cleared(self):
            self.value.clear()
            self.expected["value"].pop(self.key, None)

        @rule(entry=entries, number=numbers)
        def entry_is_put(self, entry, number):
            self.counts.put(entry, number)
            self.expected["counts"].setdefault(self.key, {})[entry] = number

        @rule(entry=entries)
        def entry_is_removed(self, entry):
            self.counts.remove(entry)
            expected = self.expected["counts"]
            expected.get(self.key, {}).pop(entry, None)
            if not expected.get(self.key, True):
                del expected[self.key]

        @rule()
        def map_is_cleared(self):
            self.counts.clear()
            self.expected["counts"].pop(self.key, None)

        @rule(number=numbers)
        def value_is_added(self, number):
            self.log.add(number)
            self.expected["log"].setdefault(self.key, []).append(number)

        @rule(values=st.lists(numbers, max_size=3))
        def list_is_replaced(self, values):
            self.log.update(values)
            self.expected["log"].pop(self.key, None)
            if values:
                self.expected["log"][self.key] = values

        @rule()
        def list_is_cleared(self):
            self.log.clear()
            self.expected["log"].pop(self.key, None)

        @rule()
        def moved_to_another_backend_through_a_snapshot(self):
            snapshot = self.backend.snapshot(lambda key: len(str(key)))
            restored = make_backend()
            restored.restore(snapshot.values())
            self.backend.close()
            self.open(restored)

        @rule()
        def the_batch_ends(self):
            self.backend.settle()

        def teardown(self):
            if hasattr(self, "backend"):
                self.backend.close()

        @invariant()
        def reads_agree(self):
            if not hasattr(self, "expected"):
                return
            key, expected = self.key, self.expected
            assert expected["value"].get(key, 7) == self.value.get()
            assert expected["counts"].get(key, {}) == dict(self.counts.items())
            for entry in ("p", "q"):
                assert (entry in expected["counts"].get(key, {})) == self.counts.contains(entry)
                assert expected["counts"].get(key, {}).get(entry, -1) == self.counts.get(entry, -1)
            assert expected["log"].get(key, []) == self.log.get()

        @invariant()
        def keys_and_snapshots_agree(self):
            if not hasattr(self, "expected"):
                return
            filled = {name: table for name, table in self.expected.items() if table}
            groups = self.backend.snapshot(lambda key: len(str(key)))
            assert filled == by_key(groups)
            assert all(len(str(key)) == group for group, states in groups.items() for t in states.values() for key in t)
            assert {key for table in filled.values() for key in table} == set(self.backend.keys())
            assert {name: t[self.key] for name, t in filled.items() if self.key in t} == self.backend.values(self.key)

    KeyedStateAgainstDicts.TestCase.settings = settings(max_examples=examples, stateful_step_count=30, deadline=None)
    return KeyedStateAgainstDicts.TestCase


TestHashMapBackend = machine_over(HashMapBackend, 40)
TestRocksDBBackend = machine_over(rocksdb, 20)
TestRocksDBBackendWithLittleRoom = machine_over(rocksdb_with_little_room, 10)
TestRocksDBBackendWithoutRoom = machine_over(rocksdb_without_room, 10)


@pytest.mark.slow
class TestHashMapBackendAtLength(machine_over(HashMapBackend, 1000)):
    pass


@pytest.mark.slow
class TestRocksDBBackendAtLength(machine_over(rocksdb_with_little_room, 300)):
    pass


@pytest.fixture(params=BACKENDS)
def make_backend(request):
    """Makes backends of one kind, which are closed at the end."""
    made = []
    yield lambda: made.append(request.param()) or made[-1]
    for backend in made:
        backend.close()


class TestAnyBackend:
    def test_state_without_a_current_key_is_refused(self, make_backend):
        for handle in bound(make_backend()):
            with pytest.raises(PlanError, match="no current key"):
                handle.get() if not hasattr(handle, "items") else handle.items()
            with pytest.raises(PlanError, match="no current key"):
                handle.clear()

    def test_state_is_refused_again_once_the_key_is_taken_away(self, make_backend):
        backend = make_backend()
        value = backend.bind(Declared.value)
        backend.current_key = "a"
        value.set(1)
        backend.current_key = NO_KEY
        with pytest.raises(PlanError, match="no current key"):
            value.set(2)
        assert {"value": 1} == backend.values("a")

    def test_a_snapshot_does_not_follow_later_changes(self, make_backend):
        backend = make_backend()
        value, counts, log = bound(backend)
        backend.current_key = "a"
        value.set(1), counts.put("x", 1), log.add(1)
        snapshot = backend.snapshot(lambda _: 0)
        value.set(2), counts.put("y", 2), log.add(2)
        assert {0: {"value": {"a": 1}, "counts": {"a": {"x": 1}}, "log": {"a": [1]}}} == snapshot

    def test_a_restored_backend_does_not_change_the_snapshot(self, make_backend):
        backend = make_backend()
        snapshot = {0: {"log": {"a": [1]}}}
        backend.restore(snapshot.values())
        _, _, log = bound(backend)
        backend.current_key = "a"
        log.add(2)
        assert {0: {"log": {"a": [1]}}} == snapshot
        assert [1, 2] == log.get()

    def test_each_key_is_asked_for_its_group_once(self, make_backend):
        backend = make_backend()
        value, counts, _ = bound(backend)
        backend.current_key = "a"
        value.set(1), counts.put("x", 1)
        asked = []
        backend.snapshot(lambda key: asked.append(key) or 0)
        assert ["a"] == asked

    def test_one_name_for_two_kinds_of_state_is_refused(self, make_backend):
        class Other:
            value = ListState(int)

        backend = make_backend()
        backend.bind(Declared.value)
        with pytest.raises(PlanError, match="'value' is declared as ListState and as ValueState"):
            backend.bind(Other.value)


def test_a_namespace_is_a_table_of_its_own_that_disappears_as_a_whole(make_backend):
    backend = make_backend()
    for namespace, entries in ((10, {"a": 1, "b": 2}), (20, {"a": 3})):
        backend.load("panes", entries, namespace)
        backend.table("panes", namespace).update(entries)
        backend.settle()
    assert {10, 20} == set(backend.namespaces("panes"))
    assert {"a": 1, "b": 2} == dict(backend.entries("panes", 10))
    assert {"panes": {10: 1, 20: 3}} == backend.values("a")
    assert {"panes": {"a": {10: 1, 20: 3}, "b": {10: 2}}} == by_key(backend.snapshot(hash))
    backend.drop("panes", 10)
    assert [20] == list(backend.namespaces("panes"))
    assert {"a"} == set(backend.keys())
    backend.clear()
    assert [] == list(backend.namespaces("panes"))
    assert 0 == len(backend)


def test_namespaces_are_restored_before_or_after_they_are_asked_for(make_backend):
    groups = {0: {"panes": {"a": {10: [1], 20: [2]}}}, 1: {"panes": {"b": {20: [3]}}}}
    early, late = make_backend(), make_backend()
    early.restore([groups[0]])
    assert {10, 20} == set(early.namespaces("panes"))
    early.restore([groups[1]])
    late.restore(groups.values())
    for backend in (early, late):
        assert [("a", [1])] == list(backend.entries("panes", 10))
        assert {"a": [2], "b": [3]} == dict(backend.entries("panes", 20))
        backend.load("panes", ["a"], 10)
        backend.table("panes", 10)["a"].append(9)
        backend.settle()
        assert {"panes": {10: [1, 9], 20: [2]}} == backend.values("a")
    assert {"panes": {"a": {10: [1], 20: [2]}}} == groups[0]
