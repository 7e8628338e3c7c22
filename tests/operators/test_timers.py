"""Timers of operators, case by case."""

import pytest
from chain_harness import Collected, Subtask, chain_of, port
from timer_harness import Hurried, Scripted, advance, first_of

from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import MapAsyncSpec, ProcessSpec
from actorflow.state.descriptors import ValueState
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.ttl import Ttl
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch


def started(operator, *after, context=None, **options):
    chain, output = chain_of(ProcessSpec(first_of, operator), *after, context=context, **options)
    chain.open()
    return chain, output


def actions_of(key, *actions):
    return ObjectBatch([(key, actions)], [0])


def test_a_timer_fires_once_however_often_it_is_set_and_with_its_key_and_time():
    chain, output = started(Scripted())
    chain.process(ObjectBatch([("a", [("event", 5)]), ("b", [("event", 5)]), ("a", [("event", 5)])], [1, 2, 3]))
    assert 4 == chain.advance_watermark(4)
    assert [] == output.records
    assert 5 == chain.advance_watermark(5)
    assert [(("a", 5, "event", 5), 5), (("b", 5, "event", 5), 5)] == output.stamped
    assert 9 == chain.advance_watermark(9)
    assert 2 == len(output.records)


def test_a_timer_can_be_deleted_by_one_that_is_due_at_the_same_watermark():
    class Deleting(Scripted):
        def on_timer(self, timestamp, ctx):
            ctx.emit(timestamp)
            ctx.timers.delete(timestamp + 1)

    chain, output = started(Deleting())
    chain.process(actions_of("a", ("event", 1), ("event", 2), ("event", 3)))
    chain.advance_watermark(10)
    assert [1, 3] == output.records


def test_a_timer_in_the_past_fires_at_the_next_watermark():
    chain, output = started(Scripted())
    chain.advance_watermark(10)
    chain.process(actions_of("a", ("event", 3), ("event", 10)))
    chain.advance_watermark(10)
    assert [] == output.records
    chain.advance_watermark(11)
    assert [("a", 3, "event", 11), ("a", 10, "event", 11)] == output.records


def test_what_timers_emit_comes_before_the_watermark():
    class Watching(OperatorActor):
        def on_record(self, record, ctx):
            ctx.emit((record[1], ctx.watermark))

    chain, output = started(Scripted(), ProcessSpec(None, Watching()), context=Hurried())
    chain.process(actions_of("a", ("event", 5), ("event", 6)))
    chain.advance_watermark(1)
    advance(chain, 7)
    assert [(5, 1), (6, 1)] == output.records


def test_keyed_state_is_that_of_the_key_which_set_the_timer():
    class Counting(OperatorActor):
        seen = ValueState(int, default=0)

        def on_record(self, record, ctx):
            self.seen.set(self.seen.get() + 1)
            ctx.timers.event(100)

        def on_timer(self, timestamp, ctx):
            ctx.emit((ctx.key, self.seen.get()))
            ctx.emit_to("side", ctx.key)
            self.seen.clear()

        def on_message(self, message, ctx):
            self.seen.get()

    side = Collected()
    chain, output = started(Counting(), ports=[port(side, 0, "side")])
    chain.process(ObjectBatch(["a", "b", "a"], [1, 2, 3]))
    assert {"records_in": 3, "records_out": 0, "keys": 2, "timers": 2} == chain.observe()["process-0"]
    chain.advance_watermark(100)
    assert [("a", 2), ("b", 1)] == output.records
    assert [("a", 100), ("b", 100)] == side.stamped
    assert {"records_in": 3, "records_out": 2, "keys": 0, "timers": 0} == chain.observe()["process-0"]
    with pytest.raises(PlanError, match="no current key"):
        chain.message("process-0", 1, print)


@pytest.mark.parametrize("make_context", [Subtask, Hurried])
def test_a_timer_finds_what_had_not_expired_at_its_time_however_far_the_watermark_went(make_context):
    class Remembering(OperatorActor):
        last = ValueState(int, ttl=Ttl(10, time="event"))

        def on_record(self, record, ctx):
            self.last.set(ctx.timestamp)
            ctx.timers.event(ctx.timestamp + 9)

        def on_timer(self, timestamp, ctx):
            ctx.emit((ctx.key, self.last.get(), ctx.watermark))
            self.last.set(timestamp)

    chain, output = started(Remembering(), context=make_context())
    chain.process(ObjectBatch(["a", "b", "c"], [1, 2, 3]))
    advance(chain, 1000)
    assert [("a", 1, 1000), ("b", 2, 1000), ("c", 3, 1000)] == output.records
    assert 0 == chain.observe()["process-0"]["keys"], "now all have expired"


def test_processing_time_timers_wait_for_the_clock_and_give_no_event_time():
    context = Subtask()
    chain, output = started(Scripted(), context=context)
    chain.process(ObjectBatch([("a", [("processing", 30), ("processing", 10)]), ("b", [("processing", 20)])], [1, 2]))
    context.advance_to(9)
    assert [] == output.records
    context.advance_to(20)
    assert [("a", 10, "processing", MIN_TIMESTAMP), ("b", 20, "processing", MIN_TIMESTAMP)] == [pair[0] for pair in output.stamped]
    assert {None} == {pair[1] for pair in output.stamped}
    context.advance_to(30)
    assert 3 == len(output.records)


def test_processing_time_timers_that_are_due_together_fire_in_slices():
    context = Hurried()
    chain, output = started(Scripted(), context=context)
    chain.process(ObjectBatch([("a", [("processing", at) for at in range(10)])]))
    rung = 0
    while context.alarms.due(10**9):
        context.alarms.ring(10**9)
        rung += 1
    assert (list(range(10)), 10) == ([record[1] for record in output.records], rung)


def test_processing_time_timers_fire_at_the_end_before_the_last_event_time_timers_and_no_more_are_taken():
    chain, output = started(Scripted({20: [("processing", 21), ("event", 4)], 5: [("processing", 6)]}))
    chain.process(actions_of("a", ("processing", 20), ("event", 5)))
    chain.advance_watermark(1)
    advance(chain, MAX_TIMESTAMP)
    fired = [("a", 20, "processing", 1), ("a", 4, "event", MAX_TIMESTAMP), ("a", 5, "event", MAX_TIMESTAMP)]
    assert fired == output.records
    assert chain.finish()


def test_an_alarm_of_a_deleted_timer_does_nothing_and_the_next_is_armed():
    context = Subtask()
    chain, output = started(Scripted(), context=context)
    chain.process(actions_of("a", ("processing", 10), ("processing", 20), ("delete processing", 10)))
    context.advance_to(10)
    assert [] == output.records
    context.advance_to(20)
    assert ["a"] == [record[0] for record in output.records]


# --- slices ------------------------------------------------------------------------------------------------------------------


class Asked(Scripted):
    def on_message(self, message, ctx):
        ctx.reply((message, ctx.watermark))


def test_while_timers_fire_the_chain_is_blocked_and_asks_to_be_called_again_and_answers():
    context, replies = Hurried(), []
    chain, output = started(Asked(), context=context)
    chain.process(actions_of("a", *[("event", at) for at in range(5)]))
    chain.advance_watermark(-1)
    assert (-1, True, True, False) == (chain.advance_watermark(4), chain.blocked, chain.held_back, chain.finish())
    assert (1, 1) == (len(output.records), context.wakes)
    chain.message("process-0", "hello", replies.append)
    assert [("hello", 4)] == replies
    assert 1 == len(output.records)
    assert 5 == advance(chain, 4)
    assert (False, False, True) == (chain.blocked, chain.held_back, chain.finish())
    assert [0, 1, 2, 3, 4] == [record[1] for record in output.records]


def test_records_behind_a_watermark_wait_for_its_timers_even_within_a_batch():
    class Echo(Scripted):
        def on_record(self, record, ctx):
            super().on_record(record, ctx)
            ctx.emit(("record", record[0]))

    chain, output = started(Echo(), context=Hurried())
    chain.process(actions_of("a", ("event", 1), ("event", 2)))
    assert MIN_TIMESTAMP == chain.advance_watermark(2)
    chain.process(actions_of("b"))
    assert ["record", "a", "a", "record"] == [record[0] for record in output.records]
    assert 2 == chain.advance_watermark(2)


def test_timers_wait_while_an_operator_behind_them_is_at_capacity():
    async def tenfold(record):
        return record[1] * 10

    context = Hurried()
    try:
        chain, output = started(Scripted(), MapAsyncSpec(tenfold, capacity=1), context=context)
        chain.process(actions_of("a", *[("event", at) for at in range(4)]))
        assert MIN_TIMESTAMP == chain.advance_watermark(4)
        for _ in range(3):
            chain.advance_watermark(4)
            assert 1 == chain.observe()["process-0"]["records_out"]
        while chain.advance_watermark(4) != 4:
            context.posted.get(timeout=20)()
        assert [0, 10, 20, 30] == output.records
        chain.close()
    finally:
        context.stop()


# --- what is refused -----------------------------------------------------------------------------------------------------------


def test_timers_without_a_key_are_refused():
    chain, _ = chain_of(ProcessSpec(None, Scripted()))
    chain.open()
    with pytest.raises(PlanError, match=r"'process-0' uses a timer, but its input has no key.*key_by"):
        chain.process(actions_of("a", ("event", 1)))


def test_timers_where_there_is_no_current_key_are_refused():
    class Early(OperatorActor):
        def on_start(self, ctx):
            ctx.timers.event(1)

    chain, _ = chain_of(ProcessSpec(first_of, Early()))
    with pytest.raises(PlanError, match="no current key"):
        chain.open()


@pytest.mark.parametrize("timestamp", [1.5, None, "1", True, 2**63, -(2**63) - 1])
def test_a_timer_for_what_is_no_point_in_time_is_refused(timestamp):
    chain, _ = started(Scripted())
    with pytest.raises(PlanError, match="not a whole number of milliseconds"):
        chain.process(actions_of("a", ("event", timestamp)))


def test_an_operator_that_sets_timers_and_takes_none_is_told():
    class Forgetful(OperatorActor):
        def on_record(self, record, ctx):
            ctx.timers.event(1)

    chain, _ = started(Forgetful())
    chain.process(ObjectBatch(["a"]))
    with pytest.raises(UserFunctionError, match="Forgetful sets timers but has no on_timer"):
        chain.advance_watermark(1)


def test_a_failing_timer_names_operator_and_key_and_shows_the_users_line():
    class Failing(Scripted):
        def on_timer(self, timestamp, ctx):
            raise ValueError(f"at {timestamp}")

    chain, _ = started(Failing())
    chain.process(actions_of("a", ("event", 1)))
    with pytest.raises(UserFunctionError, match="at 1") as caught:
        chain.advance_watermark(1)
    assert ("process-0", "'a'") == (caught.value.error.context["operator"], caught.value.error.context["key"])
    assert 'raise ValueError(f"at {timestamp}")' in caught.value.error.traceback


def test_timers_that_wait_for_timers_behind_them_go_on_when_those_have_fired():
    class Again(Scripted):
        def on_record(self, record, ctx):
            ctx.timers.event(ctx.timestamp)

    context = Hurried()
    chain, output = started(Scripted(), ProcessSpec(first_of, Again()), context=context)
    chain.process(actions_of("a", ("event", 1), ("event", 2), ("event", 3)))
    chain.advance_watermark(2)
    watermark = 2
    while chain.blocked or chain.held_back:
        wakes = context.wakes
        chain.advance_watermark(watermark)
        if output.records:
            watermark = 3  # a stage before may tell of it while the second operator is at work
        assert not chain.blocked or context.wakes > wakes, "somebody asks for the next turn"
    assert [("a", 1, "event", 2), ("a", 2, "event", 2), ("a", 3, "event", 3)] == output.records


def test_timers_that_a_backend_brings_with_it_fire_on_both_clocks():
    backend = HashMapBackend()
    backend.timers("event").set(5, "a")
    backend.timers("processing").set(7, "b")
    context = Subtask(lambda: backend)
    chain, output = started(Scripted(), context=context)
    context.advance_to(7)
    chain.advance_watermark(5)
    assert [("b", 7, "processing", MIN_TIMESTAMP), ("a", 5, "event", 5)] == output.records


def test_timers_that_were_left_when_a_snapshot_was_taken_between_two_slices_fire_at_the_same_watermark():
    backend = HashMapBackend()
    chain, output = started(Scripted(), context=Hurried(lambda: backend))
    chain.process(actions_of("a", ("event", 1), ("event", 2), ("event", 3)))
    chain.advance_watermark(MAX_TIMESTAMP)
    before = output.records
    left, watermark = list(backend.timers("event")), backend.watermark
    assert 1 == len(before)

    backend = HashMapBackend()
    backend.watermark = watermark
    for timer in left:
        backend.timers("event").set(*timer)
    chain, output = started(Scripted(), context=Subtask(lambda: backend))
    assert MAX_TIMESTAMP == chain.advance_watermark(MAX_TIMESTAMP)
    assert [1, 2, 3] == [record[1] for record in [*before, *output.records]]
