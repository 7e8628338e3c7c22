"""Watermark alignment: nobody goes further ahead of the slowest than it allows itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import InvariantViolated
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.event_time.alignment import Member, ReaderFinished, WatermarkAlignment, WatermarkAllowed, WatermarkReported
from actorflow.testing.probe import Probe
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP

A, B, C = (SubtaskId(VertexId("source"), index) for index in range(3))
TIMES = "with_timestamps"


class Group(Probe):
    """An alignment of readers, which are told to report."""

    def __init__(self, *subtasks, group="live", drift=10):
        super().__init__(WatermarkAlignment(Member(subtask, TIMES, group) for subtask in subtasks))
        self.numbers = dict.fromkeys(subtasks, 0)
        self.drift = drift

    def report(self, subtask, watermark, *, idle=False, number=None):
        """Have a subtask report; return how far each that was told may go."""
        self.numbers[subtask] += 1
        number = self.numbers[subtask] if number is None else number
        here = Address(f"tm-{subtask.index}/slot")
        self.tell(WatermarkReported(subtask, 1, TIMES, number, watermark, idle, self.drift, here))
        return self.told()

    def finish(self, subtask):
        self.tell(ReaderFinished(subtask))
        return self.told()

    def told(self):
        return {answer.subtask: answer.watermark for answer in self.sent(WatermarkAllowed)}


def test_nobody_goes_ahead_before_all_were_heard_of():
    group = Group(A, B)
    assert group.report(A, MIN_TIMESTAMP) == {A: MIN_TIMESTAMP + 10}
    assert group.report(A, 100) == {A: MIN_TIMESTAMP + 10}


def test_when_the_last_has_begun_all_are_told_at_once():
    group = Group(A, B)
    group.report(A, 100)
    assert group.report(B, 80) == {A: 90, B: 90}


def test_progress_is_told_to_who_reports():
    group = Group(A, B)
    group.report(A, 100)
    group.report(B, 80)
    assert group.report(B, 95) == {B: 105}
    assert group.report(A, 100) == {A: 105}


def test_each_allows_itself_a_drift_of_its_own():
    group = Group(A, B)
    group.report(A, 100)
    group.drift = 50
    assert group.report(B, 100) == {A: 110, B: 150}


def test_the_idle_and_the_ended_hold_nobody_back_and_the_others_hear_of_it_at_once():
    group = Group(A, B, C)
    group.report(A, 100)
    group.report(B, 50)
    group.report(C, 20)
    assert group.report(C, 20, idle=True) == {A: 60, B: 60, C: 60}
    assert group.finish(B) == {A: 110, C: 110}
    assert group.report(C, 30) == {A: 40, C: 40}


def test_when_nobody_counts_there_is_no_limit():
    group = Group(A, B)
    group.report(A, 100)
    group.report(B, 50)
    group.finish(B)
    assert group.report(A, 100, idle=True) == {A: MAX_TIMESTAMP}


def test_groups_have_nothing_to_do_with_each_other():
    probe = Probe(WatermarkAlignment([Member(A, TIMES, "one"), Member(B, TIMES, "other")]))
    probe.tell(WatermarkReported(A, 1, TIMES, 1, 100, False, 10, Address("a")))
    assert [110] == [answer.watermark for answer in probe.sent(WatermarkAllowed)]


def test_what_is_old_or_of_nobody_is_dropped():
    group = Group(A, B)
    group.report(A, 100)
    group.report(B, 50)
    assert group.report(B, 40, number=1) == {}
    assert group.finish(B) == {A: 110}
    assert group.report(B, 60) == {}
    assert group.finish(B) == {}
    assert [] == group.tell(WatermarkReported(C, 1, TIMES, 1, 0, False, 10, Address("c")))
    assert [] == group.tell(WatermarkReported(A, 1, "another", 9, 0, False, 10, Address("a")))


def test_answers_are_numbered_and_tell_the_lead():
    group = Group(A, B)
    group.report(A, 100)
    assert [(1, None)] == [(answer.number, answer.lead_ms) for answer in group.sent(WatermarkAllowed)]
    group.report(B, 80)
    assert {(A, 2, 20), (B, 1, 0)} == {(answer.subtask, answer.number, answer.lead_ms) for answer in group.sent(WatermarkAllowed)}


def test_it_shows_who_is_where():
    group = Group(A, B)
    group.report(A, 100)
    view = group.machine.observe()["live"]
    assert view.slowest == MIN_TIMESTAMP
    assert view.members == {f"{A} {TIMES}": 100, f"{B} {TIMES}": None}


def test_check_finds_one_who_was_answered_and_never_reported():
    group = Group(A, B)
    group.machine._places[A, TIMES].answers = 1
    with pytest.raises(InvariantViolated, match="never reported"):
        group.machine.check()


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.sampled_from([A, B, C]), st.integers(0, 100), st.booleans()),
        st.tuples(st.just("report"), st.sampled_from([A, B, C]), st.integers(0, 100), st.just(False)),
        st.tuples(st.just("end"), st.sampled_from([A, B, C])),
    ),
    max_size=40,
)


def agrees_with_a_naive_look(events):
    group = Group(A, B, C)
    last, ended = dict.fromkeys((A, B, C), (MIN_TIMESTAMP, False)), set()
    for kind, subtask, *rest in events:
        if kind == "end":
            told = group.finish(subtask)
            ended.add(subtask)
        else:
            told = group.report(subtask, rest[0], idle=rest[1])
            if subtask not in ended:
                last[subtask] = tuple(rest)
                assert subtask in told, "every report is answered"
        counting = [watermark for member, (watermark, idle) in last.items() if member not in ended and not idle]
        allowed = min(counting) + 10 if counting else MAX_TIMESTAMP
        assert set(told.values()) <= {allowed}
        assert not set(told) & ended


@given(EVENTS)
def test_what_is_allowed_is_what_a_naive_look_at_all_members_gives(events):
    agrees_with_a_naive_look(events)


@pytest.mark.slow
@settings(max_examples=1000)
@given(EVENTS)
def test_what_is_allowed_is_what_a_naive_look_gives_over_many_examples(events):
    agrees_with_a_naive_look(events)
