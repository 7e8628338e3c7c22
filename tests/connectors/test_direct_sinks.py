"""Sinks that act at once: print, collect, discard, for_each."""

import io
import pickle
import threading
import weakref

import pyarrow as pa
import pytest
from connector_harness import Context

from actorflow.connectors import sinks
from actorflow.errors import SerializationError, SinkError
from actorflow.wire import pickling
from actorflow.wire.batch import ColumnBatch, ObjectBatch


@pytest.mark.parametrize(
    ("prefix", "context", "line"),
    [
        (None, Context(), "('a', 1)\n"),
        (None, Context(index=1, parallelism=2), "2> ('a', 1)\n"),
        ("words", Context(), "words> ('a', 1)\n"),
        ("words", Context(index=0, parallelism=4), "words:1> ('a', 1)\n"),
    ],
)
def test_print_says_which_subtask_printed(prefix, context, line, capsys):
    writer = sinks.print(prefix).open(context)
    writer.write(ObjectBatch([("a", 1)]))
    writer.flush()
    writer.close()
    assert line == capsys.readouterr().out


def test_print_to_a_full_disk_is_an_error(monkeypatch):
    with io.FileIO("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(full, write_through=True))
        with pytest.raises(SinkError, match="cannot print: no space left on device"):
            sinks.print().open(Context()).write(ObjectBatch(["a"]))


def test_collect_sends_pickled_lists_in_order():
    context = Context()
    writer = sinks.collect().open(context)
    writer.write(ObjectBatch([1, "two"]))
    writer.write(ColumnBatch(pa.RecordBatch.from_pylist([{"n": 3}])))
    writer.flush()
    writer.flush()
    (payload,) = context.results
    assert [[1, "two"], [{"n": 3}]] == list(pickling.loads_all(payload))


def test_collect_sends_much_at_once_and_drops_at_the_end_what_was_not_flushed():
    context = Context()
    writer = sinks.collect().open(context)
    writer.write(ObjectBatch(["few"]))
    writer.write(ObjectBatch(["x" * 50_000]))
    writer.write(ObjectBatch(["few again"]))
    writer.close()
    writer.flush()
    assert [["few"], ["x" * 50_000]] == [records for payload in context.results for records in pickling.loads_all(payload)]


def test_collect_sends_records_as_they_were_when_they_came():
    context = Context()
    writer = sinks.collect().open(context)
    record = ["first"]
    writer.write(ObjectBatch([record]))
    record[0] = "changed"
    writer.flush()
    assert [[["first"]]] == list(pickling.loads_all(context.results[0]))


def test_collect_sends_classes_that_only_the_job_knows():
    class Local:
        def __init__(self, n):
            self.n = n

    context = Context()
    writer = sinks.collect().open(context)
    writer.write(ObjectBatch([Local(7)]))
    writer.flush()
    assert 7 == pickle.loads(context.results[0])[0].n


def test_collect_names_the_type_that_cannot_be_sent():
    with pytest.raises(SerializationError) as caught:
        sinks.collect().open(Context()).write(ObjectBatch([1, threading.Lock()]))
    assert "cannot collect a record of type 'lock': cannot pickle '_thread.lock' object" == caught.value.message


def test_for_each_calls_the_function_in_order_and_passes_on_what_it_raises():
    seen = []
    writer = sinks.for_each(seen.append).open(Context())
    writer.write(ObjectBatch([3, 1, 2]))
    assert [3, 1, 2] == seen
    with pytest.raises(ZeroDivisionError):
        sinks.for_each(lambda record: record / 0).open(Context()).write(ObjectBatch([1]))


class Thing:
    """Something that can be watched going away."""


def test_discard_takes_any_batch_and_keeps_nothing_of_it():
    writer = sinks.discard().open(Context())
    record = Thing()
    kept = weakref.ref(record)
    writer.write(ObjectBatch([record]))
    writer.write(ColumnBatch(pa.RecordBatch.from_pylist([{"n": 3}])))
    del record
    assert kept() is None
    writer.flush()
    writer.close()
