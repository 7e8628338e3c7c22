"""Windows whose state is on disk: on a backend that keeps nothing in memory from one batch to the next, all is as in memory."""

from hypothesis import strategies as st
from join_harness import on_disk
from test_window_restore import CLOCK_SPECS, EVENT_SPECS, Restored
from window_oracle import Runner, at_length, clock_steps, steps, unordered

from actorflow.wire.batch import MAX_TIMESTAMP


def check(spec, given_steps):
    expected = Runner(spec).run(given_steps)
    backend = on_disk()
    try:
        runner = Runner(spec, Restored(backend))
        assert unordered(expected) == unordered(runner.run(given_steps))
        if spec.assigner.needs_timestamps or spec.assigner.time == "processing":
            assert 0 == len(backend.keys())
    finally:
        backend.close()


@at_length(steps(), st.sampled_from(sorted(EVENT_SPECS)), few=10)
def test_event_time_windows_are_those_in_memory(given_steps, name):
    check(EVENT_SPECS[name], given_steps)


@at_length(clock_steps(), st.sampled_from(["sliding panes", "sliding", "sessions"]), few=5)
def test_processing_time_windows_are_those_in_memory(given_steps, name):
    check(CLOCK_SPECS[name], [*given_steps, ("watermark", MAX_TIMESTAMP)])
