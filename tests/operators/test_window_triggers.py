"""Each trigger against what its documentation says, written down naively."""

import pytest
from few_and_many import at_length
from hypothesis import strategies as st
from window_oracle import Runner, records_of, results_of, runner_of, steps

from actorflow.errors import PlanError
from actorflow.operators.specs import CountSpec
from actorflow.operators.windowing import triggers
from actorflow.operators.windowing.trigger import Trigger, TriggerResult
from actorflow.operators.windowing.window import Window
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import CountWindows, GlobalWindows, SessionWindows, TimeWindows
from actorflow.state.descriptors import ListState, ValueState
from actorflow.wire.batch import MAX_TIMESTAMP

# --- by records ----------------------------------------------------------------------------------------------------------------------


@at_length(steps(), st.integers(1, 4), st.booleans(), few=40)
def test_a_count_fires_at_every_nth_record_of_a_key(given_steps, size, purging):
    expected, seen = [], {}
    for key, _, value in records_of(given_steps):
        seen.setdefault(key, []).append(value)
        if len(seen[key]) % size == 0:
            expected.append((key, seen[key][-size:] if purging else list(seen[key])))
    trigger = triggers.purging(triggers.count(size)) if purging else triggers.count(size)
    assert expected == results_of(runner_of(GlobalWindows(), trigger), given_steps)


@at_length(steps(), st.integers(1, 5), st.one_of(st.none(), st.integers(1, 5)), few=60)
def test_count_windows_hold_the_last_records(given_steps, size, slide):
    expected, seen = [], {}
    for key, _, value in records_of(given_steps):
        seen.setdefault(key, []).append(value)
        if len(seen[key]) % (slide or size) == 0:
            expected.append((key, seen[key][-size:]))
    assert expected == results_of(runner_of(CountWindows(size, slide)), given_steps)


@at_length(steps(), st.integers(0, 20), few=40)
def test_a_delta_fires_at_a_record_far_from_the_last_firing(given_steps, threshold):
    expected, seen, last = [], {}, {}
    for key, time, value in records_of(given_steps):
        seen.setdefault(key, []).append(value)
        if abs(time - last.setdefault(key, time)) > threshold:
            last[key] = time
            expected.append((key, list(seen[key])))
    trigger = triggers.delta(threshold, lambda before, record: abs(record[1] - before[1]))
    assert expected == results_of(runner_of(GlobalWindows(), trigger), given_steps)


def test_a_delta_can_compare_records_that_are_none():
    runner = Runner(
        WindowSpec(lambda record: 0, GlobalWindows(), CountSpec(lambda record: 0), trigger=triggers.delta(0, lambda a, b: 1))
    )
    runner.chain.process(_untimed([None, None, None]))
    assert [2, 3] == [result.value for result in runner.output.records]


def test_never_does_not_fire_even_at_the_end():
    assert [] == results_of(runner_of(GlobalWindows()), [("batch", [("a", 0, 1)]), ("watermark", MAX_TIMESTAMP)])


@at_length(steps(), st.integers(1, 8), st.integers(1, 4), few=40)
def test_a_count_goes_on_when_sessions_merge(given_steps, gap, size):
    """Oracle: the count of a session is the number of its records since the last firing, whichever part they came to."""
    expected, sessions, watermark = [], {}, -(10**9)
    for kind, what in given_steps:
        if kind == "watermark":
            watermark = what
            for key, kept in sessions.items():
                sessions[key] = [session for session in kept if session["window"].end - 1 > watermark]
            continue
        for key, time, value in what:
            near = [s for s in sessions.get(key, []) if s["window"].start <= time + gap and time <= s["window"].end]
            if not near and time + gap - 1 <= watermark:
                continue
            near.sort(key=lambda session: session["window"])
            merged = {
                "window": Window(
                    min([time, *(s["window"].start for s in near)]), max([time + gap, *(s["window"].end for s in near)])
                ),
                "values": [value for s in near for value in s["values"]] + [value],
                "count": sum(s["count"] for s in near) + 1,
            }
            sessions[key] = [s for s in sessions.get(key, []) if s not in near] + [merged]
            if merged["count"] >= size:
                merged["count"] = 0
                expected.append((key, sorted(merged["values"])))
    runner = runner_of(SessionWindows(gap), triggers.count(size))
    assert expected == [(key, sorted(found)) for key, found in results_of(runner, given_steps)]
    assert {} == dict(runner.chain.state("window-0", "a"))


# --- of the user's own ---------------------------------------------------------------------------------------------------------------


class Bell(Trigger):
    """Fires once for each window, when a value is odd, and remembers that."""

    rung = ValueState(bool, default=False)

    def on_element(self, record, timestamp, window, ctx):
        if record[2] % 2 and not self.rung.get():
            self.rung.set(True)
            return TriggerResult.FIRE_AND_PURGE
        return TriggerResult.CONTINUE


def test_a_trigger_of_ones_own_keeps_state_for_each_key_and_window():
    runner = runner_of(TimeWindows(10, 10), Bell())
    script = [("batch", [("a", 1, 2), ("a", 2, 1), ("a", 3, 3), ("a", 11, 5), ("b", 1, 7)])]
    assert [("a", [2, 1]), ("a", [5]), ("b", [7])] == results_of(runner, script)
    state = runner.chain.state("window-0", "a")
    assert {Window(0, 10): True, Window(10, 20): True} == state["trigger.rung"]
    runner.take(("watermark", 100))
    assert {} == dict(runner.chain.state("window-0", "a"))


def test_one_trigger_serves_two_subtasks():
    trigger = Bell()
    first, second = (runner_of(TimeWindows(10, 10), trigger) for _ in range(2))
    assert [("a", [1])] == results_of(first, [("batch", [("a", 0, 1)])])
    assert [("a", [1])] == results_of(second, [("batch", [("a", 0, 1)])])


class Lists(Trigger):
    seen = ListState(int)

    def on_element(self, record, timestamp, window, ctx):
        return TriggerResult.CONTINUE


def test_a_trigger_keeps_values_only():
    with pytest.raises(PlanError, match="the trigger of 'window-0' cannot keep 'seen'"):
        runner_of(TimeWindows(10, 10), Lists())


class Nothing(Trigger):
    def on_element(self, record, timestamp, window, ctx):
        pass


def test_a_trigger_that_returns_nothing_is_told_so():
    with pytest.raises(PlanError, match=r"returned None .hint: return af.TriggerResult.CONTINUE"):
        runner_of(TimeWindows(10, 10), Nothing()).take(("batch", [("a", 0, 1)]))


@pytest.mark.parametrize(
    ("trigger", "can"),
    [
        (triggers.event_time(), True),
        (triggers.count(3), True),
        (triggers.purging(triggers.count(3)), True),
        (triggers.purging(triggers.delta(1, max)), False),
        (triggers.timeout(triggers.count(3), 5), False),
        (Bell(), False),
    ],
)
def test_triggers_say_whether_they_can_merge(trigger, can):
    assert can is trigger.can_merge


@pytest.mark.parametrize(
    "make",
    [
        lambda: triggers.count(0),
        lambda: triggers.count(1.5),
        lambda: triggers.continuous_event_time(0),
        lambda: triggers.continuous_processing_time("0s"),
        lambda: triggers.timeout(triggers.count(1), 0),
        lambda: triggers.timeout(5, 10),
        lambda: triggers.purging(int),
        lambda: triggers.delta(1, None),
    ],
)
def test_triggers_that_make_no_sense_are_refused(make):
    with pytest.raises(PlanError):
        make()


def _untimed(records):
    from actorflow.wire.batch import ObjectBatch

    return ObjectBatch(records)
