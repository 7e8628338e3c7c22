"""Functions over whole windows: what they get, what they may return, what they remember, and how their failures are told."""

import pytest
from window_oracle import FOLDS, Runner, key_of, value_of

from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.aggregate import Aggregate
from actorflow.operators.specs import AggregateSpec, ReduceSpec, SumSpec
from actorflow.operators.windowing import triggers
from actorflow.operators.windowing.trigger import Trigger, TriggerResult
from actorflow.operators.windowing.window import Window, WindowAssigner
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import DynamicSessionWindows, GlobalWindows, SessionWindows, TimeWindows
from actorflow.wire.batch import MAX_TIMESTAMP, ObjectBatch

TEN = TimeWindows(10, 10)
SCRIPT = [("batch", [("a", 1, 5), ("b", 2, 6), ("a", 3, 7)]), ("watermark", 9)]


def results_of(spec, script=SCRIPT):
    return [(result.key, result.value) for results, _ in Runner(spec).run(script) for result, _ in results]


def test_a_function_gets_all_records_of_its_key_and_window():
    spec = WindowSpec(
        key_of, TEN, function=lambda key, window, records, ctx: (key, window, sum(map(value_of, records)), ctx.watermark)
    )
    assert [("a", ("a", Window(0, 10), 12, 9)), ("b", ("b", Window(0, 10), 6, 9))] == results_of(spec)


def test_a_function_that_yields_gives_as_many_results():
    def each(key, window, records, ctx):
        yield from map(value_of, records)

    assert [("a", 5), ("a", 7), ("b", 6)] == results_of(WindowSpec(key_of, TEN, function=each))


def test_a_function_may_get_the_aggregate_instead_of_the_records():
    spec = WindowSpec(key_of, TEN, FOLDS["sum"][0], function=lambda key, window, total, ctx: (total, window.end))
    assert [("a", (12, 10)), ("b", (6, 10))] == results_of(spec)


def test_a_function_may_change_the_list_that_it_gets():
    def greedy(key, window, records, ctx):
        count = len(records)
        records.clear()
        return count

    spec = WindowSpec(key_of, TEN, function=greedy, trigger=triggers.count(1))
    assert [("a", 1), ("b", 1), ("a", 2)] == results_of(spec)


def test_a_function_remembers_things_of_a_window_and_of_a_key():
    def numbered(key, window, records, ctx):
        ctx.window_state.put("fired", ctx.window_state.get("fired", 0) + 1)
        ctx.global_state.put("fired", ctx.global_state.get("fired", 0) + 1)
        return ctx.window_state.get("fired"), ctx.global_state.get("fired")

    runner = Runner(WindowSpec(key_of, TEN, function=numbered, trigger=triggers.count(1)))
    runner.take(("batch", [("a", 1, 0), ("a", 2, 0), ("a", 11, 0), ("b", 1, 0)]))
    assert [(1, 1), (2, 2), (1, 3), (1, 1)] == [result.value for result in runner.output.records]
    assert {Window(0, 10): {"fired": 2}, Window(10, 20): {"fired": 1}} == runner.chain.state("window-0", "a")["window_state"]
    runner.take(("watermark", 100))
    assert {"global_state": {"fired": 3}} == dict(runner.chain.state("window-0", "a"))


def test_state_of_a_window_can_be_taken_back():
    def tidy(key, window, records, ctx):
        ctx.window_state.put("x", 1)
        ctx.window_state.put("y", 2)
        ctx.window_state.remove("x")
        kept = dict(ctx.window_state.items())
        assert not ctx.window_state.contains("x")
        ctx.window_state.remove("y")
        ctx.window_state.clear()
        return kept

    runner = Runner(WindowSpec(key_of, TEN, function=tidy, trigger=triggers.count(1)))
    runner.take(("batch", [("a", 1, 0)]))
    assert [{"y": 2}] == [result.value for result in runner.output.records]
    assert "window_state" not in runner.chain.state("window-0", "a")


def test_windows_that_merge_have_no_state_of_their_own():
    spec = WindowSpec(key_of, SessionWindows(5), function=lambda key, window, records, ctx: ctx.window_state.get("x"))
    with pytest.raises(PlanError, match="windows that merge have no state of their own"):
        results_of(spec, [("batch", [("a", 1, 5)]), ("watermark", 9)])


def test_a_function_gives_records_to_side_outputs():
    def loud(key, window, records, ctx):
        ctx.emit_to("late", (key, len(records)))
        ctx.emit_to("late", "then", 3)
        ctx.emit_to("nobody", 1)
        return ctx.processing_time()

    runner = Runner(WindowSpec(key_of, TEN, function=loud, late_tag="late"))
    runner.context.now_ms = 77
    runner.run([("batch", [("a", 1, 5)]), ("watermark", 9)])
    assert [(("a", 1), 9), ("then", 3)] == runner.late.stamped
    assert [77] == [result.value for result in runner.output.records]


def test_results_of_the_global_window_have_the_time_of_what_made_them_fire():
    runner = Runner(WindowSpec(key_of, GlobalWindows(), FOLDS["count"][0], trigger=triggers.timeout(triggers.count(2), 10)))
    runner.run([("batch", [("a", 4, 0), ("a", 7, 0), ("b", 9, 0)]), ("watermark", 20), ("clock", 10)])
    assert [("a", 7), ("b", 21)] == [(result.key, stamp) for result, stamp in runner.output.stamped]


def test_results_have_no_event_time_where_records_have_none():
    runner = Runner(WindowSpec(key_of, GlobalWindows(), FOLDS["count"][0], trigger=triggers.timeout(triggers.count(2), 10)))
    runner.chain.process(ObjectBatch([("a", 0, 0), ("a", 0, 1), ("b", 0, 2)]))
    runner.context.advance_to(10)
    assert [("a", None), ("b", None)] == [(result.key, stamp) for result, stamp in runner.output.stamped]


@pytest.mark.parametrize("assigner", [TEN, TimeWindows(10, 5), SessionWindows(5)])
def test_event_time_needs_timestamps(assigner):
    with pytest.raises(PlanError, match="'window-0' goes by event time, and its records have none"):
        Runner(WindowSpec(key_of, assigner, FOLDS["count"][0])).chain.process(ObjectBatch([("a", 0, 0)]))


class OfValue(WindowAssigner):
    """Records of value n are in windows of n seconds; those of 0 are in none."""

    def assign(self, record, timestamp):
        return [Window(timestamp // 10 * 10, timestamp // 10 * 10 + 10 * number) for number in range(1, record[2] + 1)]


def test_an_assigner_of_ones_own():
    runner = Runner(WindowSpec(key_of, OfValue(), FOLDS["count"][0], late_tag="late"))
    brought = runner.run(
        [
            ("batch", [("a", 1, 2), ("a", 2, 0), ("a", 3, 1)]),
            ("watermark", 9),
            ("batch", [("a", 4, 1), ("a", 5, 0)]),
            ("watermark", 19),
        ]
    )
    assert [[], [2], [], [1]] == [[result.value for result, _ in results] for results, _ in brought]
    assert [("a", 4, 1)] == runner.late.records


# --- failures ------------------------------------------------------------------------------------------------------------------------


class Failing(Aggregate):
    def __init__(self, where):
        self.where = where

    def fail(self, where):
        if where == self.where:
            raise ValueError(f"no {where}")

    def create(self):
        self.fail("create")
        return 0

    def add(self, acc, value):
        self.fail("add")
        return acc + value[2]

    def merge(self, a, b):
        self.fail("merge")
        return a + b

    def result(self, acc):
        self.fail("result")
        return acc


def boom(*_):
    raise ValueError("no luck")


class BadTrigger(Trigger):
    def on_element(self, record, timestamp, window, ctx):
        ctx.timers.event(5)
        return TriggerResult.CONTINUE

    def on_event_time(self, time, window, ctx):
        boom()


def failure_of(spec, script=SCRIPT):
    with pytest.raises(UserFunctionError) as raised:
        Runner(spec).run(script)
    info = raised.value.info()
    assert "ValueError" == info.kind
    assert "window_stage.py" not in info.traceback
    assert "pane" not in info.traceback
    return {name: value for name, value in info.context.items() if name != "subtask"}


WHERE = {"operator": "window-0", "key": "'a'", "window": "Window(start=0, end=10)"}
RECORD = {"record": "('a', 1, 5)"}


@pytest.mark.parametrize("where", ["create", "add"])
def test_a_failing_aggregation_is_told_with_record_and_key(where):
    fold = AggregateSpec(key_of, Failing(where))
    assert {"operator": "window-0", "key": "'a'", **RECORD} == failure_of(WindowSpec(key_of, TEN, fold))
    assert {**WHERE, **RECORD} == failure_of(WindowSpec(key_of, TEN, fold, trigger=triggers.event_time()))


def test_a_failing_result_is_told_with_key_and_window():
    fold = AggregateSpec(key_of, Failing("result"))
    assert WHERE == failure_of(WindowSpec(key_of, TEN, fold))
    assert WHERE == failure_of(WindowSpec(key_of, TEN, fold, trigger=triggers.event_time()))


def test_a_failing_merge_is_told_with_key_and_window():
    fold = AggregateSpec(key_of, Failing("merge"))
    script = [("batch", [("b", 6, 0), ("a", 1, 5), ("a", 7, 6)]), ("watermark", 9)]
    assert WHERE == failure_of(WindowSpec(key_of, TimeWindows(10, 5), fold), script)
    script = [("batch", [("a", 0, 1), ("a", 10, 2), ("a", 4, 3), ("a", 8, 4)])]
    found = failure_of(WindowSpec(key_of, SessionWindows(4), fold), script)
    assert {**WHERE, "record": "('a', 8, 4)", "window": "Window(start=0, end=14)"} == found


def test_a_failing_function_is_told_with_key_and_window():
    assert WHERE == failure_of(WindowSpec(key_of, TEN, function=boom))
    assert WHERE == failure_of(WindowSpec(key_of, TEN, FOLDS["sum"][0], function=boom))
    assert {**WHERE, **RECORD} == failure_of(WindowSpec(key_of, TEN, function=boom, trigger=triggers.count(1)))


def test_a_failing_trigger_is_told_with_key_and_window():
    assert WHERE == failure_of(WindowSpec(key_of, TEN, FOLDS["sum"][0], trigger=BadTrigger()))


def test_a_failing_key_is_told_with_its_record_and_no_key():
    bad = lambda record: boom() if record[0] == "b" else record[0]
    expected = {"operator": "window-0", "record": "('b', 2, 6)"}
    assert expected == failure_of(WindowSpec(bad, TEN, SumSpec(bad, value_of)))
    assert expected == failure_of(WindowSpec(bad, TEN, function=boom))


def test_a_failing_gap_is_told_with_its_record():
    assert {"operator": "window-0", "key": "'a'", **RECORD} == failure_of(
        WindowSpec(key_of, DynamicSessionWindows(boom), FOLDS["count"][0])
    )


def test_a_gap_that_is_none_is_refused():
    with pytest.raises(PlanError, match="the gap that the function of session returned must be longer than 0"):
        results_of(WindowSpec(key_of, DynamicSessionWindows(lambda record: 0), FOLDS["count"][0]))


def test_a_failing_reduce_is_told_when_panes_are_merged():
    script = [("batch", [("a", 1, 5), ("a", 7, 6)]), ("watermark", 9)]
    assert WHERE == failure_of(WindowSpec(key_of, TimeWindows(10, 5), ReduceSpec(key_of, boom)), script)


def test_a_failing_late_record_is_told_with_its_window():
    fold = AggregateSpec(key_of, Failing("result"))
    script = [("watermark", 12), ("batch", [("a", 1, 5)])]
    assert WHERE == failure_of(WindowSpec(key_of, TEN, fold, lateness_ms=10), script)


def test_nothing_is_left_at_the_end_whatever_fired():
    spec = WindowSpec(key_of, TEN, FOLDS["sum"][0], function=lambda key, window, total, ctx: total, lateness_ms=100)
    runner = Runner(spec)
    runner.run([*SCRIPT, ("watermark", MAX_TIMESTAMP)])
    assert {} == dict(runner.chain.state("window-0", "a"))
