"""Operators with two inputs through whole jobs."""

from __future__ import annotations

import pytest

import actorflow as af
from actorflow.testing import TestSink, TestSource, run_test


class Match(af.TwoInputOperator):
    """Emits payments with their order; an order that is not paid within an hour goes to a side output."""

    order = af.ValueState(dict)

    def on_left(self, order, ctx):
        self.order.set(order)
        ctx.timers.event(order["time"] + 3_600_000)

    def on_right(self, payment, ctx):
        order = self.order.get()
        if order is not None:
            ctx.emit((order["id"], payment["amount"]))
            ctx.timers.delete(order["time"] + 3_600_000)
            self.order.clear()

    def on_timer(self, timestamp, ctx):
        ctx.emit_to(UNPAID, (ctx.key, ctx.watermark >= timestamp))


UNPAID = af.Tag("unpaid")


@pytest.mark.parametrize("parallelism", [1, 2])
def test_keyed_streams_meet_by_key_and_share_state_and_timers(parallelism):
    pipeline = af.Pipeline("payments", parallelism=parallelism)
    orders = TestSource().stamped([({"id": n, "time": n}, n) for n in range(20)]).watermark("30min").advance("1s").watermark("2h")
    payments = TestSource().advance("0.5s").stamped([({"order": n, "amount": 5}, 100) for n in range(0, 20, 2)]).watermark("2h")
    matched = pipeline.read(orders).key_by("id").connect(pipeline.read(payments).key_by("order")).process(Match())
    paid, unpaid = TestSink("paid"), TestSink("unpaid")
    matched.write(paid)
    matched.side_output(UNPAID).write(unpaid)
    run = run_test(pipeline)
    assert [(n, 5) for n in range(0, 20, 2)] == sorted(run[paid].records)
    assert [((n, True), n + 3_600_000) for n in range(1, 20, 2)] == sorted(run[unpaid].timed)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_the_watermark_is_the_lower_one_of_both_inputs(parallelism):
    class Seen(af.TwoInputOperator):
        def on_left(self, record, ctx):
            ctx.emit(("left", record, ctx.watermark))

        def on_right(self, record, ctx):
            ctx.emit(("right", record, ctx.watermark))

    pipeline = af.Pipeline("slowest")
    left = TestSource().watermark(10).advance("2s").at(60, "a")
    right = TestSource().advance("1s").watermark(5).advance("2s").at(60, "b").watermark(50).advance("1s")
    both = pipeline.read(left).connect(pipeline.read(right)).process(Seen(), parallelism=parallelism)
    assert {("left", "a", 5), ("right", "b", 5)} == set(run_test(both).records)


class Filter(af.BroadcastOperator):
    """Lets records pass whose word is allowed, and counts them by word."""

    allowed = af.BroadcastState(str, bool)
    seen = af.ValueState(int, default=0)

    def on_record(self, word, ctx):
        if self.allowed.contains(word):
            self.seen.set(self.seen.get() + 1)
            ctx.emit((word, self.seen.get()))

    def on_broadcast(self, word, ctx):
        self.allowed.put(word, True)
        ctx.emit_to("rules", (word, ctx.parallel_index, len(self.allowed)))


@pytest.mark.parametrize("parallelism", [1, 2])
def test_every_subtask_knows_all_rules(parallelism):
    pipeline = af.Pipeline("rules", parallelism=parallelism)
    rules = pipeline.read(TestSource().records("a", "b").advance("1s").records("c"))
    words = pipeline.read(TestSource().advance("0.5s").records("a", "c", "d").advance("1s").records("a", "b", "c"))
    passed = words.key_by(lambda word: word).connect(rules.broadcast_state()).process(Filter())
    told, sink = TestSink("told"), TestSink("passed")
    passed.side_output(af.Tag("rules")).write(told)
    passed.write(sink)
    run = run_test(pipeline)
    assert [("a", 1), ("a", 2), ("b", 1), ("c", 1)] == sorted(run[sink].records)
    expected = [(word, index, size) for index in range(parallelism) for word, size in (("a", 1), ("b", 2), ("c", 3))]
    assert sorted(expected) == sorted(run[told].records)


def test_two_streams_are_mapped_side_by_side(slots):
    pipeline = af.Pipeline("side-by-side", parallelism=2)
    numbers, words = pipeline.read(af.sources.collection(range(1000))), pipeline.read(af.sources.collection(["a b", "c"]))
    both = numbers.connect(words).flat_map(lambda number: [number] * (number % 2), str.split)
    assert sorted(map(str, [*range(1, 1000, 2), "a", "b", "c"])) == sorted(map(str, af.collect(both, slots=slots)))


def test_a_stream_can_be_connected_with_itself():
    pipeline = af.Pipeline("twice")
    numbers = pipeline.read(af.sources.collection([1, 2, 3]))
    assert [-3, -2, -1, 1, 2, 3] == sorted(run_test(numbers.connect(numbers).map(lambda n: n, lambda n: -n), parallelism=2).records)
