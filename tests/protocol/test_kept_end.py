"""The end of a run that no checkpoint holds: it is kept for the next leader before anything is committed, and committed by that one, not run again."""

from dataclasses import replace

from job_harness import (
    DESCRIPTION,
    ERROR,
    LISTED,
    WRITERS,
    allocations,
    committed,
    finished,
    granted,
    job,
    opened,
    prepared,
    ready,
    started,
    statuses,
    work,
    worker,
)

from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.checkpoints.commit import AbortLeft, CommitLeft, KeepEnd, RemoveBegun
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import CommitOutput, JobStatus, JobStatusChanged, ResultChunk, ResultTaken, SlotEnded
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.protocol.jobs.last_commit import LastCommit
from actorflow.protocol.machine import Send, WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import SlotsRequested

KEEPING = replace(DESCRIPTION, keeps_end=True)
END = KeptEnd(1, tuple((writer, prepared(writer)) for writer in WRITERS))
KEPT = WorkDone(KeepEnd(END), None)
RESULT, TAKEN = ResultChunk(DESCRIPTION.job, WRITERS[0], 1, b"r"), ResultTaken(WRITERS[0], 1)


def running():
    probe = job(description=KEEPING)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started())
    return probe


def keeping():
    """A job whose subtasks have all finished."""
    probe = running()
    probe.tell(*finished())
    assert ([JobStatus.COMMITTING], [KeepEnd(END)], []) == (statuses(probe), work(probe), probe.sent(CommitOutput))
    return probe


def test_nobody_is_told_to_commit_before_the_end_is_kept():
    probe = keeping()
    probe.tell(KEPT)
    assert len(allocations()) == len(probe.sent(CommitOutput))
    probe.tell(*committed())
    assert [JobStatus.FINISHED] == statuses(probe)


def test_where_nothing_was_prepared_there_is_nothing_to_keep():
    probe = running()
    probe.tell(*finished(committables=False))
    assert JobStatus.FINISHED is probe.machine.observe().status


def test_it_is_not_kept_before_the_client_has_all_results():
    probe = running()
    probe.tell(RESULT, RESULT, *finished())
    assert [] == work(probe)
    probe.tell(TAKEN)
    assert [] == work(probe)
    probe.tell(TAKEN)
    assert [KeepEnd(END)] == work(probe)


def test_what_a_worker_has_prepared_that_is_lost_meanwhile_is_committed_for_it_when_the_end_is_kept():
    probe = keeping()
    first, second = allocations()
    probe.tell(SlotEnded(first, ERROR))
    assert [] == work(probe)
    probe.tell(KEPT)
    left = [one for one in work(probe) if isinstance(one, CommitLeft)]
    assert [(1, first)] == [(one.run, one.allocation) for one in left]
    told = [effect.to for effect in probe.effects if isinstance(effect, Send) and isinstance(effect.message, CommitOutput)]
    assert [worker(second)] == told
    probe.tell(WorkDone(left[0], None), *committed()[1:])
    assert [JobStatus.FINISHED] == statuses(probe)


def test_what_cannot_be_kept_is_tried_again_as_the_strategy_says_and_removed_when_that_gives_up():
    probe = keeping()
    probe.tell(WorkFailed(KeepEnd(END), ERROR))
    assert [] == work(probe)
    probe.advance(2.0)
    assert [KeepEnd(END)] == work(probe)
    probe.tell(WorkFailed(KeepEnd(END), ERROR))
    assert [JobStatus.FAILED] == statuses(probe)
    assert [AbortLeft(tuple(payload for _, payload in END.prepared))] == work(probe)


def test_late_news_of_what_was_to_be_kept_means_nothing():
    probe = keeping()
    probe.tell(KEPT)
    probe.tell(KEPT)
    assert [] == probe.effects


class TestALeaderAfterTheOneThatDecided:
    def begun(self):
        ended = replace(END, run=1_000_001, records_in=6, records_out=4)
        description = replace(KEEPING, earlier=EarlierLife(last_number=2_000_000, ended=ended))
        probe = job(machine=LastCommit, description=description)
        probe.tell(Begin())
        return probe

    def test_commits_what_that_one_had_decided_and_runs_nothing(self):
        probe = self.begun()
        [left] = work(probe)
        assert (tuple(payload for _, payload in END.prepared), 1_000_001) == (left.committables, left.run)
        assert [] == probe.sent(SlotsRequested)
        probe.tell(WorkDone(left, None))
        [told] = probe.sent(JobStatusChanged)
        assert (JobStatus.FINISHED, 1_000_001, 6, 4) == (told.status, told.attempt, told.records_in, told.records_out)
        assert [] == [one for one in work(probe) if isinstance(one, AbortLeft | RemoveBegun)]

    def test_says_whose_output_it_cannot_commit_in_time(self):
        probe = self.begun()
        probe.advance(30.0)
        [told] = probe.sent(JobStatusChanged)
        assert JobStatus.FAILED is told.status
        assert "output of an earlier leader's workers, which was lost, could not be committed" in told.error.message

    def test_tries_again_what_cannot_be_committed(self):
        probe = self.begun()
        [left] = work(probe)
        probe.tell(WorkFailed(left, ERROR))
        assert JobStatus.COMMITTING is probe.machine.observe().status
        probe.advance(2.0)
        assert [left] == work(probe)
        probe.tell(WorkDone(left, None))
        assert [JobStatus.FINISHED] == statuses(probe)
