"""Generated records: what is due, no more and no less, at any reading pace; on a clock that the test moves."""

from connector_harness import read_flat
from hypothesis import given
from hypothesis import strategies as st

from actorflow.clock import ManualClock
from actorflow.connectors import sources
from actorflow.connectors.contracts import END_OF_SPLIT, Pause
from actorflow.connectors.generator import GeneratorReader, GeneratorSplit
from actorflow.wire.batch import ObjectBatch


def reader_at(rate, clock, made=0, count=None):
    return GeneratorReader(GeneratorSplit(0, 1, count, rate), made, None, clock)


def test_without_a_count_it_never_ends_and_says_so():
    source = sources.generator()
    assert not source.bounded
    shares = list(source.splits(3))
    assert [(0, 3), (1, 3), (2, 3)] == [(share.first, share.step) for share in shares]
    assert [1, 4, 7, 10] == source.open(shares[1], None).read(4).records
    assert [10, 13] == source.open(shares[1], 3).read(2).records


def test_a_rate_is_shared_by_the_readers():
    assert [25.0] * 4 == [split.rate for split in sources.generator(rate=100, count=10).splits(4)]
    assert [3, 3, 2, 2] == [split.count for split in sources.generator(rate=100, count=10).splits(4)]


def test_with_a_rate_and_a_count_all_records_come():
    assert list(range(50)) == sorted(read_flat(sources.generator(count=50, rate=1e9), 3))


@given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 50))
def test_the_records_given_are_those_that_are_due(steps_ms, rate):
    clock = ManualClock()
    reader, made, elapsed_ms = reader_at(float(rate), clock), 0, 0
    for step_ms in [0, *steps_ms]:
        clock.advance(step_ms / 1000)
        elapsed_ms += step_ms
        while isinstance(got := reader.read(3), ObjectBatch):
            assert list(range(made, made + len(got))) == got.records
            made += len(got)
        due = elapsed_ms * rate / 1000 + 1
        assert due - 1.001 <= made <= due + 0.001
        assert isinstance(got, Pause)


def test_a_pause_lasts_until_the_next_record_is_due():
    clock = ManualClock()
    reader = reader_at(4.0, clock)
    assert [0] == reader.read(10).records
    pause = reader.read(10)
    assert Pause(0.25) == pause
    clock.advance(pause.seconds)
    assert [1] == reader.read(10).records


def test_going_on_from_a_position_starts_the_clock_anew():
    clock = ManualClock(start_s=50.0)
    reader = reader_at(10.0, clock, made=100, count=102)
    assert [100] == reader.read(10).records
    assert isinstance(reader.read(10), Pause)
    clock.advance(1.0)
    assert [101] == reader.read(10).records
    assert END_OF_SPLIT is reader.read(10)


def test_shares_are_read_at_the_same_time_and_ranges_one_after_the_other():
    assert [True, True, False] == [
        source.partitioned for source in (sources.generator(), sources.generator(count=9, rate=1.0), sources.generator(count=9))
    ]
