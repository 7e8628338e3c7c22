"""The general window operator: the same windows as by panes, and sessions, against naive oracles."""

from dataclasses import replace

from few_and_many import at_length
from hypothesis import strategies as st
from window_oracle import (
    FOLDS,
    NaiveSessions,
    NaiveWindows,
    Runner,
    key_of,
    regular_windows,
    steps,
    unordered,
    value_by,
    value_of,
)

from actorflow.operators.windowing import triggers
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import DynamicSessionWindows, SessionWindows, TimeWindows

lengths = st.integers(1, 13)
offsets = st.integers(-20, 20)
folds = st.sampled_from([*sorted(FOLDS), "apply"])


def spec_of(assigner, fold, **options):
    """Return a spec that computes `FOLDS[fold]`, or the values of all records."""
    if fold == "apply":
        return WindowSpec(key_of, assigner, function=lambda _key, _window, records, _ctx: sorted(map(value_of, records)), **options)
    return WindowSpec(key_of, assigner, FOLDS[fold][0], **options)


def value_of_fold(fold):
    return lambda records: sorted(map(value_of, records)) if fold == "apply" else value_by(fold, records)


def check(runner, oracle, given_steps):
    assert unordered(oracle.run(given_steps)) == unordered(runner.run(given_steps))
    facts = runner.chain.observe()["window-0"]
    assert (0, 0) == (facts["windows"], facts["timers"])
    assert {} == dict(runner.chain.state("window-0", "a"))


def check_regular(given_steps, size, slide, offset, lateness, fold):
    assigner = TimeWindows(size, slide, offset)
    spec = spec_of(assigner, fold, trigger=triggers.event_time(), lateness_ms=lateness, late_tag="late")
    assert not spec.in_panes
    check(Runner(spec), NaiveWindows(regular_windows(size, slide, offset), lateness, value_of_fold(fold)), given_steps)


@at_length(steps(), lengths, lengths, offsets, st.integers(0, 12), folds, few=30, many=1500)
def test_regular_windows_are_those_of_the_oracle(given_steps, size, slide, offset, lateness, fold):
    check_regular(given_steps, size, slide, offset, lateness, fold)


def check_sessions(given_steps, gap, lateness, fold, *, dynamic, general=False):
    def gap_of(record):
        return 1 + (gap + value_of(record)) % 7 if dynamic else gap

    assigner = DynamicSessionWindows(gap_of) if dynamic else SessionWindows(gap)
    trigger = triggers.event_time() if general else None
    spec = spec_of(assigner, fold, trigger=trigger, lateness_ms=lateness, late_tag="late")
    assert spec.in_sessions is not general
    check(Runner(spec), NaiveSessions(gap_of, lateness, value_of_fold(fold)), given_steps)


@at_length(steps(), st.integers(1, 10), st.integers(0, 12), folds, st.booleans(), st.booleans(), few=50, many=1000)
def test_sessions_are_those_of_the_oracle(given_steps, gap, lateness, fold, dynamic, general):
    check_sessions(given_steps, gap, lateness, fold, dynamic=dynamic, general=general)


@at_length(steps(), lengths, lengths, st.integers(0, 12), st.sampled_from(sorted(FOLDS)), st.booleans(), few=30)
def test_the_fast_operators_and_the_general_one_agree(given_steps, size, slide, lateness, fold, sessions):
    fast = spec_of(SessionWindows(size) if sessions else TimeWindows(size, slide), fold, lateness_ms=lateness, late_tag="late")
    general = replace(fast, trigger=triggers.event_time())
    assert (sessions, not sessions) == (fast.in_sessions, fast.in_panes)
    assert unordered(Runner(general).run(given_steps)) == unordered(Runner(fast).run(given_steps))
