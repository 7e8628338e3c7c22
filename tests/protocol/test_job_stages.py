"""Jobs in stages: what is built, started and told where to read, after failures of subtasks, workers and leaders, too."""

import dataclasses

from job_harness import CLIENT, ERROR, JOB, READ, TM, WRITE, job, vertex, work, worker

from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId, VertexId
from actorflow.plan.execution import ExecutionEdge, ExecutionGraph
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.plan.regions import failover_regions
from actorflow.plan.stages import stages
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.jobs.deployment import CancelSubtask, SubtaskCancelled, SubtaskFailed, SubtaskFinished, SubtaskStarted
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import (
    DeploymentOpened,
    DeploySubtask,
    JobStatus,
    OpenDeployment,
    SlotEnded,
    SlotReady,
    WrittenPartitions,
)
from actorflow.protocol.jobs.restarts import FixedDelay
from actorflow.protocol.jobs.splits import ListSplits
from actorflow.protocol.jobs.stages import KeepStages
from actorflow.protocol.machine import WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import Allocation, Lease, Slot, SlotsGranted
from actorflow.protocol.transfer.partitions import PartitionsAt

SORT = VertexId("sort")
READER, SORTERS, WRITER = SubtaskId(READ, 0), (SubtaskId(SORT, 0), SubtaskId(SORT, 1)), SubtaskId(WRITE, 0)
LOST = ErrorInfo("PartitionLost", "it is gone", context={"partition": "read/0"})


# --- stages of a graph ---------------------------------------------------------------------------------------------------------


def edge(index, source, target):
    return ExecutionEdge(index, source, 0, None, target, 0, Partitioner(Partitioning.REBALANCE))


GRAPH = ExecutionGraph(
    "words",
    (vertex(READ, 1), vertex(SORT, 2), vertex(WRITE, 1)),
    (edge(0, READ, SORT), edge(1, SORT, WRITE)),
    (),
    batch=True,
    blocking=True,
)


def test_each_chain_is_a_stage_where_exchanges_are_blocking_and_the_slots_are_those_of_the_widest():
    assert [((READ,), ()), ((SORT,), (READ,)), ((WRITE,), (SORT,))] == [(stage.vertices, stage.reads) for stage in stages(GRAPH)]
    assert [True, True, False] == [stage.lasting for stage in stages(GRAPH)]
    assert 2 == GRAPH.slots_needed()
    assert () == stages(dataclasses.replace(GRAPH, blocking=False))


# --- in a job ------------------------------------------------------------------------------------------------------------------


DESCRIPTION = JobDescription(JOB, GRAPH, {READ: 1}, b"plan", {}, CLIENT, regions=failover_regions(GRAPH), stages=stages(GRAPH))


def allocations(run):
    return (Allocation(f"1.{2 * run - 1}"), Allocation(f"1.{2 * run}"))


def deployed(probe, run=1):
    leases = tuple(Lease(Slot(TM, index), allocation) for index, allocation in enumerate(allocations(run)))
    probe.tell(SlotsGranted(JOB, run, leases))
    probe.tell(*(SlotReady(allocation, worker(allocation), ()) for allocation in allocations(run)))
    return built(probe, run)


def built(probe, run=1):
    """Have all workers build what they were told to; return what they are told to start then."""
    openings = probe.sent(OpenDeployment)
    probe.tell(*(DeploymentOpened(run, opening.allocation) for opening in openings))
    return [order.subtask for order in probe.sent(DeploySubtask)]


def done(probe, *finishing, run=1):
    """Have subtasks start and finish; return what is told to start by that."""
    told = []
    for subtask in finishing:
        probe.tell(SubtaskStarted(subtask, run), SubtaskFinished(subtask, run, partitions=PartitionsAt(f"{subtask} of {run}")))
        told += probe.sent(DeploySubtask)
    return told


def begun(attempts=5):
    probe = job(FixedDelay(attempts, 2.0), description=DESCRIPTION)
    probe.tell(Begin(), WorkDone(ListSplits(READ, 1), [b"split"]))
    assert [READER] == deployed(probe)
    return probe


def status(probe):
    return probe.machine.observe().status


def last_stage():
    """A job whose last stage runs."""
    probe = begun()
    told = done(probe, READER)
    assert [DeploySubtask(s, 1, (WrittenPartitions(READER, PartitionsAt("read/0 of 1")),)) for s in SORTERS] == told
    assert [WRITER] == [order.subtask for order in done(probe, *SORTERS)]
    probe.tell(SubtaskStarted(WRITER, 1))
    return probe


def test_a_job_runs_stage_by_stage_and_commits_in_the_end():
    probe = last_stage()
    assert ["finished", "finished", "running"] == [stage.state for stage in probe.machine.observe().stages]
    assert JobStatus.RUNNING is status(probe)
    probe.tell(SubtaskFinished(WRITER, 1))
    assert JobStatus.FINISHED is status(probe)


def test_a_subtask_that_fails_takes_its_own_stage_back_and_no_other():
    probe = begun()
    done(probe, READER)
    done(probe, SORTERS[0])
    probe.tell(SubtaskStarted(SORTERS[1], 1), SubtaskFailed(SORTERS[1], 1, ERROR))
    assert [] == probe.sent(CancelSubtask)
    probe.advance(2.0)
    assert set(SORTERS) == set(built(probe))
    assert [WRITER] == [order.subtask for order in done(probe, *SORTERS)]


def test_after_the_end_of_a_worker_only_what_had_not_finished_is_built_and_run_again():
    probe = last_stage()
    probe.tell(SlotEnded(allocations(1)[0], ERROR))
    probe.tell(SubtaskCancelled(WRITER, 1))
    assert JobStatus.RESTARTING is status(probe)
    probe.advance(2.0)
    assert [WRITER] == deployed(probe, 2)
    probe.tell(SubtaskStarted(WRITER, 2), SubtaskFinished(WRITER, 2))
    assert JobStatus.FINISHED is status(probe)


def test_of_a_stage_that_had_not_finished_only_the_rest_runs_again_and_comes_back_alone():
    probe = begun()
    done(probe, READER)
    done(probe, SORTERS[0])
    probe.tell(SubtaskStarted(SORTERS[1], 1), SlotEnded(allocations(1)[1], ERROR))
    probe.advance(2.0)
    probe.tell(SlotsGranted(JOB, 2, tuple(Lease(Slot(TM, index), one) for index, one in enumerate(allocations(2)))))
    probe.tell(*(SlotReady(allocation, worker(allocation), ()) for allocation in allocations(2)))
    openings = probe.sent(OpenDeployment)
    assert {SORTERS[1], WRITER} == {subtask for opening in openings for subtask in opening.subtasks}
    probe.tell(*(DeploymentOpened(2, opening.allocation) for opening in openings))
    assert [SORTERS[1]] == [order.subtask for order in probe.sent(DeploySubtask)]
    probe.tell(SubtaskStarted(SORTERS[1], 2), SubtaskFailed(SORTERS[1], 2, ERROR))
    probe.advance(2.0)
    (opening,) = probe.sent(OpenDeployment)
    assert ((SORTERS[1],), 3) == (opening.subtasks, opening.number)
    probe.tell(DeploymentOpened(2, opening.allocation))
    (told,) = done(probe, SORTERS[1], run=2)
    assert [f"{SORTERS[0]} of 1", f"{SORTERS[1]} of 2"] == [read.at.location for read in told.reads]


def test_the_leader_after_one_that_was_lost_has_only_the_rest_run():
    probe = begun()
    done(probe, READER)
    (kept,) = (one for one in work(probe) if isinstance(one, KeepStages))
    done(probe, *SORTERS)
    description = dataclasses.replace(DESCRIPTION, finished=kept.finished, earlier=EarlierLife(last_number=10))
    later = job(description=description)
    later.tell(Begin(), WorkDone(ListSplits(READ, 1), [b"split"]))
    assert set(SORTERS) == set(deployed(later, 11))
    later.tell(SubtaskStarted(SORTERS[0], 11), WorkFailed(kept, ERROR))
    assert JobStatus.DEPLOYING is status(later)


def test_a_lost_partition_fails_the_run_and_the_next_one_writes_it_again():
    probe = last_stage()
    probe.tell(SubtaskFailed(WRITER, 1, dataclasses.replace(LOST, context={"partition": str(SORTERS[1])})))
    assert JobStatus.RESTARTING is status(probe)
    probe.advance(2.0)
    assert set(SORTERS) == set(deployed(probe, 2))
    (told,) = done(probe, *SORTERS, run=2)
    assert [f"{sorter} of 2" for sorter in SORTERS] == [partition.at.location for partition in told.reads]


def test_losses_count_like_other_failures():
    probe = begun(attempts=0)
    done(probe, READER)
    probe.tell(SubtaskStarted(SORTERS[0], 1), SubtaskFailed(SORTERS[0], 1, LOST), SubtaskCancelled(SORTERS[1], 1))
    assert JobStatus.FAILED is status(probe)
