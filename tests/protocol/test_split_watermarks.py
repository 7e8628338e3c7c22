"""The watermark of a subtask with several splits: the smallest of those that are active, and never going back."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import InvariantViolated
from actorflow.protocol.event_time.split_watermarks import (
    NothingCame,
    ReadingInterrupted,
    RecordsCame,
    SplitAdded,
    SplitDone,
    SplitIdle,
    SplitTold,
    SplitWatermarks,
)
from actorflow.testing.probe import Probe
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Active, Idle, Watermark

A, B, C = 0, 1, 2


def splits_of(*numbers, idle_after_ms=None):
    probe = Probe(SplitWatermarks(idle_after_ms))
    probe.tell(*map(SplitAdded, numbers))
    return probe


def test_the_slowest_split_sets_the_watermark():
    probe = splits_of(A, B)
    probe.tell(SplitTold(A, 10), SplitTold(B, 5), SplitTold(A, 20), SplitTold(B, 12))
    assert [Watermark(5), Watermark(12)] == probe.reports()


def test_a_split_that_is_added_holds_the_others_back_until_it_has_caught_up():
    probe = splits_of(A)
    probe.tell(SplitTold(A, 10), SplitAdded(B), SplitTold(A, 20), SplitTold(B, 5))
    assert [Watermark(10)] == probe.reports()
    probe.tell(SplitTold(B, 15))
    assert [Watermark(15)] == probe.reports()


def test_a_split_that_ends_holds_nothing_back():
    probe = splits_of(A, B)
    probe.tell(SplitTold(A, 10), SplitDone(B))
    assert [Watermark(10)] == probe.reports()


def test_the_watermark_stands_still_while_there_is_no_split():
    probe = splits_of(A)
    probe.tell(SplitTold(A, 10), SplitDone(A))
    probe.tell(SplitAdded(B), SplitTold(B, 5))
    assert [] == probe.reports()
    assert 10 == probe.machine.watermark


def test_a_split_that_has_nothing_for_long_enough_is_idle_until_records_come():
    probe = splits_of(A, B, idle_after_ms=100)
    probe.tell(SplitTold(A, 10), NothingCame(B, 1000), NothingCame(B, 1099))
    assert [] == probe.reports()
    assert 1 == probe.machine.idle_in_ms(B)
    probe.tell(NothingCame(B, 1100))
    assert [Watermark(10)] == probe.reports()
    probe.tell(RecordsCame(B), SplitTold(A, 50), SplitTold(B, 20))
    assert [Watermark(20)] == probe.reports()


def test_records_start_the_wait_anew():
    probe = splits_of(A, idle_after_ms=100)
    probe.tell(NothingCame(A, 0), NothingCame(A, 90), RecordsCame(A), NothingCame(A, 110), NothingCame(A, 209))
    assert [] == probe.reports()
    probe.tell(NothingCame(A, 210))
    assert [Idle()] == probe.reports()


def test_time_in_which_a_split_was_not_read_is_no_evidence():
    probe = splits_of(A, idle_after_ms=100)
    probe.tell(NothingCame(A, 0), NothingCame(A, 60), ReadingInterrupted(A), NothingCame(A, 5000), NothingCame(A, 5039))
    assert [] == probe.reports()
    probe.tell(NothingCame(A, 5040))
    assert [Idle()] == probe.reports()


def test_when_all_are_idle_nobody_holds_back_the_highest_in_whatever_order_they_became_it():
    for order in [(A, B), (B, A)]:
        probe = splits_of(A, B)
        probe.tell(SplitTold(A, 10), SplitTold(B, 30), *map(SplitIdle, order))
        assert [Watermark(10), Watermark(30), Idle()] == probe.reports()
        probe.tell(RecordsCame(A))
        assert [Active()] == probe.reports()


def test_a_split_that_has_told_the_last_watermark_is_not_the_end_of_time_for_the_others():
    probe = splits_of(A, B)
    probe.tell(SplitTold(A, 10), SplitIdle(A), SplitTold(B, MAX_TIMESTAMP))
    assert [Watermark(10), Idle()] == probe.reports()
    probe.tell(SplitTold(A, MAX_TIMESTAMP))
    assert [Active(), Watermark(MAX_TIMESTAMP)] == probe.reports()


def test_check_finds_a_watermark_that_stayed_behind():
    splits = SplitWatermarks()
    splits.added(A)
    splits.told(A, 5)
    with pytest.raises(InvariantViolated, match="behind 5"):
        splits.check()


SPLIT = st.sampled_from([A, B, C])
TIMES = st.one_of(st.integers(0, 60), st.just(MAX_TIMESTAMP))
EVENTS = st.one_of(
    st.builds(SplitAdded, SPLIT),
    st.builds(SplitTold, SPLIT, TIMES),
    st.builds(SplitTold, SPLIT, TIMES),
    st.builds(RecordsCame, SPLIT),
    st.builds(NothingCame, SPLIT, st.integers(0, 40)),
    st.builds(NothingCame, SPLIT, st.integers(0, 40)),
    st.builds(ReadingInterrupted, SPLIT),
    st.builds(SplitIdle, SPLIT),
    st.builds(SplitDone, SPLIT),
)


def agrees_with_the_oracle(events):
    probe, oracle, now = Probe(SplitWatermarks(50)), _Oracle(50), 0
    for event in events:
        if isinstance(event, NothingCame):
            now += event.now_ms
            event = NothingCame(event.split, now)
        probe.tell(event)
        assert oracle.take(event) == probe.reports()


@given(st.lists(EVENTS, max_size=60))
def test_the_splits_agree_with_a_naive_oracle(events):
    agrees_with_the_oracle(events)


@pytest.mark.slow
@settings(max_examples=3000)
@given(st.lists(EVENTS, max_size=120))
def test_the_splits_agree_with_a_naive_oracle_over_many_examples(events):
    agrees_with_the_oracle(events)


class _Oracle:
    """Keeps the whole history of each split, and reads everything from it anew after each event."""

    def __init__(self, idle_after_ms):
        self.idle_after_ms = idle_after_ms
        self.histories = {}
        self.merged = MIN_TIMESTAMP
        self.was_idle = False

    def take(self, event):
        if isinstance(event, SplitAdded):
            self.histories.setdefault(event.split, [])
        elif isinstance(event, SplitDone):
            self.histories.pop(event.split, None)
        elif event.split in self.histories:
            self.histories[event.split].append(event)
        if not self.histories:
            return []
        told = {split: self.told(history) for split, history in self.histories.items()}
        going_on = {split for split in told if told[split] < MAX_TIMESTAMP}
        active = {split for split in going_on if not self.is_idle(self.histories[split])}
        idle = bool(going_on) and not active
        candidates = [told[split] for split in active] or [max((told[split] for split in going_on), default=MAX_TIMESTAMP)]
        forwarded = [Active()] if self.was_idle and not idle else []
        if min(candidates) > self.merged:
            self.merged = min(candidates)
            forwarded.append(Watermark(self.merged))
        if idle and not self.was_idle:
            forwarded.append(Idle())
        self.was_idle = idle
        return forwarded

    def told(self, history):
        return max((event.timestamp for event in history if isinstance(event, SplitTold)), default=MIN_TIMESTAMP)

    def is_idle(self, history):
        since = max((place + 1 for place, event in enumerate(history) if isinstance(event, RecordsCame)), default=0)
        recent = [event for event in history[since:] if not isinstance(event, SplitTold)]
        if any(isinstance(event, SplitIdle) for event in recent):
            return True
        waited = sum(
            after.now_ms - before.now_ms
            for before, after in itertools.pairwise(recent)
            if isinstance(before, NothingCame) and isinstance(after, NothingCame)
        )
        return waited >= self.idle_after_ms
