"""Split assignment: nothing lost, nothing doubled."""

import pytest

from actorflow.errors import ErrorInfo, InvariantViolated
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.jobs.splits import (
    ListSplits,
    NoMoreSplits,
    ReaderLost,
    ReaderStarted,
    ResetSplits,
    SourceExhausted,
    SourceListed,
    SourceListingFailed,
    SplitAssigned,
    SplitAssignment,
    SplitFinished,
    SplitRequested,
)
from actorflow.protocol.machine import Start, WorkDone, WorkFailed
from actorflow.testing.probe import Probe

SOURCE = VertexId("text")
R0, R1 = SubtaskId(SOURCE, 0), SubtaskId(SOURCE, 1)
HERE = Address("tm-1/slot")


def assignment(*splits, readers=((R0, 1), (R1, 1))):
    probe = Probe(SplitAssignment(SOURCE, 2))
    probe.tell(*(ReaderStarted(reader, attempt) for reader, attempt in readers))
    if splits:
        probe.tell(WorkDone(ListSplits(SOURCE, 2), list(splits)))
    return probe


def ask(probe, reader, request, attempt=1):
    probe.tell(SplitRequested(reader, attempt, request, HERE))
    return [message.split if isinstance(message, SplitAssigned) else "no more" for message in probe.sent()]


def test_the_splits_are_listed_as_slow_work():
    assert [Start(ListSplits(SOURCE, 2))] == SplitAssignment(SOURCE, 2).start()


def test_a_request_waits_until_the_splits_are_listed():
    probe = assignment()
    assert [] == ask(probe, R0, 1)
    probe.tell(WorkDone(ListSplits(SOURCE, 2), [b"a"]))
    assert [SplitAssigned(R0, 1, 1, 0, b"a")] == probe.sent()
    assert [SourceListed(SOURCE, 1)] == probe.reports()


def test_each_request_gets_the_next_split_and_the_last_ones_are_told_that_there_are_no_more():
    probe = assignment(b"a", b"b")
    assert [[0], [1], ["no more"]] == [ask(probe, R0, 1), ask(probe, R1, 1), ask(probe, R0, 2)]
    assert [NoMoreSplits(R0, 1, 2)] == probe.sent()


def test_a_source_without_splits_is_exhausted_at_once():
    probe = assignment()
    probe.tell(WorkDone(ListSplits(SOURCE, 2), []))
    assert [SourceListed(SOURCE, 0), SourceExhausted(SOURCE)] == probe.reports()
    assert ["no more"] == ask(probe, R0, 1)


def test_the_source_is_exhausted_when_every_split_is_finished():
    probe = assignment(b"a", b"b")
    ask(probe, R0, 1)
    ask(probe, R1, 1)
    probe.tell(SplitFinished(R1, 1, 1))
    assert [] == probe.reports()
    probe.tell(SplitFinished(R0, 1, 0))
    assert [SourceExhausted(SOURCE)] == probe.reports()


def test_the_same_request_again_gets_the_same_split():
    probe = assignment(b"a", b"b")
    assert [[0], [0]] == [ask(probe, R0, 1), ask(probe, R0, 1)]


def test_an_old_request_is_dropped():
    probe = assignment(b"a", b"b")
    ask(probe, R0, 1)
    ask(probe, R0, 2)
    assert [] == ask(probe, R0, 1)


def test_the_unfinished_splits_of_a_lost_reader_are_the_next_to_be_given_out():
    probe = assignment(b"a", b"b", b"c")
    ask(probe, R0, 1)
    ask(probe, R0, 2)
    probe.tell(SplitFinished(R0, 1, 0), ReaderLost(R0, 1))
    assert [1] == ask(probe, R1, 1)


def test_a_lost_attempt_is_heard_no_more_and_the_next_one_is():
    probe = assignment(b"a", b"b")
    ask(probe, R0, 1)
    probe.tell(ReaderLost(R0, 1))
    assert [] == ask(probe, R0, 2)
    assert [] == probe.tell(SplitFinished(R0, 1, 0), ReaderStarted(R0, 1))
    probe.tell(ReaderStarted(R0, 2))
    assert [0] == ask(probe, R0, 1, attempt=2)


def test_a_new_attempt_takes_the_place_of_the_old_one_without_being_told_of_its_loss():
    probe = assignment(b"a", b"b")
    ask(probe, R0, 1)
    probe.tell(ReaderStarted(R0, 2))
    assert [] == probe.tell(ReaderLost(R0, 1))
    assert [[0], [1]] == [ask(probe, R1, 1), ask(probe, R0, 1, attempt=2)]


def test_a_reader_cannot_finish_a_split_of_another():
    probe = assignment(b"a")
    ask(probe, R0, 1)
    assert [] == probe.tell(SplitFinished(R1, 1, 0))
    assert 0 == probe.machine.observe().finished


def test_after_a_reset_everything_is_read_again_by_new_attempts():
    probe = assignment(b"a", b"b")
    ask(probe, R0, 1)
    probe.tell(SplitFinished(R0, 1, 0), ResetSplits())
    assert [] == ask(probe, R0, 2)
    probe.tell(ReaderStarted(R0, 2))
    assert [[0], [1]] == [ask(probe, R0, 1, attempt=2), ask(probe, R0, 2, attempt=2)]


def test_a_source_that_cannot_be_listed_is_reported():
    error = ErrorInfo("SourceError", "no such file")
    probe = assignment()
    probe.tell(WorkFailed(ListSplits(SOURCE, 2), error))
    assert [SourceListingFailed(SOURCE, error)] == probe.reports()


def test_check_finds_a_lost_split():
    probe = assignment(b"a")
    probe.machine._pending.clear()
    with pytest.raises(InvariantViolated, match="lost or doubled"):
        probe.machine.check()


# --- partitions ----------------------------------------------------------------------------------------------------------


def partitions(count, parallelism):
    """Return the probe of a partitioned source that is listed, and its readers."""
    readers = [SubtaskId(SOURCE, index) for index in range(parallelism)]
    probe = Probe(SplitAssignment(SOURCE, parallelism, partitioned=True))
    probe.tell(*(ReaderStarted(reader, 1) for reader in readers))
    probe.tell(WorkDone(ListSplits(SOURCE, parallelism), [b"p"] * count))
    return probe, readers


def ask_for_all(probe, reader, attempt=1, first=1):
    """Ask until there are no more; return the splits."""
    given = []
    while "no more" not in given:
        given += ask(probe, reader, first + len(given), attempt)
    return given[:-1]


@pytest.mark.parametrize(("count", "parallelism"), [(6, 2), (5, 2), (5, 4), (2, 3), (0, 2), (7, 1)])
def test_partitions_are_shared_evenly_whoever_asks_first(count, parallelism):
    probe, readers = partitions(count, parallelism)
    shares = [ask_for_all(probe, reader) for reader in reversed(readers)]

    assert sorted(split for share in shares for split in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_a_reader_has_finished_counts_for_its_share():
    probe, (first, second) = partitions(4, 2)
    ask(probe, first, 1)
    probe.tell(SplitFinished(first, 1, 0))

    assert ask_for_all(probe, first, first=2) == [1]
    assert ask_for_all(probe, second) == [2, 3]


def test_the_partitions_of_a_lost_reader_wait_for_its_next_attempt():
    probe, (first, second) = partitions(4, 2)
    assert ask_for_all(probe, first) == [0, 1]
    probe.tell(ReaderLost(first, 1))

    assert len(ask_for_all(probe, second)) == 2
    probe.tell(ReaderStarted(first, 2))
    assert len(ask_for_all(probe, first, attempt=2)) == 2
    assert probe.machine.observe().pending == ()


def test_check_finds_a_reader_with_more_than_its_share():
    probe, (first, _) = partitions(4, 2)
    ask_for_all(probe, first)
    probe.machine._assigned[probe.machine._pending.popleft()] = first
    with pytest.raises(InvariantViolated, match="more than its share"):
        probe.machine.check()


def test_a_restart_from_a_checkpoint_goes_on_where_each_split_was():
    probe = assignment(b"a", b"b", b"c")
    ask(probe, R0, 1)
    probe.tell(ResetSplits(finished=(1,), positions={2: b"half"}), ReaderStarted(R0, 2), ReaderStarted(R1, 2))
    assert [0] == ask(probe, R0, 1, attempt=2)
    assert b"" == probe.sent()[0].position
    assert [2] == ask(probe, R1, 1, attempt=2)
    assert b"half" == probe.sent()[0].position
    assert ["no more"] == ask(probe, R0, 2, attempt=2)
    probe.tell(SplitFinished(R0, 2, 0))
    assert [] == probe.reports()
    probe.tell(SplitFinished(R1, 2, 2))
    assert [SourceExhausted(SOURCE)] == probe.reports()


def test_what_a_checkpoint_says_holds_too_if_the_splits_are_listed_only_after_it():
    probe = assignment()
    probe.tell(ResetSplits(finished=(0,), positions={1: b"half"}), ReaderStarted(R0, 2))
    probe.tell(WorkDone(ListSplits(SOURCE, 2), [b"a", b"b"]))
    assert [1] == ask(probe, R0, 1, attempt=2)
    assert b"half" == probe.sent()[0].position


def test_the_shares_of_a_partitioned_source_are_of_what_is_left_to_read():
    probe = Probe(SplitAssignment(SOURCE, 2, partitioned=True))
    probe.tell(WorkDone(ListSplits(SOURCE, 2), [b"a", b"b", b"c", b"d"]), ResetSplits(finished=(0, 1)))
    probe.tell(ReaderStarted(R0, 1), ReaderStarted(R1, 1))
    assert [[2], ["no more"], [3], ["no more"]] == [ask(probe, R0, 1), ask(probe, R0, 2), ask(probe, R1, 1), ask(probe, R1, 2)]
