"""Keyed aggregations in batch mode: one result for each key, the last one of the running aggregation."""

import pytest
from chain_harness import Subtask, chain_of
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import UserFunctionError
from actorflow.operators.aggregate import Aggregate
from actorflow.operators.columnar.conversion import to_columns
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import (
    AggregateSpec,
    CountSpec,
    FilterSpec,
    MapSpec,
    MaxSpec,
    MinSpec,
    ProcessSpec,
    ReduceSpec,
    SumSpec,
)
from actorflow.operators.windowing import windows
from actorflow.operators.windowing.window_specs import WindowAllSpec
from actorflow.state.descriptors import ValueState
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch


class Mean(Aggregate):
    results = 0

    def create(self):
        return (0, 0)

    def add(self, acc, record):
        return (acc[0] + record["n"], acc[1] + 1)

    def merge(self, a, b):
        return (a[0] + b[0], a[1] + b[1])

    def result(self, acc):
        Mean.results += 1
        return acc[0] / acc[1]


class InBatchMode(Subtask):
    batch = True


def key(record):
    return record["key"]


SPECS = {
    "count": CountSpec(key),
    "count by column": CountSpec("key"),
    "sum": SumSpec(key, lambda record: record["n"]),
    "sum by column": SumSpec("key", "n"),
    "min": MinSpec(key, lambda record: record["n"]),
    "max by column": MaxSpec("key", "n"),
    "reduce": ReduceSpec(key, lambda a, b: {"key": b["key"], "n": max(a["n"], b["n"])}),
    "aggregate": AggregateSpec(key, Mean()),
}


def batch_chain(*specs):
    chain, output = chain_of(*specs, context=InBatchMode())
    chain.open()
    return chain, output


def last_results(spec, batches):
    """What a running aggregation says last of each key."""
    chain, output = chain_of(spec)
    chain.open()
    for batch in batches:
        chain.process(batch)
    by_key = {result["key"] if isinstance(spec, ReduceSpec) else result[0]: result for result in output.records}
    return list(by_key.values())


records = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from(["a", "b", None, 3]), "n": st.integers(-5, 5)}), min_size=1, max_size=8
)


@pytest.mark.parametrize("name", SPECS)
def test_a_final_result_is_the_last_running_one(name):
    @given(st.lists(records, max_size=3))
    def check(lists):
        spec = SPECS[name]
        batches = [ObjectBatch(list(each)) for each in lists]
        chain, output = batch_chain(spec)
        for batch in batches:
            chain.process(batch)
        assert output.records == []
        assert chain.finish_keys()
        assert last_results(spec, batches) == output.records

    check()


def test_columns_are_aggregated_as_objects_are():
    rows = [{"key": "a", "n": 1}, {"key": "b", "n": 5}, {"key": "a", "n": 3}]
    for spec in (CountSpec("key"), SumSpec("key", "n"), MaxSpec("key", "n")):
        chain, output = batch_chain(spec)
        chain.process(to_columns(ObjectBatch(rows)))
        chain.finish_keys()
        assert last_results(spec, [ObjectBatch(rows)]) == output.records


def test_keys_that_are_finished_are_forgotten():
    chain, output = batch_chain(CountSpec(key))
    for _ in range(2):
        chain.process(ObjectBatch([{"key": "a"}, {"key": "a"}]))
        assert 1 == chain.observe()["count-0"]["keys"]
        assert {"count": 2} == chain.state("count-0", "a")
        chain.finish_keys()
        assert 0 == chain.observe()["count-0"]["keys"]
    assert [("a", 2), ("a", 2)] == output.records
    chain.finish_keys()
    assert 2 == len(output.records)


def test_a_result_has_the_latest_event_time_of_its_key():
    chain, output = batch_chain(CountSpec(key), MapSpec(lambda pair: pair[1]), FilterSpec(lambda count: count < 3))
    chain.process(ObjectBatch([{"key": "a"}, {"key": "a"}, {"key": "b"}], [3, 7, 5]))
    chain.process(ObjectBatch([{"key": "c"}]))
    chain.process(ObjectBatch([{"key": "b"}], [9]))
    chain.finish_keys()
    assert [(1, None), (2, 7), (2, 9)] == output.stamped


def test_the_result_of_an_aggregate_is_asked_for_once_a_key():
    chain, _ = batch_chain(AggregateSpec(key, Mean()))
    Mean.results = 0
    chain.process(ObjectBatch([{"key": number % 3, "n": number} for number in range(30)]))
    chain.finish_keys()
    assert 3 == Mean.results


def test_a_failure_names_operator_record_and_key():
    chain, _ = batch_chain(SumSpec(key, lambda record: 1 // record["n"]))
    with pytest.raises(UserFunctionError) as raised:
        chain.process(ObjectBatch([{"key": "a", "n": 1}, {"key": "b", "n": 0}]))
    error = raised.value.error
    assert ("ZeroDivisionError", "sum-0", "'b'") == (error.kind, error.context["operator"], error.context["key"])
    assert "'n': 0" in error.context["record"]


def test_a_result_that_fails_names_its_key():
    class Broken(Mean):
        def result(self, acc):
            return acc[0] / (acc[1] - 1)

    chain, _ = batch_chain(AggregateSpec(key, Broken()))
    chain.process(ObjectBatch([{"key": "lonely", "n": 1}]))
    with pytest.raises(UserFunctionError) as raised:
        chain.finish_keys()
    assert "'lonely'" == raised.value.error.context["key"]
    assert "acc[0] / (acc[1] - 1)" in raised.value.error.traceback


def test_event_time_stands_still_until_the_input_ends():
    chain, _ = batch_chain(CountSpec(key))
    assert [MIN_TIMESTAMP, MAX_TIMESTAMP] == [chain.advance_watermark(10), chain.advance_watermark(MAX_TIMESTAMP)]


class Reminders(OperatorActor):
    seen = ValueState(int, default=0)

    def on_record(self, record, ctx):
        assert ctx.watermark == MIN_TIMESTAMP
        self.seen.set(self.seen.get() + 1)
        ctx.timers.event(record["n"])
        ctx.timers.processing(record["n"])

    def on_timer(self, timestamp, ctx):
        ctx.timers.processing(timestamp + 1)  # there is no time left for it
        ctx.emit((ctx.key, timestamp, ctx.time_domain, self.seen.get()))


def test_timers_fire_when_their_key_ends_and_the_next_keys_begin_with_nothing():
    chain, output = batch_chain(ProcessSpec(key, Reminders()))
    chain.process(ObjectBatch([{"key": "a", "n": 9}, {"key": "a", "n": 3}, {"key": "b", "n": 5}]))
    assert chain.finish_keys()
    assert [("a", 3, "processing", 2), ("b", 5, "processing", 1), ("a", 9, "processing", 2)] == output.records[:3]
    assert [("a", 3, "event", 2), ("b", 5, "event", 1), ("a", 9, "event", 2)] == output.records[3:]
    assert (0, 0) == (chain.observe()["process-0"]["keys"], chain.observe()["process-0"]["timers"])
    chain.process(ObjectBatch([{"key": "a", "n": 4}]))
    assert chain.finish_keys()
    assert [("a", 4, "processing", 1), ("a", 4, "event", 1)] == output.records[6:]
    assert MAX_TIMESTAMP == chain.advance_watermark(MAX_TIMESTAMP)


def test_very_many_timers_fire_in_slices():
    class Ticking(InBatchMode):
        def processing_time(self):
            self.now_ms += 1
            return self.now_ms

    chain, output = chain_of(ProcessSpec(key, Reminders()), context=Ticking())
    chain.open()
    chain.process(ObjectBatch([{"key": 0, "n": 10**15 + n} for n in range(20)]))
    turns = 1
    while not chain.finish_keys():
        assert not chain.blocked
        turns += 1
    assert turns > 5
    assert 40 == len(output.records)


def test_an_operator_without_key_is_not_finished_with_keys():
    class Counting(OperatorActor):
        def on_start(self, ctx):
            self.count = 0

        def on_record(self, record, ctx):
            self.count += 1
            ctx.emit((self.count, ctx.watermark))

    chain, output = batch_chain(CountSpec(key), ProcessSpec(None, Counting()))
    for name in "ab":
        chain.process(ObjectBatch([{"key": name}]))
        chain.finish_keys()
    assert [(1, MIN_TIMESTAMP), (2, MIN_TIMESTAMP)] == output.records


def test_a_window_behind_an_aggregation_does_not_end_with_a_key():
    window = WindowAllSpec(lambda _: None, windows.tumbling(100), CountSpec(lambda _: None))
    chain, output = batch_chain(CountSpec(key), window)
    for name in "ab":
        chain.process(ObjectBatch([{"key": name}], [5]))
        chain.finish_keys()
    assert [] == output.records
    chain.advance_watermark(MAX_TIMESTAMP)
    assert [2] == [result.value for result in output.records]
