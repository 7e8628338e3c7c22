"""When a buffer is sent, and how large it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import InvariantViolated
from actorflow.protocol.transfer.flush import (
    BufferSizing,
    EventPassing,
    Flush,
    FlushReason,
    FlushRules,
    Lane,
    NodeIdle,
    RecordsBuffered,
    SizeChanged,
    ThroughputMeasured,
)
from actorflow.testing.probe import Probe

A, B = Lane(0), Lane(1)


def test_a_full_buffer_is_sent_at_once():
    rules = FlushRules(100)
    assert [False, True] == [rules.buffered(A, 99, 0.0), rules.buffered(A, 100, 0.0)]


def test_a_half_full_buffer_is_sent_when_its_first_record_has_waited_long_enough():
    probe = Probe(FlushRules(100, timeout_s=0.1))
    probe.tell(RecordsBuffered(A, 1))
    probe.advance(0.05)
    probe.tell(RecordsBuffered(A, 2), RecordsBuffered(B, 1))
    probe.advance(0.05)
    assert [Flush(A, FlushReason.TIMEOUT)] == probe.reports()
    probe.advance(0.05)
    assert [Flush(B, FlushReason.TIMEOUT)] == probe.reports()
    assert {} == probe.timers


def test_a_timeout_of_zero_sends_every_record_and_none_waits_for_a_full_buffer():
    assert FlushRules(100, timeout_s=0).buffered(A, 1, 0.0)
    patient = FlushRules(100, timeout_s=None)
    patient.buffered(A, 1, 0.0)
    assert (None, []) == (patient.deadline, patient.due(1e9))


def test_an_event_sends_what_it_must_not_overtake():
    probe = Probe(FlushRules(100))
    probe.tell(RecordsBuffered(A, 1), RecordsBuffered(B, 1))
    probe.tell(EventPassing((B,)))
    assert [Flush(B, FlushReason.EVENT)] == probe.reports()
    probe.tell(EventPassing())
    assert [Flush(A, FlushReason.EVENT)] == probe.reports()


def test_an_idle_node_sends_what_has_credit():
    probe = Probe(FlushRules(100))
    probe.tell(RecordsBuffered(A, 1))
    probe.tell(NodeIdle((A, B)))
    assert [Flush(A, FlushReason.IDLE)] == probe.reports()
    assert {} == probe.timers


def test_a_full_buffer_takes_the_timer_with_it():
    probe = Probe(FlushRules(10))
    probe.tell(RecordsBuffered(A, 5))
    assert ["flush"] == list(probe.timers)
    probe.tell(RecordsBuffered(A, 10))
    assert {} == probe.timers


def test_flushes_are_counted_by_reason():
    rules = FlushRules(1)
    rules.buffered(A, 1, 0.0)
    assert {FlushReason.FULL: 1} == {reason: count for reason, count in rules.observe().flushes if count}


def test_check_finds_a_lane_out_of_order():
    rules = FlushRules(10)
    rules.buffered(A, 1, 5.0)
    rules.buffered(B, 1, 4.0)
    with pytest.raises(InvariantViolated, match="oldest"):
        rules.check()


@given(
    steps=st.lists(st.tuples(st.sampled_from("rei"), st.integers(0, 3), st.integers(1, 9), st.floats(0.001, 0.2)), max_size=80),
    timeout_s=st.floats(0.01, 0.5),
)
def test_no_record_waits_longer_than_the_timeout(steps, timeout_s):
    probe = Probe(FlushRules(8, timeout_s))
    filled_at, held = {}, {}
    for kind, number, records, pause in steps:
        lane = Lane(number)
        if kind == "r":
            filled_at.setdefault(lane, probe.now)
            held[lane] = held.get(lane, 0) + records
            probe.tell(RecordsBuffered(lane, held[lane]))
        elif kind == "e":
            probe.tell(EventPassing((lane,)))
        else:
            probe.tell(NodeIdle((lane,)))
        sent = probe.reports(Flush)
        probe.advance(pause)
        for flush in sent + probe.reports(Flush):
            filled_at.pop(flush.lane)
            held.pop(flush.lane)
        assert all(since + timeout_s > probe.now for since in filled_at.values())


def test_the_size_makes_what_is_in_flight_take_the_target_time():
    sizing = BufferSizing(target_s=0.1, records_min=1, records_max=10_000)
    assert 2_000 == sizing.measured(100_000, 1.0, 5)
    assert pytest.approx(0.1) == sizing.observe().in_flight_s


def test_a_small_change_is_not_announced():
    sizing = BufferSizing(target_s=0.1, records_min=1, records_max=10_000, threshold=0.25)
    sizing.measured(100_000, 1.0, 5)
    assert [None, 992] == [sizing.measured(100_000, 1.1, 5), sizing.measured(100_000, 1.0, 10)]


def test_a_period_without_work_says_nothing():
    sizing = BufferSizing()
    assert [None, None] == [sizing.measured(0, 1.0, 5), sizing.measured(10, 0.0, 5)]


@given(rate=st.floats(100, 1e7), buffers=st.integers(1, 50))
def test_a_steady_consumer_is_met_within_the_threshold_or_at_a_bound(rate, buffers):
    probe = Probe(BufferSizing(target_s=0.1, records_min=16, records_max=4096, threshold=0.25))
    for _ in range(5):
        probe.tell(ThroughputMeasured(round(rate), 1.0, buffers))
    size = probe.machine.size_records
    in_flight_s = probe.machine.observe().in_flight_s
    assert size in {16, 4096} or 0.1 * 0.7 <= in_flight_s <= 0.1 * 1.4


def test_a_change_of_size_is_reported():
    probe = Probe(BufferSizing(target_s=0.1, records_min=1))
    probe.tell(ThroughputMeasured(1_000, 1.0, 1))
    assert [SizeChanged(100)] == probe.reports()


def test_the_first_size_may_be_smaller_than_the_largest():
    sizing = BufferSizing(target_s=0.1, records_min=1, records_max=10_000, records_first=100)
    assert [100, 10_000] == [sizing.size_records, sizing.measured(1_000_000, 1.0, 5)]
