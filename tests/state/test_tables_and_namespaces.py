"""Tables of every backend, a batch at a time, against dicts of dicts."""

import pytest
from backend_kinds import BACKENDS, rocksdb, rocksdb_with_little_room, rocksdb_without_room
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from actorflow.state.hashmap import HashMapBackend

keys = st.one_of(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from([("a", 1), None, 1.5, True]))
namespaces = st.sampled_from([None, 10, 20, (0, 10), "ab", "abc"])
values = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=3), st.lists(st.integers(), max_size=2))


def name_of(namespace):
    """A state is divided into namespaces, or it is not."""
    return "plain" if namespace is None else "divided"


def machine_over(make_backend, examples):
    class TablesAgainstDicts(RuleBasedStateMachine):
        @initialize()
        def start(self):
            self.backend = make_backend()
            self.expected = {}

        @rule(namespace=namespaces, batch=st.dictionaries(keys, values, max_size=4), seen=st.lists(keys, max_size=3))
        def a_batch_sets_some_of_its_keys(self, namespace, batch, seen):
            self.backend.load(name_of(namespace), iter([*batch, *seen]), namespace)
            table, held = self.backend.table(name_of(namespace), namespace), self.expected.setdefault(namespace, {})
            for key in [*batch, *seen]:
                assert held.get(key) == table.get(key)
            table.update(batch)
            held.update(batch)
            self.backend.settle()

        @rule(namespace=namespaces, batch=st.lists(keys, max_size=4))
        def a_batch_removes_its_keys(self, namespace, batch):
            self.backend.load(name_of(namespace), batch, namespace)
            table, held = self.backend.table(name_of(namespace), namespace), self.expected.setdefault(namespace, {})
            for key in batch:
                assert held.pop(key, None) == table.pop(key, None)
            self.backend.load(name_of(namespace), batch, namespace)
            assert not table.keys() & set(batch)
            self.backend.settle()

        @rule(namespace=namespaces)
        def all_entries_are_read(self, namespace):
            assert self.expected.get(namespace, {}) == dict(self.backend.entries(name_of(namespace), namespace))

        @rule(namespace=namespaces)
        def a_namespace_is_dropped(self, namespace):
            self.backend.drop(name_of(namespace), namespace)
            self.expected.pop(namespace, None)

        @rule()
        def the_namespaces_that_hold_something_are_known(self):
            held = {namespace for namespace, table in self.expected.items() if table and namespace is not None}
            assert held == set(self.backend.namespaces("divided"))

        @rule(key=keys)
        def a_key_is_looked_up(self, key):
            plain = self.expected.get(None, {})
            divided = {ns: table[key] for ns, table in self.expected.items() if ns is not None and key in table}
            found = self.backend.values(key)
            expected = ({"plain": plain[key]} if key in plain else {}) | ({"divided": divided} if divided else {})
            assert expected == found

        @rule()
        def all_is_forgotten(self):
            self.backend.clear()
            self.expected.clear()

        def teardown(self):
            if hasattr(self, "backend"):
                assert {key for table in self.expected.values() for key in table} == set(self.backend.keys())
                self.backend.close()

    TablesAgainstDicts.TestCase.settings = settings(max_examples=examples, stateful_step_count=30, deadline=None)
    return TablesAgainstDicts.TestCase


TestHashMapTables = machine_over(HashMapBackend, 20)
TestRocksDBTables = machine_over(rocksdb, 10)
TestRocksDBTablesWithLittleRoom = machine_over(rocksdb_with_little_room, 10)
TestRocksDBTablesWithoutRoom = machine_over(rocksdb_without_room, 10)


@pytest.mark.slow
class TestRocksDBTablesAtLength(machine_over(rocksdb_with_little_room, 300)):
    pass


@pytest.fixture(params=BACKENDS)
def backend(request):
    """A backend of one kind, which is closed at the end."""
    made = request.param()
    yield made
    made.close()


def test_keys_and_namespaces_keep_their_types(backend):
    for namespace in (None, (0, 10)):
        backend.load(name_of(namespace), [True, 2.0, "a", b"a", ("x", True)], namespace)
        backend.table(name_of(namespace), namespace).update({True: 1, 2.0: 2, "a": 3, b"a": 4, ("x", True): 5})
        backend.settle()
        expected = {"True: 1", "2.0: 2", "'a': 3", "b'a': 4", "('x', True): 5"}
        assert expected == {f"{key!r}: {value}" for key, value in backend.entries(name_of(namespace), namespace)}


def test_a_large_namespace_disappears_as_a_whole(backend):
    for namespace in (1, 2):
        for start in range(0, 10_000, 1000):
            batch = list(range(start, start + 1000))
            backend.load("panes", batch, namespace)
            backend.table("panes", namespace).update(zip(batch, batch, strict=True))
            backend.settle()
    backend.drop("panes", 1)
    assert [2] == list(backend.namespaces("panes"))
    assert {key: key for key in range(10_000)} == dict(backend.entries("panes", 2))
    assert [] == list(backend.entries("panes", 1))
    backend.load("panes", [5], 1)
    assert {} == backend.table("panes", 1)


def test_what_was_removed_does_not_come_back_when_it_is_asked_for_again_before_the_batch_is_through(backend):
    for batch in (["a"], ["b"]):
        backend.load("plain", batch)
        backend.table("plain").update(dict.fromkeys(batch, 1))
        backend.settle()
    backend.load("plain", ["a"])
    del backend.table("plain")["a"]
    backend.load("plain", ["a", "b"])
    assert {"b": 1} == backend.table("plain")
    backend.settle()
    assert {"b": 1} == dict(backend.entries("plain"))
