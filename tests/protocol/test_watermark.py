"""The merged watermark: the smallest of the channels that count, and never going back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import InvariantViolated
from actorflow.ids import ChannelId
from actorflow.protocol.event_time.watermark import ChannelTold, WatermarkMerge
from actorflow.testing.probe import Probe
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Active, EndOfInput, Idle, Watermark

A, B, C = ChannelId(0), ChannelId(1), ChannelId(2)


def test_the_merged_watermark_waits_for_every_channel():
    merge = WatermarkMerge([A, B])
    assert [None, 5] == [merge.advance(A, 10), merge.advance(B, 5)]


def test_the_merged_watermark_follows_the_slowest_channel():
    merge = WatermarkMerge([A, B])
    merge.advance(A, 10)
    merge.advance(B, 5)
    assert [None, 10, None] == [merge.advance(A, 20), merge.advance(B, 10), merge.advance(A, 30)]


def test_a_watermark_that_goes_back_is_dropped():
    merge = WatermarkMerge([A])
    merge.advance(A, 10)
    assert [None, None] == [merge.advance(A, 10), merge.advance(A, 9)]
    assert 10 == merge.watermark


def test_an_idle_channel_holds_nothing_back():
    merge = WatermarkMerge([A, B])
    merge.advance(A, 10)
    assert 10 == merge.idle(B)


def test_when_the_last_channel_goes_idle_the_watermark_moves_to_the_highest_told():
    merge = WatermarkMerge([A, B])
    merge.advance(A, 10)
    merge.advance(B, 5)
    assert [None, 10] == [merge.idle(A), merge.idle(B)]
    assert merge.all_idle


def test_a_channel_that_wakes_up_behind_does_not_hold_the_others_back():
    merge = WatermarkMerge([A, B])
    merge.idle(B)
    merge.advance(A, 100)
    merge.active(B)
    assert [None, 110] == [merge.advance(B, 50), merge.advance(A, 110)]


def test_a_channel_that_caught_up_counts_again():
    merge = WatermarkMerge([A, B])
    merge.idle(B)
    merge.advance(A, 100)
    merge.active(B)
    merge.advance(B, 100)
    assert [None, 120] == [merge.advance(A, 150), merge.advance(B, 120)]


def test_an_ended_channel_holds_nothing_back_and_the_last_one_ends_time():
    merge = WatermarkMerge([A, B])
    merge.advance(A, 10)
    assert [10, MAX_TIMESTAMP] == [merge.ended(B), merge.ended(A)]
    assert not merge.all_idle


def test_the_end_of_some_channels_and_idleness_of_the_rest_is_not_the_end_of_time():
    merge = WatermarkMerge([A, B])
    merge.advance(B, 7)
    assert [7, None] == [merge.ended(A), merge.idle(B)]
    assert merge.all_idle


def test_the_last_watermark_of_a_channel_is_its_end_and_not_that_of_time():
    merge = WatermarkMerge([A, B, C])
    merge.advance(A, 10)
    merge.idle(B)
    merge.advance(C, 7)
    assert [10, None] == [merge.advance(C, MAX_TIMESTAMP), merge.idle(A)]
    assert merge.all_idle
    merge.active(A)
    assert [None, MAX_TIMESTAMP] == [merge.advance(A, MAX_TIMESTAMP), merge.advance(B, MAX_TIMESTAMP)]


def test_what_an_ended_channel_says_is_dropped():
    merge = WatermarkMerge([A, B])
    merge.ended(A)
    assert [None, None, None] == [merge.advance(A, 5), merge.idle(A), merge.active(A)]


def test_the_subtask_forwards_idleness_once_and_activity_before_the_watermark():
    probe = Probe(WatermarkMerge([A, B]))
    probe.tell(ChannelTold(A, Watermark(10)), ChannelTold(A, Idle()), ChannelTold(B, Idle()), ChannelTold(B, Idle()))
    assert [Watermark(10), Idle()] == probe.reports()
    probe.tell(ChannelTold(B, Active()), ChannelTold(B, Watermark(12)))
    assert [Active(), Watermark(12)] == probe.reports()
    probe.tell(ChannelTold(B, EndOfInput()))
    assert [Idle()] == probe.reports()


def test_check_finds_a_watermark_that_ran_ahead():
    merge = WatermarkMerge([A])
    merge.watermark = 5
    with pytest.raises(InvariantViolated, match="not the smallest"):
        merge.check()


EVENTS = st.one_of(
    st.builds(Watermark, st.integers(0, 50)),
    st.just(Idle()),
    st.just(Active()),
    st.sampled_from([EndOfInput(), Watermark(60), Watermark(MAX_TIMESTAMP)]),
)


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), EVENTS), max_size=80))
def test_the_merge_agrees_with_a_naive_oracle(told):
    merge = WatermarkMerge([A, B, C])
    oracle = _Oracle([A, B, C])
    for channel, event in told:
        forwarded = merge.take(channel, event)
        merge.check()
        assert oracle.take(channel, event) == forwarded


class _Oracle:
    """The rules of the module docstring, word by word, computed from scratch after each event."""

    def __init__(self, channels):
        self.told = dict.fromkeys(channels, MIN_TIMESTAMP)
        self.idle = dict.fromkeys(channels, False)
        self.ended = dict.fromkeys(channels, False)
        self.lagging = dict.fromkeys(channels, False)
        self.merged = MIN_TIMESTAMP
        self.was_idle = False

    def take(self, channel, event):
        if not self.ended[channel]:
            match event:
                case Watermark(timestamp) if timestamp == MAX_TIMESTAMP:
                    self.ended[channel] = True
                case Watermark(timestamp):
                    self.told[channel] = max(self.told[channel], timestamp)
                case Idle():
                    self.idle[channel], self.lagging[channel] = True, False
                case Active():
                    if self.idle[channel]:
                        self.idle[channel] = False
                        self.lagging[channel] = self.told[channel] < self.merged
                case EndOfInput():
                    self.ended[channel] = True
        if self.told[channel] >= self.merged:
            self.lagging[channel] = False
        still_open = [each for each in self.told if not self.ended[each]]
        active = [each for each in still_open if not self.idle[each]]
        counting = [self.told[each] for each in active if not self.lagging[each]]
        all_idle = bool(still_open) and not active
        if counting:
            merged = min(counting)
        elif all_idle:
            merged = max(self.told[each] for each in still_open)
        else:
            merged = MAX_TIMESTAMP if not still_open else self.merged
        out = []
        if self.was_idle and not all_idle:
            out.append(Active())
        if merged > self.merged:
            self.merged = merged
            out.append(Watermark(merged))
        if all_idle and not self.was_idle:
            out.append(Idle())
        self.was_idle = all_idle
        return out
