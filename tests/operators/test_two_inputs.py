"""Operators with two inputs: by method, by function, and with broadcast state."""

import pytest
from chain_harness import Collected, Subtask, chain_of, port
from timer_harness import Hurried, advance

from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.processing.actor import BroadcastOperator, TwoInputOperator
from actorflow.operators.specs import (
    BroadcastProcessSpec,
    CoFlatMapSpec,
    CoMapSpec,
    CoProcessSpec,
    CountSpec,
    MapSpec,
)
from actorflow.state.descriptors import ListState, ValueState
from actorflow.state.operator_state import BroadcastState
from actorflow.wire.batch import ObjectBatch

LEFT, RIGHT = 0, 1


class Both(TwoInputOperator):
    """Remembers by key what came from the left, gives it out for a record from the right, and says so 10 ms later."""

    seen = ListState(object)

    def on_left(self, record, ctx):
        self.seen.add(record)
        ctx.timers.event(ctx.timestamp + 10)
        ctx.emit_to("log", ("left", ctx.key, ctx.timestamp))

    def on_right(self, record, ctx):
        ctx.emit((record, self.seen.get(), ctx.watermark))
        ctx.emit_to("log", ("right", ctx.key, ctx.timestamp))

    def on_timer(self, timestamp, ctx):
        ctx.emit(("timer", ctx.key, self.seen.get()))

    def on_message(self, message, ctx):
        ctx.reply(message)


def opened(*specs, **options):
    chain, output = chain_of(*specs, **options)
    chain.open()
    return chain, output


def test_both_sides_share_state_and_timers_by_their_own_keys():
    log = Collected()
    chain, output = opened(CoProcessSpec("user", lambda name: name.lower(), Both()), ports=[port(log, 0, "log")])
    chain.process(ObjectBatch([{"user": "ann", "n": 1}, {"user": "bob", "n": 2}], [1, 2]), LEFT)
    chain.process(ObjectBatch(["ANN", "EVE"], [3, 4]), RIGHT)
    assert 11 == chain.advance_watermark(11)
    chain.process(ObjectBatch(["Ann"], [12]), RIGHT)

    ann = {"user": "ann", "n": 1}
    first, second, *later = output.stamped
    assert (("ANN", [ann]), 3) == (first[0][:2], first[1])
    assert (("EVE", []), 4) == (second[0][:2], second[1])
    assert [(("timer", "ann", [ann]), 11), (("Ann", [ann], 11), 12)] == later
    assert [("left", "ann", 1), ("left", "bob", 2), ("right", "ann", 3), ("right", "eve", 4), ("right", "ann", 12)] == log.records
    assert {"records_in": 5, "records_out": 4, "keys": 2, "timers": 1} == chain.observe()["co_process-0"]


def test_records_of_either_side_wait_for_timers_that_fire_in_slices():
    chain, output = opened(CoProcessSpec(str, str, Both()), context=Hurried())
    chain.process(ObjectBatch(["a", "b", "c"], [1, 1, 1]), LEFT)
    assert chain.advance_watermark(20) < 20
    assert chain.blocked
    chain.process(ObjectBatch(["a"], [21]), RIGHT)
    assert ["timer"] * 3 == [record[0] for record in output.records[:3]]
    assert 1 == advance(chain, 20)


def test_without_keys_both_sides_see_their_records():
    class Sides(TwoInputOperator):
        def on_left(self, record, ctx):
            ctx.emit(("left", record, ctx.key))

        def on_right(self, record, ctx):
            ctx.emit(("right", record, ctx.key))

    chain, output = opened(CoProcessSpec(None, None, Sides()), MapSpec(lambda record: record[:2]))
    chain.process(ObjectBatch([1, 2]), LEFT)
    chain.process(ObjectBatch([3]), RIGHT)
    chain.process(ObjectBatch([]), RIGHT)
    assert [("left", 1), ("left", 2), ("right", 3)] == output.records


def test_keyed_state_without_keys_is_refused_when_the_chain_opens():
    chain, _ = chain_of(CoProcessSpec(None, None, Both()))
    with pytest.raises(PlanError, match=r"'co_process-0' declares keyed state \(seen\)"):
        chain.open()


def test_a_failure_names_operator_record_and_key_of_its_side():
    class Failing(Both):
        def on_right(self, record, ctx):
            raise ValueError("not this side")

    chain, _ = opened(CoProcessSpec(str, str.upper, Failing()))
    chain.process(ObjectBatch(["a"], [1]), LEFT)
    with pytest.raises(UserFunctionError, match="not this side") as caught:
        chain.process(ObjectBatch(["b"]), RIGHT)
    context = caught.value.error.context
    assert ("co_process-0", "'b'", "'B'") == (context["operator"], context["record"], context["key"])


def test_an_operator_answers_messages_and_shows_its_state():
    replies = []
    chain, _ = opened(CoProcessSpec(str, str, Both()))
    chain.process(ObjectBatch(["a"], [1]), LEFT)
    chain.message("co_process-0", "hello", replies.append)
    assert (["hello"], {"seen": ["a"]}) == (replies, chain.state("co_process-0", "a"))


def test_a_method_that_is_missing_is_named():
    chain, _ = opened(CoProcessSpec(None, None, TwoInputOperator()))
    for side, method in ((LEFT, "on_left"), (RIGHT, "on_right")):
        with pytest.raises(UserFunctionError, match=f"TwoInputOperator has no {method}"):
            chain.process(ObjectBatch([1]), side)


# --- plain functions ---------------------------------------------------------------------------------------------------------


def test_a_function_for_each_side_and_the_rest_of_the_chain_behind_both():
    chain, output = opened(CoMapSpec(str, len), MapSpec(lambda value: (value,)), CountSpec(lambda record: record[0]))
    chain.process(ObjectBatch([1, 2], [10, 20]), LEFT)
    chain.process(ObjectBatch(["abc", "abc"], [30, 40]), RIGHT)
    assert [(("1", 1), 10), (("2", 1), 20), ((3, 1), 30), ((3, 2), 40)] == output.stamped
    assert {"records_in": 4, "records_out": 4} == chain.observe()["co_map-0"]
    assert 50 == chain.advance_watermark(50)


def test_functions_that_give_many():
    chain, output = opened(CoFlatMapSpec(range, lambda text: text.split()))
    chain.process(ObjectBatch([2, 0]), LEFT)
    chain.process(ObjectBatch(["a b", ""]), RIGHT)
    assert [0, 1, "a", "b"] == output.records
    assert {"records_in": 4, "records_out": 4} == chain.observe()["co_flat_map-0"]


def test_a_failing_function_shows_operator_and_record():
    chain, _ = opened(CoMapSpec(str, lambda value: 1 / value))
    chain.process(ObjectBatch([0]), LEFT)
    with pytest.raises(UserFunctionError, match="division by zero") as caught:
        chain.process(ObjectBatch([0]), RIGHT)
    assert ("co_map-0", "0") == (caught.value.error.context["operator"], caught.value.error.context["record"])


# --- broadcast state ---------------------------------------------------------------------------------------------------------


class Alerts(BroadcastOperator):
    """Tells of values above the limit of their key; a new limit is applied to the values that were let pass."""

    limits = BroadcastState(str, int)
    last = ValueState(int)

    def on_record(self, record, ctx):
        key, value = record
        if value > self.limits.get(key, 100):
            ctx.emit(record)
        else:
            self.last.set(value)

    def on_broadcast(self, record, ctx):
        key, limit = record
        self.limits.put(key, limit)

        def look_again(passed, last):
            if passed == key and last.get() > limit:
                ctx.emit((passed, last.get()), timestamp=0)
                last.clear()

        ctx.apply_to_keyed_state(Alerts.last, look_again)


def first(record):
    return record[0]


DATA, RULES = 0, 1


def test_rules_are_written_by_broadcast_and_read_with_the_data():
    chain, output = opened(BroadcastProcessSpec(first, Alerts()))
    chain.process(ObjectBatch([("a", 7), ("a", 101), ("b", 8)]), DATA)
    chain.process(ObjectBatch([("b", 5)]), RULES)
    chain.process(ObjectBatch([("b", 6), ("a", 6)]), DATA)
    assert [("a", 101), ("b", 8), ("b", 6)] == output.records
    assert ({"last": 6}, {}) == (chain.state("broadcast_process-0", "a"), chain.state("broadcast_process-0", "b"))


def test_broadcast_state_cannot_be_written_with_the_data():
    class Writing(Alerts):
        def on_record(self, record, ctx):
            self.limits.put("a", 1)

    chain, _ = opened(BroadcastProcessSpec(first, Writing()))
    chain.process(ObjectBatch([("a", 1)]), RULES)
    with pytest.raises(PlanError, match="broadcast state 'limits' can only be written in on_broadcast"):
        chain.process(ObjectBatch([("a", 1)]), DATA)


def test_all_keys_can_be_gone_through_in_on_broadcast_only_and_by_declaration():
    class Straying(Alerts):
        def on_record(self, record, ctx):
            ctx.apply_to_keyed_state(Alerts.last, print)

        def on_broadcast(self, record, ctx):
            ctx.apply_to_keyed_state(self.last, print)

    chain, _ = opened(BroadcastProcessSpec(first, Straying()))
    with pytest.raises(PlanError, match=r"call ctx\.apply_to_keyed_state in on_broadcast"):
        chain.process(ObjectBatch([("a", 1)]), DATA)
    with pytest.raises(PlanError, match=r"not a declared keyed state.*Alerts\.pending"):
        chain.process(ObjectBatch([("a", 1)]), RULES)


def test_in_on_broadcast_there_is_no_key():
    class Keyless(Alerts):
        def on_broadcast(self, record, ctx):
            assert ctx.key is None
            self.last.get()

    chain, _ = opened(BroadcastProcessSpec(first, Keyless()))
    with pytest.raises(PlanError, match="no current key"):
        chain.process(ObjectBatch([("a", 1)]), RULES)


def test_data_without_keys_can_be_broadcast_to():
    class Filter(BroadcastOperator):
        allowed = BroadcastState(str, bool)

        def on_record(self, record, ctx):
            if self.allowed.contains(record):
                ctx.emit(record)

        def on_broadcast(self, record, ctx):
            self.allowed.put(record, True)

    chain, output = opened(BroadcastProcessSpec(None, Filter()), context=Subtask())
    chain.process(ObjectBatch(["a"]), DATA)
    chain.process(ObjectBatch(["a"]), RULES)
    chain.process(ObjectBatch(["a", "b"]), DATA)
    assert ["a"] == output.records


def test_broadcast_operators_have_timers_for_their_data():
    class Delayed(Alerts):
        def on_record(self, record, ctx):
            ctx.timers.event(record[1])

        def on_timer(self, timestamp, ctx):
            ctx.emit((ctx.key, timestamp, self.limits.get(ctx.key)))

    chain, output = opened(BroadcastProcessSpec(first, Delayed()))
    chain.process(ObjectBatch([("a", 5)], [1]), DATA)
    chain.process(ObjectBatch([("a", 77)]), RULES)
    chain.advance_watermark(5)
    assert [("a", 5, 77)] == output.records
