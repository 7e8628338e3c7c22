"""The Dispatcher, and the slow work of a job."""

from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.job_messages import JobStatus, SubmitJob
from actorflow.protocol.slots import JobEnded
from actorflow.runtime.job_manager import Dispatcher


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
        self.dispatcher = self.system.spawn(Dispatcher, ear, name="job-manager")

    def submit(self, job):
        self.dispatcher.tell_control(SubmitJob(JobId(job), job, b"no plan", {}, Address("sim/ear")))
        self.system.dispatcher.run_until_idle()

    def remembered(self):
        return self.system.find("/job-manager").actor.observe()


def test_a_job_that_cannot_be_read_is_told_to_have_failed_and_is_over_once():
    jobs = Jobs()
    jobs.submit("a")
    jobs.submit("a")
    changed, ended = jobs.heard
    assert (JobStatus.FAILED, JobEnded(JobId("a"))) == (changed.status, ended)
    assert {"a": "failed"} == jobs.remembered()


def test_only_the_last_jobs_are_remembered(monkeypatch):
    monkeypatch.setattr("actorflow.runtime.job_manager.JOBS_REMEMBERED_MAX", 2)
    jobs = Jobs()
    for job in "abc":
        jobs.submit(job)
    assert {"b": "failed", "c": "failed"} == jobs.remembered()
