"""Event times from the source's reader to the sink's writer: through chains and exchanges, within a worker and between processes."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from few_and_many import at_length
from hypothesis import strategies as st

import actorflow as af
from actorflow.testing import Arrival, Heard, TestSink, TestSource, run_test
from actorflow.wire.batch import MAX_TIMESTAMP, Watermark


class Stamp(af.OperatorActor):
    """Puts the event time that it sees beside the record."""

    def on_record(self, record, ctx):
        ctx.emit((record, ctx.timestamp))


def stamped_words(source, sink, **options):
    """Return a pipeline in which the operator after an exchange tells the timestamps that it sees."""
    pipeline = af.Pipeline("stamped")
    words = (
        pipeline.read(source, **options).map(str.upper).flat_map(lambda word: [word, word.lower()]).filter(lambda word: word != "X")
    )
    words.key_by(lambda word: word.lower()).process(Stamp()).rebalance().map(lambda pair: pair).write(sink)
    return pipeline


def expected_of(pairs):
    """Return what the sink gets of these (word, time) pairs."""
    return Counter(((word, time), time) for given, time in pairs for word in (given.upper(), given.lower()) if word != "X")


WORDS = [("a", 5), ("b", 3), ("x", 4), ("a", -7), ("c", 10**15)]


@pytest.mark.parametrize("slots", ["inline", pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_timestamps_and_watermarks_reach_the_sink_in_real_workers(slots):
    source = TestSource().stamped(WORDS).watermark(3).stamped(WORDS)

    parallelism = 2 if slots == "inline" else slots
    results = af.run(stamped_words(source, TestSink(), parallelism=1), slots=slots, parallelism=parallelism).results

    arrivals = [element for element in results if isinstance(element, Arrival)]
    assert Counter((arrival.record, arrival.timestamp) for arrival in arrivals) == expected_of(WORDS * 2)
    for subtask in range(parallelism):
        heard = [element.event for element in results if isinstance(element, Heard) and element.subtask == subtask]
        assert heard == [Watermark(3), Watermark(MAX_TIMESTAMP)]


pairs = st.lists(st.tuples(st.sampled_from("abcx"), st.integers(1 - 2**62, 2**62 - 1)), max_size=12)
pieces = st.lists(st.one_of(pairs, st.integers(-100, 100)), max_size=6)


def check_every_record_keeps_its_timestamp(pieces, batch, parallelism, seed):
    """Compare a run of pairs and watermarks with the plain lists."""
    source = TestSource(batch=batch)
    for piece in pieces:
        source = source.watermark(piece) if isinstance(piece, int) else source.stamped(piece)
    sink = TestSink()

    run = run_test(stamped_words(source, sink), parallelism=parallelism, seed=seed)

    assert Counter(run[sink].timed) == expected_of(pair for piece in pieces if isinstance(piece, list) for pair in piece)
    rising = dict.fromkeys(accumulate((piece for piece in pieces if isinstance(piece, int)), max))
    for subtask in range(parallelism):
        heard = [element.event for element in run[sink].elements if isinstance(element, Heard) and element.subtask == subtask]
        assert heard == [Watermark(time) for time in [*rising, MAX_TIMESTAMP]]


@at_length(pieces, st.sampled_from([None, 1, 2, 5]), st.integers(1, 3), st.integers(0, 1_000_000), few=40, many=400)
def test_every_record_keeps_its_timestamp(pieces, batch, parallelism, seed):
    check_every_record_keeps_its_timestamp(pieces, batch, parallelism, seed)
