"""Evictors against what their documentation says, written down naively."""

import pytest
from few_and_many import at_length
from hypothesis import strategies as st
from window_oracle import FOLDS, Runner, key_of, steps, value_of

from actorflow.errors import PlanError
from actorflow.operators.windowing import evictors, triggers
from actorflow.operators.windowing.evictor import Evictor
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import GlobalWindows, SessionWindows, TimeWindows
from actorflow.wire.batch import ObjectBatch

EVICTORS = {
    "count": (lambda n, after: evictors.count(n, after=after), lambda n, found: found[max(0, len(found) - n) :]),
    "time": (
        lambda n, after: evictors.time(n, after=after),
        lambda n, found: [record for record in found if record[1] > max(time for _, time, _ in found) - n],
    ),
    "delta": (
        lambda n, after: evictors.delta(n, lambda record, last: abs(record[1] - last[1]), after=after),
        lambda n, found: [record for record in found if abs(record[1] - found[-1][1]) < n],
    ),
}


def naive(given_steps, keep, trigger_size, *, after):
    """Return (key, values) of each firing of a global window at every so many records."""
    expected, held, seen = [], {}, {}
    for kind, what in given_steps:
        for record in what if kind == "batch" else ():
            key = record[0]
            held[key] = [*held.get(key, []), record]
            seen[key] = seen.get(key, 0) + 1
            if seen[key] % trigger_size == 0:
                fired = held[key] if after else keep(held[key])
                held[key] = keep(fired) if after else fired
                if fired:
                    expected.append((key, list(map(value_of, fired))))
    return expected


def check(given_steps, kind, limit, trigger_size, *, after, folded):
    make, keep = EVICTORS[kind]
    computed = (
        {"fold": FOLDS["aggregate"][0]} if folded else {"function": lambda _key, _window, found, _ctx: list(map(value_of, found))}
    )
    spec = WindowSpec(key_of, GlobalWindows(), trigger=triggers.count(trigger_size), evictor=make(limit, after), **computed)
    found = [(result.key, result.value) for results, _ in Runner(spec).run(given_steps) for result, _ in results]
    assert naive(given_steps, lambda held: keep(limit, held), trigger_size, after=after) == found


@at_length(steps(), st.sampled_from(sorted(EVICTORS)), st.integers(1, 8), st.integers(1, 4), st.booleans(), st.booleans(), few=80)
def test_evictors_leave_out_what_they_say(given_steps, kind, limit, trigger_size, after, folded):
    check(given_steps, kind, limit, trigger_size, after=after, folded=folded)


def test_an_evictor_that_leaves_nothing_makes_no_result():
    spec = WindowSpec(key_of, TimeWindows(10, 10), FOLDS["count"][0], evictor=evictors.count(0))
    assert [] == [results for results, _ in Runner(spec).run([("batch", [("a", 1, 1)]), ("watermark", 9)]) if results]


class Positive(Evictor):
    def before(self, elements, window):
        return [element for element in elements if element.record > 0]


def test_what_an_evictor_leaves_out_is_gone_even_if_that_is_all():
    spec = WindowSpec(lambda _: 0, GlobalWindows(), FOLDS["count"][0], trigger=triggers.count(2), evictor=Positive())
    runner = Runner(spec)
    runner.chain.process(ObjectBatch([-1, -2]))
    assert {} == dict(runner.chain.state("window-0", 0))
    runner.chain.process(ObjectBatch([-3, 4]))
    assert [1] == [result.value for result in runner.output.records]


def test_records_without_event_time_stay():
    spec = WindowSpec(lambda _: 0, GlobalWindows(), FOLDS["count"][0], trigger=triggers.count(3), evictor=evictors.time(1))
    runner = Runner(spec)
    runner.chain.process(ObjectBatch([1, 2, 3]))
    assert [3] == [result.value for result in runner.output.records]


class Odd(Evictor):
    def before(self, elements, window):
        return [element for element in elements if element.record[2] % 2]


def test_an_evictor_of_ones_own_works_with_windows_that_merge():
    spec = WindowSpec(key_of, SessionWindows(10), FOLDS["aggregate"][0], evictor=Odd())
    runner = Runner(spec)
    script = [("batch", [("a", 1, 1), ("a", 20, 2), ("a", 11, 3)]), ("watermark", 50)]
    assert [[1, 3]] == [result.value for results, _ in runner.run(script) for result, _ in results]
    assert {} == dict(runner.chain.state("window-0", "a"))


@pytest.mark.parametrize("make", [lambda: evictors.count(-1), lambda: evictors.count("3"), lambda: evictors.delta(1, 2)])
def test_evictors_that_make_no_sense_are_refused(make):
    with pytest.raises(PlanError):
        make()
