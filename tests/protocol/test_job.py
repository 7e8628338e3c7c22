"""The life of a job, event by event: the regular one, and being looked at."""

import pytest
from job_harness import (
    CLIENT,
    JOB,
    LIST_SPLITS,
    LISTED,
    MASTER,
    READERS,
    WRITERS,
    allocations,
    committed,
    failing,
    finished,
    granted,
    job,
    job_at,
    opened,
    ready,
    started,
    statuses,
    work,
    worker,
)

from actorflow.errors import InvariantViolated
from actorflow.protocol.jobs.deployment import AttemptState
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import (
    CommitOutput,
    JobProgressed,
    JobStatus,
    JobStatusChanged,
    ProgressReported,
    ResultChunk,
    ResultTaken,
)
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested
from actorflow.protocol.machine import Send
from actorflow.protocol.nodes.slot_messages import SlotsReleased, SlotsRequested

S = JobStatus


def test_a_job_goes_from_waiting_to_finished_and_tells_its_client_of_each_step():
    probe = job()
    probe.tell(Begin())
    assert ([S.WAITING_FOR_SLOTS], [LIST_SPLITS]) == (statuses(probe), work(probe))
    assert [SlotsRequested(JOB, 1, 2, MASTER)] == probe.sent(SlotsRequested)
    probe.tell(LISTED, granted(), *ready())
    assert [S.DEPLOYING] == statuses(probe)
    probe.tell(*opened())
    assert [] == statuses(probe)
    probe.tell(*started())
    assert [S.RUNNING] == statuses(probe)
    probe.tell(*finished())
    assert [S.COMMITTING] == statuses(probe)
    assert {worker(allocation) for allocation in allocations()} == {
        effect.to for effect in probe.effects if isinstance(effect, Send) and isinstance(effect.message, CommitOutput)
    }
    probe.tell(*committed())
    assert [S.FINISHED] == statuses(probe)
    assert [SlotsReleased(JOB, allocations())] == probe.sent(SlotsReleased)
    assert [S.FINISHED] == [over.status for over in probe.reports(JobOver)]


def test_a_job_whose_sinks_prepare_nothing_finishes_without_asking_anyone_to_commit():
    probe = job_at(S.RUNNING)
    probe.tell(*finished(committables=False))
    assert [S.COMMITTING, S.FINISHED] == statuses(probe)
    assert [] == probe.sent(CommitOutput)


def test_a_job_begins_once():
    assert [] == job_at(S.RUNNING).tell(Begin())


def test_readers_are_handed_splits():
    probe = job_at(S.RUNNING)
    probe.tell(*(SplitRequested(reader, 1, 1, worker("w")) for reader in READERS))
    assert [SplitAssigned(READERS[0], 1, 1, 0, b"first"), SplitAssigned(READERS[1], 1, 1, 1, b"second")] == probe.sent()
    probe.tell(SplitFinished(READERS[0], 1, 0), SplitRequested(READERS[0], 1, 2, worker("w")))
    assert [NoMoreSplits(READERS[0], 1, 2)] == probe.sent()


def test_a_reader_that_asks_before_the_splits_are_listed_is_answered_when_they_are():
    probe = job()
    probe.tell(Begin(), granted(), *ready(), *opened(), *started(), SplitRequested(READERS[0], 1, 1, worker("w")))
    assert [] == probe.sent(SplitAssigned)
    probe.tell(LISTED)
    assert [SplitAssigned(READERS[0], 1, 1, 0, b"first")] == probe.sent()


def test_the_client_is_told_the_sums_of_what_the_workers_count():
    probe = job_at(S.RUNNING)
    first, second = allocations()
    probe.tell(ProgressReported(1, first, 10, 1), ProgressReported(1, second, 20, 2), ProgressReported(1, first, 15, 3))
    assert [JobProgressed(JOB, 1, 10, 1), JobProgressed(JOB, 1, 30, 3), JobProgressed(JOB, 1, 35, 5)] == probe.sent()


def test_a_finished_job_still_knows_its_counts():
    probe = job_at(S.RUNNING)
    probe.tell(ProgressReported(1, allocations()[0], 10, 4), *finished(), *committed())
    state = probe.machine.observe()
    assert (S.FINISHED, 10, 4) == (state.status, state.records_in, state.records_out)
    assert JobStatusChanged(JOB, S.FINISHED, 1, None, 10, 4) in probe.sent(JobStatusChanged)


def test_results_are_passed_on_and_acknowledged_when_the_client_has_taken_them():
    probe = job_at(S.RUNNING)
    chunk = ResultChunk(JOB, WRITERS[1], 1, b"records")
    assert [Send(CLIENT, chunk)] == probe.tell(chunk)
    taken = ResultTaken(WRITERS[1], 1)
    assert [Send(worker(allocations()[1]), taken)] == probe.tell(taken)


# --- being looked at --------------------------------------------------------------------------------------------------------


def test_a_job_can_be_looked_at():
    probe = job_at(S.RUNNING)
    probe.tell(finished()[0])
    state = probe.machine.observe()
    assert (JOB, S.RUNNING, 1, None) == (state.job, state.status, state.attempt, state.error)
    assert ("tm-1/tm#0", "tm-1/tm#1") == state.slots
    assert {"read/0": AttemptState.FINISHED, "write/1": AttemptState.RUNNING}.items() <= state.subtasks.items()


def test_check_finds_a_status_that_does_not_fit_the_run():
    probe = job_at(S.RUNNING)
    probe.machine._status = S.FINISHED
    with pytest.raises(InvariantViolated, match="job is finished and holds slots"):
        probe.machine.check()
    probe = failing()
    probe.machine._error = None
    with pytest.raises(InvariantViolated, match="error and status disagree"):
        probe.machine.check()
    probe = job_at(S.WAITING_FOR_SLOTS)
    probe.machine._status = S.CANCELLING
    with pytest.raises(InvariantViolated, match="nothing is left to end"):
        probe.machine.check()
