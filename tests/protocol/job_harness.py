"""A job of two sources and two sinks on two slots, and what the others say to its JobMaster in each run."""

from actorflow.errors import ErrorInfo, Retry
from actorflow.ids import Address, JobId, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.jobs.deployment import SubtaskCancelled, SubtaskFailed, SubtaskFinished, SubtaskStarted
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_description import JobDescription, Timeouts
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import DeploymentOpened, JobStatus, JobStatusChanged, OutputCommitted, SlotReady
from actorflow.protocol.jobs.job_run import JobRun
from actorflow.protocol.jobs.restarts import FixedDelay
from actorflow.protocol.jobs.splits import ListSplits
from actorflow.protocol.machine import Start, WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import Allocation, Lease, Slot, SlotsGranted
from actorflow.testing.probe import Probe

JOB = JobId("words-1")
MASTER, POOL, TM, CLIENT = Address("jm/job"), Address("jm/slots"), Address("tm-1/tm"), Address("client/c")
READ, WRITE = VertexId("read"), VertexId("write")
READERS = (SubtaskId(READ, 0), SubtaskId(READ, 1))
WRITERS = (SubtaskId(WRITE, 0), SubtaskId(WRITE, 1))
SUBTASKS = READERS + WRITERS
ERROR = ErrorInfo("ValueError", "bad record")
FAILURE = SubtaskFailed(WRITERS[0], 1, ERROR)
HOPELESS = ErrorInfo("PlanError", "it cannot work", retry=Retry.NEVER)
TIMEOUTS = Timeouts(deploy_s=60.0, cancel_s=5.0, commit_s=30.0, commit_again_s=10.0)


def vertex(name, parallelism):
    return Vertex(name, name, (), parallelism, 128, "default", "default")


DESCRIPTION = JobDescription(
    JOB, ExecutionGraph("words", (vertex(READ, 2), vertex(WRITE, 2)), (), ()), {READ: 2}, b"plan", {"a.b": 1}, CLIENT
)


# --- what the others say -----------------------------------------------------------------------------------------------------


def allocations(run=1):
    return (Allocation(f"1.{2 * run - 1}"), Allocation(f"1.{2 * run}"))


def leases(run=1):
    return tuple(Lease(Slot(TM, index), allocation) for index, allocation in enumerate(allocations(run)))


def worker(allocation):
    return Address(f"worker-{allocation}/worker")


def granted(run=1):
    return SlotsGranted(JOB, run, leases(run))


def ready(run=1):
    return [SlotReady(allocation, worker(allocation), (f"ipc://{allocation}",)) for allocation in allocations(run)]


def opened(run=1):
    return [DeploymentOpened(run, allocation) for allocation in allocations(run)]


def started(run=1):
    return [SubtaskStarted(subtask, run) for subtask in SUBTASKS]


def prepared(subtask, run=1):
    return f"{subtask} of run {run}".encode()


def finished(run=1, *, committables=True):
    """All subtasks finish; sinks have prepared something, unless not."""
    return [SubtaskFinished(s, run, prepared(s, run) if committables and s in WRITERS else b"") for s in SUBTASKS]


def cancelled(run=1):
    return [SubtaskCancelled(subtask, run) for subtask in SUBTASKS]


def committed(run=1, error=None):
    return [OutputCommitted(run, allocation, error) for allocation in allocations(run)]


LIST_SPLITS = ListSplits(READ, 2)
LISTED = WorkDone(LIST_SPLITS, [b"first", b"second"])
LISTING_FAILED = WorkFailed(LIST_SPLITS, ERROR)


# --- the machines, at a point of their lives ---------------------------------------------------------------------------------


def run_at(*news, description=DESCRIPTION):
    """A run that has asked for slots and heard this news."""
    run = JobRun(1, description, address=MASTER, resource_manager=POOL, timeouts=TIMEOUTS, previous={})
    probe = Probe(_RunAsMachine(run))
    probe.perform(run.begin())
    probe.tell(*news)
    return probe


class _RunAsMachine:
    """A `JobRun` has one method for each kind of news; a probe calls `handle`."""

    def __init__(self, run):
        self.run = run

    def handle(self, event, now):
        if isinstance(event, str):
            steps = {
                "cancel": lambda: self.run.cancel(now),
                "give back": self.run.give_back,
                "commit": lambda: self.run.output.commit(now),
            }
            return steps[event]()
        name = type(event).__name__
        if name == "TimerFired":
            return self.run.timer(event.name, now)
        if name == "OutputCommitted":
            return self.run.output.committed(event)
        return self.run.subtask_news(event, now) if name.startswith("Subtask") else self.run.slot_news(event, now)

    def check(self):
        self.run.check()


def job(strategy=None, *, machine=JobMachine, description=DESCRIPTION):
    """A job that has not begun. It is run again once, after 2 s."""
    return Probe(
        machine(
            description,
            address=MASTER,
            resource_manager=POOL,
            strategy=strategy or FixedDelay(1, 2.0),
            chances=iter([0.5] * 100),
            timeouts=TIMEOUTS,
        )
    )


def job_at(status, strategy=None):
    """A job in its first run that has come this far in the regular way."""
    probe = job(strategy)
    steps = {
        JobStatus.CREATED: [],
        JobStatus.WAITING_FOR_SLOTS: [Begin(), LISTED, granted()],
        JobStatus.DEPLOYING: [*ready(), *opened()],
        JobStatus.RUNNING: started(),
        JobStatus.COMMITTING: finished(),
        JobStatus.FINISHED: committed(),
    }
    for reached, events in steps.items():
        probe.tell(*events)
        if reached is status:
            break
    assert status is probe.machine.observe().status
    return probe


def statuses(probe):
    """The statuses that the client was told of in the last step."""
    return [changed.status for changed in probe.sent(JobStatusChanged)]


def work(probe):
    """The slow work that was started in the last step."""
    return [effect.work for effect in probe.effects if isinstance(effect, Start)]


def failing(strategy=None):
    """A running job of which one subtask has failed, and the others have been told to end."""
    probe = job_at(JobStatus.RUNNING, strategy)
    probe.tell(FAILURE)
    return probe


def restarted():
    """A job that runs for the second time."""
    probe = failing()
    probe.tell(*cancelled())
    probe.advance(2.0)
    probe.tell(granted(2), *ready(2), *opened(2), *started(2))
    state = probe.machine.observe()
    assert (JobStatus.RUNNING, 2) == (state.status, state.attempt)
    return probe
