"""Asynchronous calls that finish in any order: watermarks, timers behind them, and what a snapshot holds."""

import asyncio

import pytest
from chain_harness import Subtask, chain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from timer_harness import Hurried

from actorflow.ids import SubtaskId, VertexId
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import CountSpec, MapAsyncSpec, MapSpec, ProcessSpec
from actorflow.state.descriptors import ListState
from actorflow.state.operator_state import OperatorListState
from actorflow.wire.batch import MAX_TIMESTAMP, ObjectBatch


class Stepped:
    """Calls whose results come when the test says: the loop runs on the test's own thread, a step at a time."""

    def __init__(self, context):
        self.loop = asyncio.new_event_loop()
        self.context = context
        context.event_loop = lambda: self.loop
        self.waiting = {}
        self.finished = set()

    async def __call__(self, record):
        if record not in self.finished:
            self.waiting[record] = self.loop.create_future()
            await self.waiting[record]
        return ("result", record)

    def finish(self, record):
        self.finished.add(record)
        self.step()
        if record in self.waiting:
            self.waiting.pop(record).set_result(None)
        self.step()

    def step(self):
        for _ in range(3):
            self.loop.run_until_complete(asyncio.sleep(0))
        while not self.context.posted.empty():
            self.context.posted.get()()

    def stop(self):
        self.step()
        self.loop.close()


class Echo(OperatorActor):
    """Lets records pass and sets a timer for each, so that the watermark shows."""

    seen = ListState(object)

    def on_record(self, record, ctx):
        ctx.emit((record[1], ctx.watermark))
        self.seen.add(record)
        ctx.timers.event(ctx.timestamp + 1)

    def on_timer(self, timestamp, ctx):
        ctx.emit((ctx.key, "at", timestamp, "with", len(self.seen.get())))


def parity(record):
    return record[1] % 2


@st.composite
def histories(draw):
    """Batches of numbers (each the event time of itself) and watermarks; and the order in which calls finish, between them."""
    steps = draw(st.lists(st.sampled_from(["batch", "batch", "watermark", "finish"]), max_size=14))
    history, number, open_ = [], 0, []
    for step in steps:
        if step == "batch":
            size = draw(st.integers(1, 4))
            history.append(("batch", list(range(number, number + size))))
            open_ += range(number, number + size)
            number += size
        elif step == "watermark":
            history.append(("watermark", draw(st.integers(-1, number))))
        elif open_:
            history.append(("finish", open_.pop(draw(st.integers(0, len(open_) - 1)))))
    return history + [("finish", record) for record in draw(st.permutations(open_))]


def turn(chain, watermark, output):
    """What the subtask does when it is woken: it calls again whoever holds the watermark back or is blocked, until nothing more comes of it."""
    in_vain = 0
    while (chain.blocked or chain.held_back) and in_vain < 10:
        before = len(output.records)
        chain.advance_watermark(watermark)
        in_vain = 0 if len(output.records) > before else in_vain + 1


def play(history, spec, context, calls):
    """Run a history through a chain with `spec` first and timers behind it; return what came out."""
    chain, output = chain_of(spec, ProcessSpec(parity, Echo()), context=context)
    chain.open()
    watermark = -1
    for step, value in history:
        match step:
            case "batch":
                chain.process(ObjectBatch(value, list(value)))
            case "watermark" if value > watermark:
                watermark = value
                chain.advance_watermark(watermark)
            case "finish":
                calls.finish(value)
        turn(chain, watermark, output)
    chain.advance_watermark(MAX_TIMESTAMP)
    turn(chain, MAX_TIMESTAMP, output)
    assert chain.finish()
    chain.close()
    calls.stop()
    return output.records


class NoCalls:
    def finish(self, record):
        pass

    def stop(self):
        pass


@pytest.mark.parametrize("examples", [25, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [Subtask, Hurried])
def test_ordered_calls_are_as_if_they_had_not_waited_also_to_timers_that_fire_in_slices(kind, examples):
    @given(histories())
    @settings(max_examples=examples, deadline=None)
    def check(history):
        context = kind()
        calls = Stepped(context)
        waited = play(history, MapAsyncSpec(calls, capacity=1000), context, calls)
        assert play(history, MapSpec(lambda record: ("result", record)), kind(), NoCalls()) == waited

    check()


@pytest.mark.parametrize("examples", [25, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [Subtask, Hurried])
def test_unordered_calls_never_cross_a_watermark(kind, examples):
    @given(histories())
    @settings(max_examples=examples, deadline=None)
    def check(history):
        context = kind()
        calls = Stepped(context)
        waited = play(history, MapAsyncSpec(calls, ordered=False, capacity=1000), context, calls)
        at_once = play(history, MapSpec(lambda record: ("result", record)), kind(), NoCalls())
        assert sorted(map(repr, at_once)) == sorted(map(repr, waited))
        assert [entry for entry in at_once if "at" in entry] == [entry for entry in waited if "at" in entry]

    check()


# --- snapshots -----------------------------------------------------------------------------------------------------------------


def subtask(index, parallelism):
    context = Subtask()
    context.subtask, context.parallelism = SubtaskId(VertexId("chain"), index), parallelism
    return context


def counting(context, *, ordered):
    calls = Stepped(context)
    spec = MapAsyncSpec(calls, ordered=ordered, capacity=150)
    chain, output = chain_of(MapSpec(abs), spec, CountSpec(lambda result: result[1]), context=context)
    return chain, output, calls


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_in_flight_is_in_the_snapshot_and_every_result_appears_exactly_once(ordered, parallelism):
    chain, output, calls = counting(subtask(0, 1), ordered=ordered)
    chain.open()
    chain.process(ObjectBatch(list(range(110)), [n * 10 for n in range(110)]))
    calls.step()
    for record in [*range(10), 57]:
        calls.finish(record)
    passed = output.records
    kept, keyed = chain.snapshot(), chain.backends()["count-2"].snapshot(lambda key: 0)
    in_flight = [n for n in range(10, 110) if ordered or n != 57]
    assert [(n, n * 10) for n in in_flight] == kept["map_async-1"].in_flight
    chain.close()
    calls.stop()

    for index in range(parallelism):
        chain, output, calls = counting(subtask(index, parallelism), ordered=ordered)
        chain.restore({name: [of_subtask] for name, of_subtask in kept.items()})
        chain.backends()["count-2"].restore(keyed.values())
        chain.open()
        calls.step()
        for record in reversed(in_flight):
            calls.finish(record)
        assert chain.finish()
        assert {n * 10 for n, _ in output.records} == {stamp for _, stamp in output.stamped}
        passed += output.records
        chain.close()
        calls.stop()
    assert [(n, 1) for n in range(110)] == sorted(passed)


class Numbered(OperatorActor):
    """Numbers its records; a list of the subtask's own says where it is."""

    last = OperatorListState(int)

    def on_start(self, ctx):
        ctx.emit(("starts with", self.last.get()))

    def on_record(self, record, ctx):
        self.last.update([*self.last.get(), record])


def test_operator_states_are_in_the_snapshot_and_shared_out_anew():
    chain, _ = chain_of(ProcessSpec(None, Numbered()), context=subtask(0, 1))
    chain.open()
    chain.process(ObjectBatch([1, 2, 3]))
    kept = chain.snapshot()
    chain.process(ObjectBatch([4]))
    shares = []
    for index in range(2):
        chain, output = chain_of(ProcessSpec(None, Numbered()), context=subtask(index, 2))
        chain.restore({name: [of_subtask] for name, of_subtask in kept.items()})
        chain.open()
        shares += output.records
    assert [("starts with", [1]), ("starts with", [2, 3])] == shares
    assert {} == chain.backends()
