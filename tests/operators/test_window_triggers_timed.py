"""Triggers that go by the watermark or the clock, against what their documentation says, written down naively."""

import pytest
from few_and_many import at_length
from hypothesis import strategies as st
from window_oracle import (
    FOLDS,
    NaiveWindows,
    Runner,
    clock_steps,
    key_of,
    regular_windows,
    results_of,
    runner_of,
    steps,
    unordered,
    value_of,
    values,
)

from actorflow.operators.windowing import triggers
from actorflow.operators.windowing.window import GLOBAL, Window, Windowed
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import GlobalWindows, SessionWindows, TimeWindows
from actorflow.wire.batch import MAX_TIMESTAMP

# --- by the watermark ----------------------------------------------------------------------------------------------------------------


class NaiveContinuous(NaiveWindows):
    """Event-time windows that fire at multiples of an interval, too."""

    def __init__(self, interval, *arguments):
        super().__init__(*arguments)
        self.interval = interval
        self.next = {}

    def after(self, time, window):
        return min(time - time % self.interval + self.interval, window.end - 1)

    def record(self, record):
        results, late = super().record(record)
        for window in self.windows_of(record[1]):
            if window.end - 1 > self.watermark:
                self.next.setdefault((window, record[0]), self.after(record[1], window))
        return results, late

    def advance(self, watermark):
        early = []
        for (window, key), due in sorted(self.next.items()):
            if due <= watermark:
                if due < window.end - 1:
                    early.append(self.result(window, key))
                self.next[window, key] = self.after(watermark, window)
                if watermark >= window.end - 1:
                    del self.next[window, key]
        return early + super().advance(watermark)


@at_length(steps(), st.integers(1, 12), st.integers(0, 6), st.integers(1, 6), few=60)
def test_continuous_event_time_fires_at_multiples_and_at_the_end(given_steps, size, lateness, interval):
    oracle = NaiveContinuous(interval, regular_windows(size, size, 0), lateness, lambda records: sorted(map(value_of, records)))
    runner = Runner(
        WindowSpec(
            key_of,
            TimeWindows(size, size),
            function=lambda *arguments: sorted(values(*arguments)),
            trigger=triggers.continuous_event_time(interval),
            lateness_ms=lateness,
            late_tag="late",
        )
    )
    assert unordered(oracle.run(given_steps)) == unordered(runner.run(given_steps))
    assert (0, 0) == (runner.chain.observe()["window-0"]["windows"], runner.chain.observe()["window-0"]["timers"])


def test_continuous_event_time_gives_the_rest_of_a_global_window_at_the_end():
    runner = runner_of(GlobalWindows(), triggers.continuous_event_time(10))
    script = [("batch", [("a", 3, 1), ("a", 5, 2)]), ("watermark", 12), ("batch", [("a", 14, 3)]), ("watermark", MAX_TIMESTAMP)]
    assert [
        [(Windowed("a", GLOBAL, [1, 2]), 10)],
        [(Windowed("a", GLOBAL, [1, 2, 3]), 20), (Windowed("a", GLOBAL, [1, 2, 3]), 13)],
    ] == [results for results, _ in runner.run(script) if results]


def test_continuous_event_time_of_sessions_goes_on_when_they_merge():
    runner = runner_of(SessionWindows(10), triggers.continuous_event_time(5))
    script = [("batch", [("a", 1, 1), ("a", 12, 2), ("a", 6, 3)]), ("watermark", 6), ("watermark", 21)]
    assert [("a", [1, 2, 3])] * 3 == results_of(runner, script)
    assert (0, 0) == (runner.chain.observe()["window-0"]["windows"], runner.chain.observe()["window-0"]["timers"])


# --- by the clock --------------------------------------------------------------------------------------------------------------------


class NaiveClock:
    """Windows of processing time."""

    def __init__(self, windows_of):
        self.windows_of = windows_of
        self.open = {}
        self.now = 0

    def run(self, given_steps):
        brought = []
        for kind, what in given_steps:
            results = []
            if kind == "batch":
                for record in what:
                    for window in self.windows_of(self.now):
                        self.open.setdefault((window, record[0]), []).append(record)
            else:
                self.now = what if kind == "clock" else 10**9
                for window, key in sorted(self.open):
                    if window.end <= self.now:
                        found = sorted(map(value_of, self.open.pop((window, key))))
                        results.append((Windowed(key, window, found), window.end - 1))
            brought.append((results, []))
        return brought


def sorted_values(*arguments):
    return sorted(values(*arguments))


@at_length(clock_steps(), st.integers(1, 12), st.integers(1, 12), st.integers(-5, 5), st.booleans(), few=60)
def test_windows_of_processing_time_fire_when_the_clock_has_reached_their_end(given_steps, size, slide, offset, in_panes):
    assigner = TimeWindows(size, slide, offset, "processing")
    if in_panes:
        runner = Runner(WindowSpec(key_of, assigner, FOLDS["aggregate"][0]))
    else:
        runner = Runner(WindowSpec(key_of, assigner, function=sorted_values))
    given_steps = [*given_steps, ("watermark", MAX_TIMESTAMP)]
    assert unordered(NaiveClock(regular_windows(size, slide, offset)).run(given_steps)) == unordered(runner.run(given_steps))
    assert {} == dict(runner.chain.state("window-0", "a"))


@at_length(clock_steps(), st.integers(1, 12), few=40)
def test_sessions_of_processing_time_end_when_nothing_has_come_for_the_gap(given_steps, gap):
    brought, now, open_ = [], 0, {}
    for kind, what in [*given_steps, ("watermark", MAX_TIMESTAMP)]:
        results = []
        if kind == "batch":
            for key, _, value in what:
                window, found = open_.get(key, (Window(now, now), []))
                open_[key] = (Window(window.start, now + gap), [*found, value])
        else:
            now = what if kind == "clock" else 10**9
            for key, (window, found) in list(open_.items()):
                if window.end <= now:
                    del open_[key]
                    results.append((Windowed(key, window, found), window.end - 1))
        brought.append((results, []))
    runner = runner_of(SessionWindows(gap, "processing"))
    assert unordered(brought) == unordered(runner.run([*given_steps, ("watermark", MAX_TIMESTAMP)]))


@at_length(clock_steps(), st.integers(1, 4), st.integers(1, 15), st.booleans(), few=60)
def test_a_timeout_fires_when_the_count_does_or_the_time_is_up(given_steps, size, timeout, reset):
    expected, now, waiting = [], 0, {}  # key to (values, due)
    for kind, what in given_steps:
        if kind == "clock":
            now = what
            for key, (found, due) in sorted(waiting.items(), key=lambda item: item[1][1]):
                if due <= now:
                    expected.append((key, found))
                    del waiting[key]
            continue
        for key, _, value in what:
            found, due = waiting.get(key, ([], None))
            found = [*found, value]
            if len(found) == size:
                expected.append((key, found))
                waiting.pop(key, None)
            else:
                waiting[key] = (found, now + timeout if due is None or reset else due)
    trigger = triggers.purging(triggers.timeout(triggers.count(size), timeout, reset=reset))
    runner = runner_of(GlobalWindows(), trigger)
    assert sorted(expected, key=repr) == sorted(results_of(runner, given_steps), key=repr)


def test_a_timeout_that_does_not_clear_lets_the_count_go_on():
    script = [("batch", [("a", 0, 1), ("a", 0, 2)]), ("clock", 10), ("batch", [("a", 0, 3)])]
    kept = runner_of(GlobalWindows(), triggers.timeout(triggers.count(3), 10, clear=False))
    assert [("a", [1, 2]), ("a", [1, 2, 3])] == results_of(kept, script)
    cleared = runner_of(GlobalWindows(), triggers.timeout(triggers.count(3), 10))
    assert [("a", [1, 2])] == results_of(cleared, script)


@pytest.mark.parametrize("time", ["event", "processing"])
def test_continuous_processing_time_fires_at_multiples_of_the_clock(time):
    trigger = triggers.continuous_processing_time(10)
    runner = runner_of(TimeWindows(25, 25, 0, time), trigger)
    script = [
        ("clock", 3),
        ("batch", [("a", 0, 1)]),
        ("clock", 10),
        ("clock", 19),
        ("batch", [("a", 0, 2)]),
        ("clock", 20),
        ("clock", 40),
    ]
    fired = [bool(results) for results, _ in runner.run(script)]
    assert [False, False, True, False, False, True, True] == fired
    assert ([1, 2], 24) == (runner.output.records[-1].value, runner.output.stamped[-1][1])
    runner.take(("watermark", MAX_TIMESTAMP))
    assert (0, 0) == (runner.chain.observe()["window-0"]["windows"], runner.chain.observe()["window-0"]["timers"])


def test_what_waits_for_the_clock_fires_at_the_end_of_input():
    runner = runner_of(TimeWindows(100, 100, 0, "processing"))
    assert [("a", [1])] == results_of(runner, [("batch", [("a", 0, 1)]), ("watermark", MAX_TIMESTAMP)])
    assert [("a", [1])] == [(result.key, result.value) for result in runner.output.records]
    runner.context.advance_to(10**12)
    assert 1 == len(runner.output.records)
