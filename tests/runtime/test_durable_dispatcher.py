"""What a Dispatcher that writes down tells of a job whose JobMaster could not go on."""

from actorflow.actor import ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.config import Config
from actorflow.coordination import open_coordination
from actorflow.errors import Domain, ErrorInfo
from actorflow.ids import Address, JobId, NodeId
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.jobs.job_messages import JobStatus, JobStatusChanged, SubmitJob
from actorflow.protocol.machine import ChildEnded, Failed
from actorflow.runtime.jobs.durable_jobs import DurableJobs
from actorflow.runtime.jobs.spawning import spawn_job_manager
from actorflow.wire.user_code import dumps_code

JOB = JobId("wordcount-1")
BROKEN = ErrorInfo("AssertionError", "the JobMaster broke", domain=Domain.INTERNAL)


def test_a_job_whose_master_broke_in_a_later_attempt_is_told_to_have_failed():
    system = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))
    coordination = open_coordination(Config())
    coordination.election.contend(lambda _: None, lambda: None)
    _, dispatcher = spawn_job_manager(system, Config(), jobs=DurableJobs(coordination, 1))
    plan = dumps_code(ExecutionGraph("wordcount", (), (), ()))
    dispatcher.tell_control(SubmitJob(JOB, "wordcount", plan, {}, Address("sim/ear")))
    dispatcher.tell_control(JobStatusChanged(JOB, JobStatus.RUNNING, 5))
    system.dispatcher.run_until_idle()
    dispatcher.tell_control(JobStatusChanged(JOB, JobStatus.RUNNING, 5))
    dispatcher.tell_control(ChildEnded(JOB, Failed(BROKEN)))
    system.dispatcher.run_until_idle()
    assert list(coordination.results.read()) == [JOB]
    assert system.find("/job-manager").actor.observe() == {JOB: "failed"}
