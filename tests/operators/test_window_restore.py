"""A window operator over a restored backend goes on as if nothing had happened: all that matters is in its state, its timers and its watermark."""

import pickle

import pytest
from chain_harness import Subtask
from hypothesis import strategies as st
from window_oracle import FOLDS, Runner, at_length, clock_steps, key_of, steps, unordered, value_of

from actorflow.operators import evictors, triggers
from actorflow.operators.window_specs import WindowSpec
from actorflow.operators.windows import CountWindows, GlobalWindows, SessionWindows, TimeWindows
from actorflow.state.hashmap import HashMapBackend
from actorflow.wire.batch import MAX_TIMESTAMP, ObjectBatch


class Restored(Subtask):
    """A subtask whose operator finds a state."""

    def __init__(self, backend=None, now_ms=0):
        super().__init__()
        self.backend = HashMapBackend() if backend is None else backend
        self.now_ms = now_ms

    def keyed_backend(self, operator):
        return self.backend


def copied(backend):
    """Return a backend that was restored from the snapshot of another, as bytes, with its timers and its watermark."""
    result = HashMapBackend()
    result.restore(pickle.loads(pickle.dumps(backend.snapshot(lambda key: hash(key) % 2))).values())
    for name in ("event", "processing", "end"):
        for timer in backend.timers(name):
            result.timers(name).set(*timer)
    result.watermark = backend.watermark
    return result


def sorted_values(key, window, records, ctx):
    return sorted(map(value_of, records))


EVENT_SPECS = {
    "tumbling panes": WindowSpec(key_of, TimeWindows(7, 7), FOLDS["sum"][0], lateness_ms=3),
    "sliding panes": WindowSpec(key_of, TimeWindows(9, 3, 1), FOLDS["aggregate"][0], lateness_ms=4),
    "sliding": WindowSpec(key_of, TimeWindows(9, 3, 1), function=sorted_values, lateness_ms=4),
    "sessions": WindowSpec(key_of, SessionWindows(5), FOLDS["aggregate"][0], lateness_ms=4),
    "counts": WindowSpec(key_of, CountWindows(3, 2), FOLDS["aggregate"][0]),
    "evicting": WindowSpec(
        key_of,
        GlobalWindows(),
        function=sorted_values,
        trigger=triggers.delta(4, lambda a, b: b[1] - a[1]),
        evictor=evictors.time(6),
    ),
    "continuous": WindowSpec(key_of, TimeWindows(20, 20), function=sorted_values, trigger=triggers.continuous_event_time(4)),
}
CLOCK_SPECS = {
    "sliding panes": WindowSpec(key_of, TimeWindows(9, 3, 1, "processing"), FOLDS["aggregate"][0]),
    "sliding": WindowSpec(key_of, TimeWindows(9, 3, 1, "processing"), function=sorted_values),
    "sessions": WindowSpec(key_of, SessionWindows(5, "processing"), function=sorted_values),
    "timeouts": WindowSpec(key_of, GlobalWindows(), function=sorted_values, trigger=triggers.timeout(triggers.count(3), 6)),
}


def check(spec, given_steps, cut):
    whole = Runner(spec)
    first = Runner(spec, Restored())
    before = first.run(given_steps[:cut])
    second = Runner(spec, Restored(copied(first.context.backend), first.context.now_ms))
    second.context.advance_to(first.context.now_ms)
    assert unordered(whole.run(given_steps)) == unordered(before + second.run(given_steps[cut:]))


@at_length(steps(), st.integers(0, 12), st.sampled_from(sorted(EVENT_SPECS)), few=80)
def test_event_time_windows_go_on_after_a_restore(given_steps, cut, name):
    check(EVENT_SPECS[name], given_steps, cut)


@at_length(clock_steps(), st.integers(0, 12), st.sampled_from(sorted(CLOCK_SPECS)), few=60)
def test_processing_time_windows_go_on_after_a_restore(given_steps, cut, name):
    check(CLOCK_SPECS[name], [*given_steps, ("watermark", MAX_TIMESTAMP)], cut)


class Hurried(Restored):
    """On whose clock every reading takes longer than a slice: as little as possible is done at once."""

    def processing_time(self):
        self.now_ms += 1000
        return self.now_ms


@pytest.mark.parametrize("spec", ["tumbling panes", "sliding panes", "sliding", "sessions"])
def test_a_snapshot_that_is_taken_while_windows_end_does_not_cut_one_in_two(spec):
    keys = [f"key {number}" for number in range(2500)]
    runner = Runner(EVENT_SPECS[spec], Hurried())
    runner.chain.process(ObjectBatch([(key, 0, 1) for key in keys], [0] * len(keys)))
    runner.chain.advance_watermark(100)
    assert runner.chain.blocked
    runner.chain.complete()
    before = list(runner.output.records)

    other = Runner(EVENT_SPECS[spec], Restored(copied(runner.context.backend)))
    other.chain.advance_watermark(MAX_TIMESTAMP)
    assert [] == other.output.records, "all windows had ended"
    assert len(before) == len(keys) * len({result.window for result in before})
