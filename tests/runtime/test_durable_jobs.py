"""What a leader writes down of a job, and in what order: nothing is removed that the next leader may need."""

import pytest

from actorflow.clock import ManualClock
from actorflow.config import Config
from actorflow.coordination import CheckpointPointer, open_coordination
from actorflow.errors import CheckpointError, CoordinationError, Deposed, StorageError
from actorflow.ids import Address, JobId, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_events import (
    CollectOrphans,
    CompletedCheckpoint,
    DiscardAll,
    DiscardStates,
    StoreCheckpoint,
)
from actorflow.protocol.checkpoints.commit import KeepEnd, RemoveBegun
from actorflow.protocol.jobs.deployment import FinishedStages, SubtaskFinished
from actorflow.protocol.jobs.job_messages import JobStatus, JobStatusChanged, SubmitJob
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.protocol.jobs.stages import KeepStages
from actorflow.protocol.transfer.partitions import PartitionsAt
from actorflow.runtime.jobs.durable_job import JobOutcome
from actorflow.runtime.jobs.durable_jobs import NUMBERS_LOOKED_AT, NUMBERS_OF_EPOCH, DurableJobs, until_written
from actorflow.runtime.jobs.job_checkpoint_work import CheckpointWork
from actorflow.runtime.jobs.job_planning import JobPlanner
from actorflow.runtime.jobs.job_work import JobWork
from actorflow.runtime.messages import control_codec
from actorflow.storage.checkpoint_files import CheckpointFiles, read_state
from actorflow.wire.manifest import InlineState, Manifest, SubtaskState, encode_manifest, encode_part
from actorflow.wire.message import MessageCodec

JOB = JobId("wordcount-1")
SUBMISSION = SubmitJob(JOB, "wordcount", b"plan", {}, Address("client/ear"))
FINISHED = JobStatusChanged(JOB, JobStatus.FINISHED, 1)


class Leading:
    def __init__(self, directory):
        self.coordination = open_coordination(Config())
        self.coordination.election.contend(lambda _: None, lambda: None)
        self.jobs = DurableJobs(self.coordination, 1)
        self.jobs.put(SUBMISSION)
        self.job = self.jobs.job(SUBMISSION, None)
        self.file = directory / JOB / "chk-1" / "manifest.json"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("whole")
        files = CheckpointFiles(str(directory), JOB, inline_bytes_max=0)
        graph = ExecutionGraph("wordcount", (), (), ())
        planner = JobPlanner(SUBMISSION, graph, Config(), ManualClock(), SUBMISSION.client, self.job.earlier)
        self.work = JobWork(planner, CheckpointWork(JOB, graph, files), self.job)
        self.job.completed(1, str(self.file))

    def depose(self):
        self.coordination.election._fence.epoch = 2

    def pointers(self):
        return [pointer.checkpoint for pointer in self.coordination.checkpoints.read(JOB)]


@pytest.fixture
def leading(tmp_path):
    return Leading(tmp_path)


def test_a_checkpoint_takes_the_place_of_those_that_are_needless(leading):
    for checkpoint in (2, 3):
        leading.job.completed(checkpoint, f"/chk-{checkpoint}")
        leading.job.needless(checkpoint - 1)
    assert leading.coordination.checkpoints.read(JOB) == (CheckpointPointer(3, "/chk-3"),)


def test_one_that_is_whole_after_a_later_one_does_not_take_its_place(leading):
    leading.job.completed(3, "/chk-3")
    leading.job.completed(2, "/chk-2")
    assert leading.pointers() == [1, 2, 3]


def test_when_a_recorded_checkpoint_is_given_up_after_all_the_one_before_it_is_still_recorded(leading):
    leading.work(StoreCheckpoint(2, 1, 0, None, {}))
    assert leading.pointers() == [1, 2]
    leading.work(DiscardStates(2, None, ()))
    assert leading.pointers() == [1]
    assert leading.file.exists()


def test_when_it_is_not_known_whether_a_checkpoint_was_recorded_the_one_before_it_is_still_recorded(leading, monkeypatch):
    record = leading.coordination.checkpoints.record

    def unsure(*arguments):
        record(*arguments)
        raise CoordinationError("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(leading.coordination.checkpoints, "record", unsure)
        with pytest.raises(CoordinationError):
            leading.work(StoreCheckpoint(2, 1, 0, None, {}))
    leading.work(DiscardStates(2, None, ()))
    assert leading.pointers() == [1]


def test_what_is_discarded_is_not_recorded_any_more(leading):
    leading.work(DiscardStates(1, str(leading.file), ()))
    assert leading.pointers() == []
    assert not leading.file.exists()


@pytest.mark.parametrize("work", [DiscardStates(1, None, ()), CollectOrphans(2, ())], ids=["discard", "orphans"])
def test_a_deposed_leader_removes_no_files(leading, work):
    leading.depose()
    if isinstance(work, DiscardStates):
        work = DiscardStates(1, str(leading.file), ())
    with pytest.raises(Deposed):
        leading.work(work)
    assert leading.file.exists()
    assert leading.pointers() == [1]


def test_files_go_when_the_end_is_written_down_and_not_before(leading):
    leading.work(DiscardAll())
    assert leading.file.exists()
    leading.job.end(FINISHED)
    assert not leading.file.exists()
    assert leading.coordination.jobs.read().submissions == {}
    assert [result.dirty for result in leading.coordination.results.read().values()] == [False]


@pytest.mark.parametrize("at_end", [True, False])
def test_what_is_left_hidden_goes_when_the_end_is_written_down_for_the_next_leader_may_commit_it_until_then(
    leading, monkeypatch, at_end
):
    removed = []
    monkeypatch.setattr(leading.work, "_remove_begun", removed.append)
    leading.work(RemoveBegun((1, 2), at_end))
    assert ([] if at_end else [(1, 2)]) == removed
    leading.job.end(FINISHED)
    assert [(1, 2)] == removed


def test_files_that_are_asked_to_go_after_the_end_go_at_once(leading):
    leading.job.end(FINISHED)
    leading.work(DiscardAll())
    assert not leading.file.exists()


def test_a_deposed_leader_ends_no_job(leading):
    leading.depose()
    leading.work(DiscardAll())
    with pytest.raises(Deposed):
        leading.job.end(FINISHED)
    assert leading.file.exists()
    assert list(leading.coordination.jobs.read().submissions) == [JOB]


def test_after_the_end_nothing_is_recorded_any_more(leading):
    leading.job.end(FINISHED)
    with pytest.raises(CheckpointError, match="comes too late"):
        leading.job.completed(2, "/chk-2")
    leading.job.still_led()
    leading.job.needless(1)
    assert leading.pointers() == []


def test_the_next_leader_cleans_up_behind_regions_that_came_back_too(leading):
    manifest = Manifest(JOB, "wordcount", 1, NUMBERS_OF_EPOCH + 2, 0, savepoint=False, version="1", vertices=())
    leading.file.write_bytes(encode_manifest(manifest))
    (job,) = leading.jobs.inherit().jobs
    assert (NUMBERS_OF_EPOCH + 1, NUMBERS_OF_EPOCH + 2, NUMBERS_OF_EPOCH + 3) == job.earlier.runs[:3]
    assert NUMBERS_OF_EPOCH + 2 + NUMBERS_LOOKED_AT == job.earlier.runs[-1]


def test_leaders_that_completed_no_checkpoint_are_cleaned_up_behind_too(leading):
    manifest = Manifest(JOB, "wordcount", 1, NUMBERS_OF_EPOCH + 2, 0, savepoint=False, version="1", vertices=())
    leading.file.write_bytes(encode_manifest(manifest))
    leading.coordination.election._fence.epoch = 5
    (after_checkpoint,) = DurableJobs(leading.coordination, 5).inherit().jobs
    leading.coordination.checkpoints.remove(JOB, 5)
    leading.coordination.election._fence.epoch = 3
    (without,) = DurableJobs(leading.coordination, 3).inherit().jobs
    firsts = [(each - 1) * NUMBERS_OF_EPOCH + 1 for each in range(1, 5)]
    assert [run for run in after_checkpoint.earlier.runs if run in firsts] == firsts[1:]
    assert [run for run in without.earlier.runs if run in firsts] == firsts[:2]
    assert without.earlier.last_number == 2 * NUMBERS_OF_EPOCH
    assert max(without.earlier.runs) <= without.earlier.last_number


def test_the_next_leader_cleans_up_behind_a_job_whose_leader_died_over_it(leading):
    leading.coordination.results.put(JOB, b"no outcome", 1)
    inheritance = leading.jobs.inherit()
    assert inheritance.jobs == ()
    assert "how it ended cannot be read" in str(inheritance.over[0].news.error)
    assert leading.coordination.jobs.read().submissions == {}
    assert leading.pointers() == []


@pytest.mark.parametrize(
    ("status", "retention", "left"),
    [
        (JobStatus.FINISHED, "retain-on-cancellation", False),
        (JobStatus.FAILED, "retain-on-cancellation", True),
        (JobStatus.FAILED, "delete-on-cancellation", False),
    ],
)
def test_it_removes_the_files_that_its_owner_does_not_retain(leading, tmp_path, status, retention, left):
    options = {"execution.checkpointing.dir": str(tmp_path), "execution.checkpointing.externalized-checkpoint-retention": retention}
    leading.jobs.put(SubmitJob(JOB, "wordcount", b"plan", options, Address("client/ear")))
    outcome = MessageCodec((JobOutcome,)).encode(JobOutcome("wordcount", JobStatusChanged(JOB, status, 1)))
    leading.coordination.results.put(JOB, outcome, 1)
    (remembered,) = leading.jobs.inherit().over
    assert remembered.news.status is status
    assert leading.file.exists() == left
    assert [result.dirty for result in leading.coordination.results.read().values()] == [False]


def test_writing_is_tried_until_it_is_known_to_be_written(monkeypatch):
    monkeypatch.setattr("actorflow.runtime.jobs.durable_jobs.WRITE_AGAIN_S", 0.0)
    answers = [CoordinationError("not now"), CoordinationError("not now"), None]

    def write():
        error = answers.pop(0)
        if error is not None:
            raise error

    assert until_written(write, "job")
    assert answers == []


def test_what_a_deposed_leader_writes_is_not_tried_again():
    def write():
        raise Deposed("epoch 1 is over")

    assert not until_written(write, "job")


def test_the_next_leader_finds_the_stages_that_have_finished_and_all_else_as_it_was(leading):
    ended = SubtaskFinished(
        SubtaskId(VertexId("read"), 0),
        1,
        partitions=PartitionsAt("/job/partitions/1-0-0", Address("tm/partitions"), ("tcp://a:1",)),
    )
    finished = FinishedStages((1, 2), (ended,))
    leading.job.rescaled(Scale(3))
    leading.work(KeepStages(finished))
    stored = control_codec().decode(leading.coordination.jobs.read().submissions[JOB])
    assert SUBMISSION.replaced(scale=Scale(3), finished=finished) == stored
    leading.depose()
    with pytest.raises(Deposed):
        leading.work(KeepStages(FinishedStages()))


def test_the_parallelism_of_a_rescaled_job_is_the_next_leaders_too(leading):
    leading.job.rescaled(Scale(3))
    stored = leading.coordination.jobs.read().submissions[JOB]
    assert SUBMISSION.replaced(scale=Scale(3)) == control_codec().decode(stored)


def test_a_job_that_is_over_is_not_stored_again_by_a_late_rescale(leading):
    leading.job.end(FINISHED)
    with pytest.raises(CoordinationError, match="is over"):
        leading.job.rescaled(Scale(3))
    assert () == leading.jobs.inherit().jobs


def test_what_the_last_checkpoint_of_the_leader_before_refers_to_stays_when_one_above_it_is_given_up(tmp_path):
    files = CheckpointFiles(str(tmp_path), JOB, inline_bytes_max=0)
    base = files.write_shared(b"base")
    part = encode_part(SubtaskState(0, InlineState(b"state"), {"layer-0": base}))
    location = files.write_manifest(Manifest(JOB, "wordcount", 1, 1, 0, savepoint=False, version="0.1.0", vertices=()))
    last = CompletedCheckpoint(1, 0, location, {SubtaskId(VertexId("count"), 0): part})
    leader = CheckpointWork(
        JOB, ExecutionGraph("wordcount", (), (), ()), CheckpointFiles(str(tmp_path), JOB, inline_bytes_max=0), [last]
    )
    leader.discard(DiscardStates(2, None, (part,)))
    assert b"base" == read_state(base)
    leader.discard(DiscardStates(1, location, (part,)))
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


END = KeptEnd(1, ((SubtaskId(VertexId("write"), 0), b"prepared"),), 6, 4)


def test_the_next_leader_finds_what_this_one_has_decided_to_commit_whatever_the_checkpoints_are(leading):
    leading.job.rescaled(Scale(3))
    leading.job.ended(END)
    leading.job.rescaled(Scale(4))
    (job,) = leading.jobs.inherit().jobs
    assert (END, ()) == (job.earlier.ended, job.earlier.completed)
    assert Scale(4) == job.submission.scale


def test_a_deposed_leader_decides_no_end(leading):
    leading.depose()
    with pytest.raises(Deposed):
        leading.work(KeepEnd(END))
    assert control_codec().decode(leading.coordination.jobs.read().submissions[JOB]).ended is None


def test_an_end_for_which_there_is_no_room_is_not_tried_for_ever(leading, monkeypatch):
    monkeypatch.setattr("actorflow.runtime.jobs.durable_jobs.WRITE_AGAIN_S", 0.0)

    def full(*_):
        raise StorageError("no space left on device")

    monkeypatch.setattr(leading.coordination.jobs, "put", full)
    with pytest.raises(StorageError):
        leading.work(KeepEnd(END))
