"""Regular windows by panes, against the naive oracle: every size, slide, offset and lateness, batches and watermarks in any order."""

import pytest
from chain_harness import Subtask
from few_and_many import at_length
from hypothesis import strategies as st
from window_oracle import FOLDS, NaiveWindows, Runner, key_of, regular_windows, steps, unordered, value_by

from actorflow.operators.windowing.pane_merging import KEYS_AT_ONCE
from actorflow.operators.windowing.panes import PaneShape
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import TimeWindows

lengths = st.integers(1, 13)
offsets = st.integers(-20, 20)
times = st.integers(-60, 60)


@at_length(lengths, lengths, offsets, times, st.integers(0, 20), times, few=100, many=3000)
def test_panes_are_the_pieces_of_windows(size, slide, offset, timestamp, lateness, watermark):
    assigner = TimeWindows(size, slide, offset)
    shape = PaneShape.of(assigner, lateness)
    windows = regular_windows(size, slide, offset)(timestamp)
    assert windows == assigner.assign(None, timestamp)
    assert shape.in_gap(timestamp) is (not windows)
    if windows:
        pane = shape.pane(timestamp)
        assert pane <= timestamp < pane + shape.length
        assert all(window.start <= pane and pane + shape.length <= window.end for window in windows)
        assert (windows[0].start, windows[-1].start) == (shape.first_start(timestamp), shape.last_start(timestamp))
        assert (timestamp < shape.kept_from(watermark)) is all(window.end - 1 + lateness <= watermark for window in windows)
        assert all((window.start < shape.first_after(watermark)) is (window.end - 1 <= watermark) for window in windows)


def check_against_oracle(given_steps, size, slide, offset, lateness, fold):
    spec = WindowSpec(FOLDS[fold][0].key, TimeWindows(size, slide, offset), FOLDS[fold][0], lateness_ms=lateness, late_tag="late")
    runner = Runner(spec)
    oracle = NaiveWindows(regular_windows(size, slide, offset), lateness, lambda records: value_by(fold, records))
    assert unordered(oracle.run(given_steps)) == unordered(runner.run(given_steps))
    assert 0 == runner.chain.observe()["window-0"]["panes"]


@at_length(steps(), lengths, lengths, offsets, st.integers(0, 12), st.sampled_from(sorted(FOLDS)), few=40, many=1000)
def test_results_are_those_of_the_oracle(given_steps, size, slide, offset, lateness, fold):
    check_against_oracle(given_steps, size, slide, offset, lateness, fold)


@pytest.mark.parametrize("slide", [10, 5])
def test_many_keys_are_merged_and_given_a_slice_at_a_time(slide):
    """On a clock on which every look takes longer than a slice, each call does as little as it can."""

    class Ticking(Subtask):
        def processing_time(self):
            self.now_ms += 1000
            return self.now_ms

    keys = 3 * KEYS_AT_ONCE
    runner = Runner(WindowSpec(key_of, TimeWindows(10, slide), FOLDS["count"][0]), Ticking())
    for time in (1, 6):
        runner.take(("batch", [(key, time, 0) for key in range(keys)]))
    sizes, emitted = [], 0
    while runner.chain.advance_watermark(9) != 9:
        assert runner.chain.blocked
        sizes.append(len(runner.output.records) - emitted)
        emitted += sizes[-1]
    assert len(sizes) >= 3
    assert max(sizes) <= KEYS_AT_ONCE
    if slide == 5:  # the panes are merged before there is a result
        assert 0 == sizes[0]
    windows = [result.window.start for result in runner.output.records]
    assert {0: keys} | ({-5: keys} if slide == 5 else {}) == {start: windows.count(start) for start in set(windows)}
