"""The JobManager's actors: the Dispatcher, which takes jobs, the ResourceManager, and one JobMaster a job.

    /job-manager                    Dispatcher: one JobMaster child for each job
    /job-manager/<job id>           JobMaster: the shell of `protocol.jobs.job.JobMachine`
    /resource-manager               ResourceManager: the shell of `protocol.nodes.registration.ResourceManagerMachine`

One job's failure never touches another: each has its own machine, and its user code runs in processes of its own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from actorflow.actor import Actor, ActorRef, MachineActor
from actorflow.config import Config, options
from actorflow.errors import ErrorInfo, PlanError, describe
from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_board import BoardEvent, JobAccepted, JobBoard, JobBroke, JobRecorded, JobWaits, Memory
from actorflow.protocol.jobs.job_description import Timeouts
from actorflow.protocol.jobs.job_events import Begin, JobOver, RegionRestarting
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    JobProgressed,
    JobsKept,
    JobStatusChanged,
    NodeLost,
    ResultChunk,
    SlotReady,
    SubmitJob,
)
from actorflow.protocol.jobs.last_commit import LastCommit
from actorflow.protocol.jobs.orders import TO_WORKERS
from actorflow.protocol.jobs.restarts import (
    Backoff,
    ByOperator,
    ExponentialDelay,
    FailureRate,
    FixedDelay,
    NoRestart,
    RestartStrategy,
)
from actorflow.protocol.machine import ChildEnded, Ending, Failed, Machine, Report, Send
from actorflow.protocol.nodes.client_messages import (
    AttachClient,
    CheckVersions,
    DescribeEndedJob,
    EndedJobDescribed,
    ListJobs,
    ResultsReceived,
    VersionsChecked,
)
from actorflow.protocol.nodes.slot_messages import JobEnded, JobReleased
from actorflow.protocol.transfer.correspondence import FIRST_LIFE, Correspondence, ReliableMachine
from actorflow.protocol.transfer.delivery import ReliableSender
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.runtime.blobs.server import BlobServer
from actorflow.runtime.jobs.durable_job import DurableJob
from actorflow.runtime.jobs.job_checkpoint_work import CheckpointWork, checkpoint_files
from actorflow.runtime.jobs.job_planning import JobPlanner, supervised
from actorflow.runtime.jobs.job_work import JobWork
from actorflow.runtime.messages import control_codec
from actorflow.wire.message import Message
from actorflow.wire.plain_form import plain_form
from actorflow.wire.user_code import loads_code
from actorflow.wire.versions import differences

log = logging.getLogger(__name__)


def restart_strategy(config: Config, *, goes_on: bool) -> RestartStrategy:
    """Return the strategy that the options describe.

    Args:
        config: the job's options.
        goes_on: whether a restart goes on from a checkpoint. Such a job restarts if the options do not say.
    """
    match config[options.RESTART_STRATEGY] or ("exponential-delay" if goes_on else "none"):
        case "fixed-delay":
            return FixedDelay(config[options.FIXED_DELAY_ATTEMPTS], config[options.FIXED_DELAY])
        case "failure-rate":
            return FailureRate(
                config[options.FAILURE_RATE_MAX], config[options.FAILURE_RATE_INTERVAL], config[options.FAILURE_RATE_DELAY]
            )
        case "exponential-delay":
            return exponential_delay(config)
        case _:
            return NoRestart()


def exponential_delay(config: Config) -> ExponentialDelay:
    """Return the strategy of pauses that grow, as the options describe it."""
    return ExponentialDelay(
        Backoff(
            config[options.EXPONENTIAL_INITIAL_BACKOFF],
            config[options.EXPONENTIAL_MAX_BACKOFF],
            config[options.EXPONENTIAL_MULTIPLIER],
            config[options.EXPONENTIAL_JITTER],
            config[options.EXPONENTIAL_RESET_THRESHOLD],
            config[options.EXPONENTIAL_ATTEMPTS],
        )
    )


Learn = Callable[[NodeId, Sequence[str]], None]
"""Tells the node where another one can be reached."""


class JobMaster(MachineActor):
    """The shell of a `JobMachine`, which has its node learn where the workers are.

    Args:
        machine: decides.
        learn: told of each worker that is ready, before the machine.
        options: see `MachineActor`.
    """

    def __init__(self, machine: Machine, learn: Learn, **options: Any) -> None:
        super().__init__(machine, **options)
        self._learn = learn

    def on_receive(self, message: Any) -> None:
        """Hand the message to the machine."""
        if isinstance(message, SlotReady):
            self._learn(split_address(message.worker)[0], message.endpoints)
        super().on_receive(message)


def is_known(node: NodeId, endpoints: Sequence[str]) -> None:
    """Where JobManager and TaskManager share a node, workers connect to it before they say that they are ready."""


class Dispatcher(Actor):
    """Takes jobs and gives each a JobMaster, which lives until its job is over. Shell of a `JobBoard`, through which clients hear of them.

    Args:
        resource_manager: where the JobMasters get slots.
        message_bytes_max: the largest control message that can be sent.
        learn: see `Learn`.
        memory: of jobs that are over.
        blobs: has the files and the code of jobs; None where everything is in this process, or in messages.
    """

    def __init__(
        self,
        resource_manager: ActorRef,
        message_bytes_max: int,
        learn: Learn = is_known,
        memory: Memory = Memory(),  # noqa: B008 - a frozen value
        blobs: BlobServer | None = None,
    ) -> None:
        super().__init__()
        self._blobs = blobs
        self._resource_manager = resource_manager
        self._message_bytes_max = message_bytes_max
        self._learn = learn
        self._codec = control_codec()
        self._board = JobBoard(self.ctx.address, memory)

    def on_receive(self, message: Any) -> Message | None:
        """Handle a request of a client, the news of a job, or its end."""
        match message:
            case ListJobs():
                return self._board.listed(self.ctx.now())
            case CheckVersions(versions=versions):
                return VersionsChecked(tuple(differences(versions)))
            case CancelJob(job=job):
                if job in self._board.under_way():
                    self._master(job).tell_control(message)
            case NodeLost():
                for job in self._board.under_way():
                    self._master(job).tell_control(message)
                self._note(message)
                if self._blobs is not None:
                    self._blobs.lost(message.node)
            case JobsKept(task_manager=task_manager, jobs=jobs):
                for job in (job for job in jobs if not self._board.is_under_way(job)):
                    self.ctx.system.send(task_manager, JobReleased(job))
            case DescribeEndedJob(job=job):
                return EndedJobDescribed(job, self._board.record(job))
            case JobOver(job=job, state=state):
                self._note(JobRecorded(job, json.dumps(plain_form(state)).encode()))
                self._end(job)
            case RegionRestarting(job=job, error=error, after_s=after_s):
                log.warning(
                    "a part of job %s has failed, and runs again in %g s, the others go on: %s", job, after_s, error.message
                )
            case ChildEnded(name=name, ending=ending):
                self._master_ended(JobId(name), ending)
            case (
                SubmitJob() | AttachClient() | ResultsReceived() | JobStatusChanged() | JobProgressed() | ResultChunk() | JobWaits()
            ):
                self._note(message)
            case _:  # whoever can reach this node can send it any message
                log.warning("the Dispatcher dropped a message that is not for it: '%s'", type(message).__name__)
        return None

    def _note(self, news: BoardEvent) -> None:
        """Tell the board, and perform what it decides."""
        for effect in self._board.handle(news, self.ctx.now()):
            match effect:
                case Send(to, message):
                    self.ctx.system.send(to, message)
                case Report(JobAccepted(submission=submission)):
                    self._begin(submission)
                case _:
                    raise AssertionError(f"a board does not ask for {effect!r}")

    def _master(self, job: JobId) -> ActorRef:
        return self.ctx.system.resolve(f"{self.ctx.path}/{job}")

    def _begin(self, submission: SubmitJob) -> None:
        try:
            machine, work = self._job_machine(submission)
        except Exception as error:
            self._fail(submission.job, describe(error))
            return
        me = self.ctx.ref
        master = self.ctx.spawn(JobMaster, machine, self._learn, work=work, on_report=me.tell_control, name=submission.job)
        self.ctx.watch(master)
        master.tell_control(Begin())

    def _master_ended(self, job: JobId, ending: Ending) -> None:
        """Fail the job of a JobMaster that could not go on, or its client would wait for ever."""
        if isinstance(ending, Failed) and job in self._board.under_way():
            self._fail(job, ending.error)

    def _fail(self, job: JobId, error: ErrorInfo) -> None:
        self._note(JobBroke(job, error))
        self._end(job)

    def _end(self, job: JobId) -> None:
        """Let go of all that a job has held: its plan, its splits, with them the records of collections."""
        self.ctx.stop(job)
        self._resource_manager.tell_control(JobEnded(job))
        self._release(job)

    def _hold(self, submission: SubmitJob) -> None:
        """Keep the blobs of a job until it is over.

        Raises:
            PlanError: if they are not here.
        """
        if self._blobs is not None:
            self._blobs.hold(submission)
        elif submission.blobs:
            raise PlanError(f"job '{submission.job}' has files that it has sent to nobody", hint="submit it by `actorflow.connect`")

    def _release(self, job: JobId) -> None:
        if self._blobs is not None:
            self._blobs.release(job)

    def _job_machine(self, submission: SubmitJob) -> tuple[ReliableMachine, JobWork]:
        self._hold(submission)
        graph: ExecutionGraph = loads_code(submission.plan if self._blobs is None else self._blobs.code_of(submission))
        config = Config.of(submission.options, "job")
        address = Address(f"{self.ctx.address}/{submission.job}")
        earlier, durable = self._lives(submission.job)
        planner = JobPlanner(
            submission, graph, config, self.ctx.system.clock, self.ctx.address, earlier, self._blobs, durable is not None
        )
        description = planner.plan(submission.scale)
        strategy = restart_strategy(config, goes_on=description.checkpoints.active)
        own = {name: exponential_delay(config) for name, one in supervised(graph).items() if one.restart == "exponential"}
        kind = LastCommit if earlier.ended is not None else JobMachine if description.elasticity is None else AdaptiveJobMachine
        machine = kind(
            description,
            address=address,
            resource_manager=self._resource_manager.address,
            strategy=ByOperator(strategy, own) if own else strategy,
            chances=iter(self.ctx.system.luck, None),
            timeouts=Timeouts(
                deploy_s=config[options.SUBTASK_START_TIMEOUT],
                cancel_s=config[options.CANCELLATION_TIMEOUT],
                commit_s=config[options.COMMIT_TIMEOUT],
            ),
        )
        correspondence = Correspondence(
            ReliableSender(address, FIRST_LIFE, self._codec.encode, payload_bytes_max=self._message_bytes_max),
            ReliableReceiver(address, FIRST_LIFE, self._codec.decode),
        )
        files = checkpoint_files(config, submission.job)
        checkpoints = CheckpointWork(submission.job, description.graph, files, earlier.completed)
        work = JobWork(planner, checkpoints, durable)
        return ReliableMachine(machine, correspondence, TO_WORKERS), work

    def _lives(self, job: JobId) -> tuple[EarlierLife, DurableJob | None]:  # noqa: ARG002 - for those whose jobs outlive them
        """Return what a job has done before, and what is written down of it for later."""
        return EarlierLife(), None

    def observe(self) -> dict[str, str]:
        """Return how the jobs are, and how the last ones ended."""
        return self._board.observe()
