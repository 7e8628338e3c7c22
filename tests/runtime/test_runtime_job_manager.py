"""The Dispatcher, and the slow work of a job."""

import pytest

from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.config import Config
from actorflow.connectors import sinks
from actorflow.connectors.contracts import SinkSpec, TwoPhaseSink
from actorflow.ids import Address, JobId, NodeId, OperatorId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.plan.graph import LogicalOperator
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.checkpoints.commit import AbortLeft, CommitLeft, RemoveBegun
from actorflow.protocol.jobs.job_messages import JobStatus, SubmitJob
from actorflow.protocol.nodes.slot_messages import Allocation, JobEnded
from actorflow.runtime.jobs.job_checkpoint_work import CheckpointWork
from actorflow.runtime.jobs.job_manager import Dispatcher
from actorflow.runtime.jobs.job_planning import JobPlanner
from actorflow.runtime.jobs.job_work import JobWork
from actorflow.wire.user_code import dumps_code


class Ear(Actor):
    """Stands for the ResourceManager and the client: keeps what it hears."""

    def __init__(self, heard):
        super().__init__()
        self.heard = heard

    def on_receive(self, message):
        self.heard.append(message)


class Jobs:
    """A Dispatcher that is given plans that nobody can read."""

    def __init__(self):
        self.system = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))
        self.heard = []
        ear = self.system.spawn(Ear, self.heard, name="ear")
        self.dispatcher = self.system.spawn(Dispatcher, ear, 1_000, name="job-manager")

    def submit(self, job):
        self.dispatcher.tell_control(SubmitJob(JobId(job), job, b"no plan", {}, Address("sim/ear")))
        self.system.dispatcher.run_until_idle()

    def remembered(self):
        return self.system.find("/job-manager").actor.observe()


def test_a_job_that_cannot_be_read_is_told_to_have_failed_and_is_over_once():
    jobs = Jobs()
    jobs.submit("a")
    jobs.submit("a")
    created, failed, ended, told_again = jobs.heard
    assert (JobStatus.CREATED, JobStatus.FAILED, JobEnded(JobId("a"))) == (created.status, failed.status, ended)
    assert failed == told_again
    assert {"a": "failed"} == jobs.remembered()


# --- output that is left to the JobMaster -----------------------------------------------------------------------------------------


class Notes(TwoPhaseSink):
    """Notes in a file what becomes of its output; refuses what starts with `bad`."""

    def __init__(self, path):
        self.path = path

    def open(self, ctx):
        raise AssertionError("the JobMaster writes nothing")

    def commit(self, committables):
        self.note("committed", committables)

    def abort(self, committables):
        self.note("removed", committables)

    def clean_up(self, job_id, attempt):
        self.note("cleaned up", [f"{job_id} {attempt}"])

    def note(self, what, committables):
        for committable in committables:
            if committable.startswith("bad"):
                raise OSError(f"{committable} cannot be {what}")
            with self.path.open("a") as notes:
                notes.write(f"{what} {committable}\n")


def job_work(*sinks):
    """The slow work of a job with these sinks."""
    vertices = tuple(
        Vertex(
            VertexId(f"sink-{n}"),
            "sink",
            (LogicalOperator(OperatorId(f"{n}"), f"{n}", SinkSpec(sink)),),
            1,
            128,
            "default",
            "default",
        )
        for n, sink in enumerate(sinks)
    )
    graph = ExecutionGraph("job", vertices, (), ())
    submission = SubmitJob(JobId("job-1"), "job", b"", {}, Address("client/ear"))
    planner = JobPlanner(submission, graph, Config(), ManualClock(), submission.client, EarlierLife())
    return JobWork(planner, CheckpointWork(JobId("job-1"), graph, None))


@pytest.mark.parametrize(("kind", "what"), [(AbortLeft, "removed"), (CommitLeft, "committed")])
def test_output_that_cannot_be_dealt_with_does_not_keep_the_rest_from_it(kind, what, tmp_path, caplog):
    sink = Notes(tmp_path / "notes")
    left = (
        dumps_code([(sink, ["first"]), None, (sink, ["bad one"]), (sink, ["second"])]),
        dumps_code([(sink, ["bad two"])]),
        dumps_code([(sink, ["third"])]),
    )
    work = AbortLeft(left) if kind is AbortLeft else CommitLeft(1, Allocation("1.1"), left)
    with pytest.raises(OSError, match=f"bad one cannot be {what}"):
        job_work()(work)
    assert [f"{what} {name}" for name in ("first", "second", "third")] == sink.path.read_text().splitlines()
    logged = ["prepared output could not be removed, and stays hidden: OSError: bad one cannot be removed"]
    assert (logged if kind is AbortLeft else []) == caplog.messages


class Stubborn(TwoPhaseSink):
    """Cannot clean up."""

    open = commit = abort = None

    def clean_up(self, job_id, attempt):
        raise OSError(f"run {attempt} stays")


def test_what_killed_workers_have_left_is_removed_at_every_sink_run_by_run(tmp_path, caplog):
    notes = tmp_path / "notes"
    job_work(Stubborn(), Notes(notes), sinks.discard(), Notes(notes))(RemoveBegun((1, 2)))
    assert ["cleaned up job-1 1", "cleaned up job-1 2"] * 2 == notes.read_text().splitlines()
    text = "what killed workers had begun to write could not be removed, and stays hidden: OSError: run {} stays"
    assert [text.format(1), text.format(2)] == caplog.messages
