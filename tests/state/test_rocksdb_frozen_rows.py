"""The rows of a table at one moment, read later: whatever became of the table meanwhile, they say what it was."""

import threading
from itertools import cycle

import pytest
from backend_kinds import rocksdb_with_little_room, rocksdb_without_room
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.state.rocksdb.frozen_rows import FrozenRows

KEYS = [*range(8), True, "a", ("b", 1), 1.5]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers()),
        st.tuples(st.just("remove"), st.sampled_from(KEYS)),
        st.tuples(st.just("look"), st.sampled_from(KEYS)),
        st.just(("settle",)),
    ),
    max_size=30,
)


def perform(backend, todo):
    table = backend._table("value")
    for step in todo:
        match step:
            case ("put", key, value):
                table.put(key, value)
            case ("remove", key):
                table.remove(key)
            case ("look", key):
                table.get(key)
            case ("settle",):
                backend.settle()
            case ("drop",):
                backend.drop("value")
            case ("clear",):
                backend.clear()
    return table


def check(backend, before, after):
    table = perform(backend, [*before, ("settle",)])
    expected, held, rows = dict(table.items()), dict(table.entries), table.frozen()
    perform(backend, after)
    found = dict(held)
    for keys, values in rows.portions(iter(held)) if rows is not None else ():
        assert not found.keys() & keys
        found.update(zip(keys, values, strict=True))
    assert found == expected


ends = st.sampled_from([[], [("settle",)], [("drop",), ("put", 1, 1), ("settle",)], [("clear",)]])


@pytest.mark.parametrize("make", [rocksdb_without_room, rocksdb_with_little_room])
@settings(max_examples=20, deadline=None)
@given(before=steps, after=steps, end=ends)
def test_what_is_read_later_is_what_was_there(make, before, after, end):
    backend = make()
    try:
        check(backend, before, [*after, *end])
    finally:
        backend.close()


WRITTEN = [("put", key, 1) for key in KEYS]
AGAIN = [("put", 1, 2), ("settle",), ("remove", 2), ("put", "new", 2), ("settle",)]


@pytest.mark.parametrize("after", [[], AGAIN, [("drop",)], [("clear",)], [*AGAIN, ("drop",), ("put", 1, 3), ("settle",)]])
def test_rows_that_are_written_or_deleted_before_they_are_read_are_read_as_they_were(after):
    backend = rocksdb_without_room()
    check(backend, WRITTEN, after)
    backend.close()


def test_a_table_that_does_not_tell_what_it_writes_is_found_out(monkeypatch):
    monkeypatch.setattr(FrozenRows, "rewritten", lambda rows, keys: None)
    backend = rocksdb_without_room()
    with pytest.raises(AssertionError):
        check(backend, WRITTEN, AGAIN)
    backend.close()


def test_rows_are_read_on_a_thread_while_the_table_goes_on():
    backend = rocksdb_without_room()
    keys = list(range(20_000))
    table = perform(backend, [("put", key, 1) for key in keys])
    backend.settle()
    held, rows, found = dict(table.entries), table.frozen(), {}

    def read():
        for some, values in rows.portions(iter(held)):
            found.update(zip(some, values, strict=True))

    reading = threading.Thread(target=read)
    reading.start()
    batches = (keys[start : start + 100] for start in cycle(range(0, len(keys), 100)))
    while reading.is_alive():
        for key in next(batches):
            table.put(key, 2)
            table.remove(key + 50)
        backend.settle()
    reading.join()
    assert {**found, **held} == dict.fromkeys(keys, 1)
    backend.close()


def test_a_table_forgets_frozen_rows_that_nobody_reads():
    backend = rocksdb_without_room()
    table = perform(backend, [*WRITTEN, ("settle",)])
    rows = table.frozen()
    assert list(table._frozen) == [rows]
    del rows
    assert not list(table._frozen)
    backend.close()
