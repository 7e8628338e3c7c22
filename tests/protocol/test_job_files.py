"""Workers whose job brings files: ready when these are here; and what goes although nobody said that the job is over."""

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.blobs.blob import BlobRef, JobBlobs
from actorflow.protocol.blobs.fetching import BlobsHere, NeedBlobs
from actorflow.protocol.jobs.job_messages import JobsKept, LeaseSlot, NodeLost, SlotEnded, SlotReady, WorkerStarted
from actorflow.protocol.machine import ChildEnded, Done, Report
from actorflow.protocol.nodes.slot_messages import Allocation, JobReleased
from actorflow.protocol.nodes.task_manager import LeaderFound, TaskManagerMachine
from actorflow.testing.probe import Probe

TM, RM, DISPATCHER = Address("tm/task-manager"), Address("jm/resource-manager"), Address("jm/job-manager")
JOB, MASTER = JobId("words"), Address("jm/job-manager/words")
A, B = Allocation("1.1"), Allocation("1.2")
BLOBS = JobBlobs(Address("jm/blob-server"), (BlobRef("0" * 64, 10),))
LEADER = LeaderFound(1, RM, DISPATCHER)
WORKER = Address("w/worker")


def lease(allocation, index, blobs=BLOBS):
    return LeaseSlot(allocation, index, JOB, MASTER, blobs)


def task_manager(*events):
    probe = Probe(TaskManagerMachine(TM, None, slots=2, keep_files_s=60.0))
    probe.tell(LEADER, *events)
    return probe


def test_workers_are_ready_when_they_are_up_and_the_files_are_here_whichever_comes_last():
    probe = task_manager(lease(A, 0), lease(B, 1))
    assert [NeedBlobs(JOB, BLOBS)] * 2 == probe.reports(NeedBlobs)
    probe.tell(WorkerStarted(A, WORKER, ()))
    assert [] == probe.sent(SlotReady)
    probe.tell(BlobsHere(JOB))
    assert [A] == [ready.allocation for ready in probe.sent(SlotReady)]
    probe.tell(WorkerStarted(B, WORKER, ()))
    assert [B] == [ready.allocation for ready in probe.sent(SlotReady)]


def test_a_worker_of_a_job_without_files_is_ready_when_it_is_up():
    probe = task_manager(lease(A, 0, None), WorkerStarted(A, WORKER, ()))
    assert ([A], []) == ([ready.allocation for ready in probe.sent(SlotReady)], probe.reports(NeedBlobs))


def test_a_lease_that_comes_again_asks_for_the_files_again_until_they_are_here():
    probe = task_manager(lease(A, 0))
    probe.tell(lease(A, 0))
    assert [NeedBlobs(JOB, BLOBS)] == probe.reports()
    probe.tell(BlobsHere(JOB))
    assert [] == probe.tell(lease(A, 0))


def test_when_the_files_cannot_be_had_the_workers_end_with_that_as_the_reason():
    probe = task_manager(lease(A, 0), WorkerStarted(A, WORKER, ()))
    probe.tell(BlobsHere(JOB, ErrorInfo("TransportError", "they are gone")), ChildEnded(A, Done()))
    [ended] = probe.sent(SlotEnded)
    assert "was killed: they are gone" in ended.error.message


def test_who_leads_is_told_again_and_again_which_jobs_have_files_here_until_they_are_over():
    probe = task_manager(lease(A, 0))
    assert [] == probe.sent(JobsKept)
    probe.advance(5.0)
    assert [JobsKept(TM, (JOB,))] == probe.sent(JobsKept)
    probe.tell(LeaderFound(2, RM, Address("jm-2/job-manager-2")))
    assert [JobsKept(TM, (JOB,))] == probe.sent(JobsKept)
    assert [Report(JobReleased(JOB))] == probe.tell(JobReleased(JOB))
    probe.advance(5.0)
    assert [] == probe.sent(JobsKept)


def test_without_a_leader_files_go_after_a_while_and_with_another_one_they_stay():
    probe = task_manager(lease(A, 0), NodeLost(NodeId("jm"), "it left"))
    probe.advance(59.0)
    assert [] == probe.reports(JobReleased)
    probe.advance(1.0)
    assert [JobReleased(JOB)] == probe.reports(JobReleased)
    probe = task_manager(lease(A, 0), NodeLost(NodeId("jm"), "it left"), LeaderFound(2, RM, DISPATCHER))
    probe.advance(600.0)
    assert [] == probe.reports(JobReleased)
