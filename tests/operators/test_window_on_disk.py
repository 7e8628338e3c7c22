"""Windows whose state is on disk: on a backend that keeps nothing in memory from one batch to the next, all is as in memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from join_harness import on_disk
from test_window_restore import CLOCK_SPECS, EVENT_SPECS, Restored
from window_oracle import Runner, clock_steps, steps, unordered

from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


@pytest.fixture
def check():
    """A function that runs steps on disk, as in memory."""
    backend = on_disk()

    def run(spec, given_steps):
        backend.clear()
        backend.watermark = MIN_TIMESTAMP
        assert unordered(Runner(spec).run(given_steps)) == unordered(Runner(spec, Restored(backend)).run(given_steps))
        if spec.assigner.needs_timestamps or spec.assigner.time == "processing":
            assert 0 == len(backend.keys())

    yield run
    backend.close()


@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_event_time_windows_are_those_in_memory(check, examples):
    @given(steps(), st.sampled_from(sorted(EVENT_SPECS)))
    @settings(max_examples=examples, deadline=None)
    def property_of(given_steps, name):
        check(EVENT_SPECS[name], given_steps)

    property_of()


@pytest.mark.parametrize("examples", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_processing_time_windows_are_those_in_memory(check, examples):
    @given(clock_steps(), st.sampled_from(["sliding panes", "sliding", "sessions"]))
    @settings(max_examples=examples, deadline=None)
    def property_of(given_steps, name):
        check(CLOCK_SPECS[name], [*given_steps, ("watermark", MAX_TIMESTAMP)])

    property_of()
