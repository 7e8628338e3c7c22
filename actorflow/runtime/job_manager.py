"""The JobManager's actors: the Dispatcher, which takes jobs, the ResourceManager, and one JobMaster a job.

    /job-manager                    Dispatcher: one JobMaster child for each job
    /job-manager/<job id>           JobMaster: the shell of `protocol.job.JobMachine`
    /resource-manager               ResourceManager: the shell of `protocol.slots.SlotPool`

One job's failure never touches another: each has its own machine, and its user code runs in processes of its own.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from actorflow.actor import Actor, ActorRef, ActorSystem, MachineActor
from actorflow.clock import Clock
from actorflow.config import Config, options
from actorflow.connectors.contracts import Sink, SinkSpec, SourceSpec, TwoPhaseSink
from actorflow.errors import ErrorInfo, describe
from actorflow.ids import Address, JobId, SubtaskId, VertexId
from actorflow.operators.failures import call_user
from actorflow.operators.supervise import Supervise
from actorflow.operators.watermarks import TimestampSpec
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.alignment import Member
from actorflow.protocol.checkpoint_events import CollectOrphans, DiscardAll, DiscardClaimed, DiscardStates, StoreCheckpoint
from actorflow.protocol.checkpoint_plan import Restored
from actorflow.protocol.commit import AbortLeft, CommitLeft, RemoveBegun
from actorflow.protocol.correspondence import FIRST_LIFE, Correspondence, ReliableMachine
from actorflow.protocol.delivery import ReliableSender
from actorflow.protocol.job import Begin, JobMachine, JobOver
from actorflow.protocol.job_messages import CancelJob, JobStatus, JobStatusChanged, NodeLost, SubmitJob
from actorflow.protocol.job_run import JobDescription, Timeouts
from actorflow.protocol.leader import DISPATCHER_PATH, RESOURCE_MANAGER_PATH
from actorflow.protocol.machine import ChildEnded, Ending, Failed
from actorflow.protocol.orders import TO_WORKERS
from actorflow.protocol.receipt import ReliableReceiver
from actorflow.protocol.restarts import Backoff, ByOperator, ExponentialDelay, FailureRate, FixedDelay, NoRestart, RestartStrategy
from actorflow.protocol.slots import JobEnded, SlotPool
from actorflow.protocol.splits import ListSplits
from actorflow.runtime.job_checkpoint_work import CheckpointWork, can_go_on, checkpoint_files, checkpoint_plan
from actorflow.runtime.messages import control_codec
from actorflow.wire.user_code import dumps_code, loads_code

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


def _supervised(graph: ExecutionGraph) -> dict[str, Supervise]:
    """Return what users have said about the failures of single operators, by their names."""
    operators = [operator for vertex in graph.vertices for operator in vertex.operators]
    given = {operator.name: getattr(operator.spec, "supervise", None) for operator in operators}
    return {name: supervise for name, supervise in given.items() if supervise is not None}


class JobWork:
    """The slow work of one job, done on the pool: what user code of sources and sinks does on the JobManager.

    Args:
        graph: the execution graph, with user code.
        job: its id.
        checkpoints: stores and discards the job's checkpoints.
        restored: what the first run goes on from: splits that were listed then are not listed again.
    """

    def __init__(self, graph: ExecutionGraph, job: JobId, checkpoints: CheckpointWork, restored: Restored = Restored()) -> None:  # noqa: B008 - a frozen value
        self._graph = graph
        self._job = job
        self._checkpoints = checkpoints
        self._restored = restored

    def __call__(self, work: object) -> object:
        """Do one piece of work and return its result."""
        match work:
            case ListSplits(source=vertex, parallelism=parallelism):
                splits = self._listed(vertex, parallelism)
                self._checkpoints.listed[vertex] = splits
                return splits
            case CommitLeft(committables=left):
                _for_each(left, lambda sink, committables: sink.commit(committables))
            case AbortLeft(committables=left):
                self._abort(left)
            case RemoveBegun(runs=runs):
                self._remove_begun(runs)
            case StoreCheckpoint():
                return self._checkpoints.store(work)
            case DiscardStates():
                self._checkpoints.discard(work)
            case CollectOrphans():
                self._checkpoints.collect_orphans(work)
            case DiscardAll():
                self._checkpoints.discard_all()
            case DiscardClaimed():
                self._checkpoints.discard_claimed(work)
            case _:
                raise AssertionError(f"unknown work {work!r}")
        return None

    @staticmethod
    def _abort(left: Sequence[bytes]) -> None:
        try:
            _for_each(left, lambda sink, committables: sink.abort(committables))
        except BaseException as error:  # the job ends as it would, and nobody waits for this: it is only logged
            log.warning("prepared output could not be removed, and stays hidden: %s", describe(error))
            raise

    def _remove_begun(self, runs: Sequence[int]) -> None:
        specs = [vertex.operators[-1].spec for vertex in self._graph.vertices]
        sinks = [spec.sink for spec in specs if isinstance(spec, SinkSpec) and isinstance(spec.sink, TwoPhaseSink)]
        for sink in sinks:
            for run in runs:
                try:
                    sink.clean_up(self._job, run)
                except BaseException as error:  # as above
                    log.warning(
                        "what killed workers had begun to write could not be removed, and stays hidden: %s", describe(error)
                    )

    def _listed(self, vertex: VertexId, parallelism: int) -> Sequence[bytes]:
        """Return the splits of a source: what was read of them so far is counted by their numbers, so they stay as they were first listed."""
        known = self._restored.listed.get(vertex)
        if known is not None:
            return known
        parallelism = self._restored.listed_for.get(vertex, parallelism)
        splits: list[bytes] = call_user(self._splits, vertex, parallelism, operator=self._name(vertex), subtask="JobMaster")
        return splits

    def _splits(self, vertex: VertexId, parallelism: int) -> list[bytes]:
        spec = self._graph.vertex(vertex).operators[0].spec
        assert isinstance(spec, SourceSpec), "only sources have splits"
        return [dumps_code(split) for split in spec.source.splits(parallelism)]

    def _name(self, vertex: VertexId) -> str:
        return self._graph.vertex(vertex).operators[0].name


def _for_each(left: Sequence[bytes], action: Callable[[TwoPhaseSink, list[Any]], None]) -> None:
    """Commit or abort what `SlotWorker` has packed: for each subtask the sinks and what they have prepared.

    What goes wrong with one does not keep the rest from it.

    Raises:
        BaseException: the first that was raised.
    """
    errors: list[BaseException] = []
    for payload in left:
        entries: list[tuple[Sink, list[Any]] | None] = []
        with _noted(errors):
            entries = loads_code(payload)
        for entry in entries:
            if entry is not None and isinstance(entry[0], TwoPhaseSink):
                with _noted(errors):
                    action(entry[0], entry[1])
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _noted(errors: list[BaseException]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        errors.append(error)


def _description(submission: SubmitJob, graph: ExecutionGraph, config: Config, clock: Clock) -> JobDescription:
    reading = {
        v.id: (v.parallelism, v.operators[0].spec.source) for v in graph.vertices if isinstance(v.operators[0].spec, SourceSpec)
    }
    return JobDescription(
        submission.job,
        graph,
        {vertex: parallelism for vertex, (parallelism, _) in reading.items()},
        dumps_code(_for_workers(graph)),
        submission.options,
        submission.client,
        frozenset(vertex for vertex, (_, source) in reading.items() if source.partitioned),
        tuple(_aligned(graph)),
        checkpoint_plan(config, clock, possible=can_go_on(graph)),
        {name: one.quarantine_after for name, one in _supervised(graph).items() if one.quarantine_after is not None},
        submission.restored,
    )


def _aligned(graph: ExecutionGraph) -> Iterator[Member]:
    """Give the readers of the sources that are aligned with each other."""
    for vertex in graph.vertices:
        for operator in vertex.operators:
            alignment = operator.spec.watermarks.alignment if isinstance(operator.spec, TimestampSpec) else None
            if alignment is not None:
                yield from (
                    Member(SubtaskId(vertex.id, index), operator.name, alignment.group) for index in range(vertex.parallelism)
                )


def _for_workers(graph: ExecutionGraph) -> ExecutionGraph:
    """Return the graph with what only the JobMaster needs taken out of its sources (a collection's records go with the splits)."""
    return replace(graph, vertices=tuple(_slim(vertex) for vertex in graph.vertices))


def _slim(vertex: Vertex) -> Vertex:
    first, *rest = vertex.operators
    if not isinstance(first.spec, SourceSpec):
        return vertex
    return replace(vertex, operators=(replace(first, spec=SourceSpec(first.spec.source.for_readers())), *rest))


JOBS_REMEMBERED_MAX = 1_000
"""How many jobs that are over a Dispatcher remembers, by their status only: a cluster may run jobs for years."""


class Dispatcher(Actor):
    """Takes jobs and gives each a JobMaster, which lives until its job is over.

    Args:
        resource_manager: where the JobMasters get slots.
        message_bytes_max: the largest control message that can be sent.
    """

    def __init__(self, resource_manager: ActorRef, message_bytes_max: int) -> None:
        super().__init__()
        self._resource_manager = resource_manager
        self._message_bytes_max = message_bytes_max
        self._codec = control_codec()
        self._clients: dict[JobId, Address] = {}
        """Of the jobs that are not over."""
        self._over: dict[JobId, JobStatus] = {}
        """How the last jobs ended, oldest first."""

    def on_receive(self, message: Any) -> None:
        """Handle a request of a client, or the end of a job."""
        match message:
            case SubmitJob():
                self._submit(message)
            case CancelJob(job=job):
                if job in self._clients:
                    self._master(job).tell_control(message)
            case NodeLost():
                for job in self._clients:
                    self._master(job).tell_control(message)
            case JobOver(job=job, status=status):
                self._end(job, status)
            case ChildEnded(name=name, ending=ending):
                self._master_ended(JobId(name), ending)
            case _:
                raise AssertionError(f"unknown message {message!r}")

    def _master(self, job: JobId) -> ActorRef:
        return self.ctx.system.resolve(f"{self.ctx.path}/{job}")

    def _submit(self, submission: SubmitJob) -> None:
        if submission.job in self._clients or submission.job in self._over:
            return  # the same message again
        self._clients[submission.job] = submission.client
        try:
            machine, work = self._job_machine(submission)
        except Exception as error:
            self._fail(submission.job, describe(error))
            return
        me = self.ctx.ref
        master = self.ctx.spawn(MachineActor, machine, work=work, on_report=me.tell_control, name=submission.job)
        self.ctx.watch(master)
        master.tell_control(Begin())

    def _master_ended(self, job: JobId, ending: Ending) -> None:
        """Fail the job of a JobMaster that could not go on, or its client would wait for ever."""
        if isinstance(ending, Failed) and job in self._clients:
            self._fail(job, ending.error)

    def _fail(self, job: JobId, error: ErrorInfo) -> None:
        failed = JobStatusChanged(job, JobStatus.FAILED, error=error)
        self.ctx.system.resolve(self._clients[job]).tell_control(failed)
        self._end(job, JobStatus.FAILED)

    def _end(self, job: JobId, status: JobStatus) -> None:
        """Let go of all that a job has held: its plan, its splits, with them the records of collections."""
        del self._clients[job]
        self._over[job] = status
        if len(self._over) > JOBS_REMEMBERED_MAX:
            del self._over[next(iter(self._over))]
        self.ctx.stop(job)
        self._resource_manager.tell_control(JobEnded(job))

    def _job_machine(self, submission: SubmitJob) -> tuple[ReliableMachine, JobWork]:
        graph: ExecutionGraph = loads_code(submission.plan)
        config = Config.of(submission.options, "job")
        address = Address(f"{self.ctx.address}/{submission.job}")
        description = _description(submission, graph, config, self.ctx.system.clock)
        strategy = restart_strategy(config, goes_on=description.checkpoints.active)
        own = {name: exponential_delay(config) for name, one in _supervised(graph).items() if one.restart == "exponential"}
        machine = JobMachine(
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
        checkpoints = CheckpointWork(submission.job, graph, checkpoint_files(config, submission.job))
        work = JobWork(graph, submission.job, checkpoints, submission.restored)
        return ReliableMachine(machine, correspondence, TO_WORKERS), work

    def observe(self) -> dict[str, str]:
        """Return how the last jobs ended, and which are under way; how far these are their JobMasters know."""
        over: dict[str, str] = {job: status.value for job, status in self._over.items()}
        return over | dict.fromkeys(self._clients, "under way")


def spawn_job_manager(system: ActorSystem, config: Config, *, message_bytes_max: int = 1 << 30) -> tuple[ActorRef, ActorRef]:
    """Start ResourceManager and Dispatcher on a node; return their refs in this order.

    Args:
        system: the node's actors.
        config: the node's options.
        message_bytes_max: the largest control message that the node can send.
    """
    pool = SlotPool(request_timeout_s=config[options.SLOT_REQUEST_TIMEOUT])
    resource_manager = system.spawn(MachineActor, pool, name=RESOURCE_MANAGER_PATH[1:])
    dispatcher = system.spawn(Dispatcher, resource_manager, message_bytes_max, name=DISPATCHER_PATH[1:])
    return resource_manager, dispatcher
