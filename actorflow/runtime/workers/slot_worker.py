"""The slot worker: owns the subtasks of one lease of a slot, supervises them, and speaks for them to the JobMaster.

It serves one run of the job. A region that has failed alone is built again here, with a number of its own, once the actors that it had are gone.

It runs in a process of its own, which is as old as the lease and ends with it (or, inline, in the user's own process). A subtask that fails
is reported; what follows is the JobMaster's decision. What the two tell each other survives a link that breaks (`JobMasterLink`); what the
subtasks send each other does not, so a link to another worker that breaks is a failure.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Any

from actorflow.actor import Actor
from actorflow.config import Config, options
from actorflow.errors import ErrorInfo, TransportError, describe
from actorflow.ids import Address, SubtaskId
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAborted, CheckpointCompleted, TriggerCheckpoint
from actorflow.protocol.event_time.alignment import WatermarkAllowed, WatermarkReported
from actorflow.protocol.jobs.deployment import (
    CancelSubtask,
    SubtaskCancelled,
    SubtaskFailed,
    SubtaskFinished,
    SubtaskStarted,
)
from actorflow.protocol.jobs.job_messages import (
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    LinkBroken,
    NodeLost,
    OpenDeployment,
    OutputCommitted,
    ProgressReported,
    ResultTaken,
    WorkerFailed,
)
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned
from actorflow.protocol.machine import ChildEnded, Failed, TimerFired
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.protocol.nodes.task_manager import EndWorker
from actorflow.protocol.transfer.partitions import PartitionUnreadable
from actorflow.runtime.checkpoints.checkpoint_site import checkpoint_site
from actorflow.runtime.subtasks.split_requests import SplitRequests
from actorflow.runtime.subtasks.subtask import Subtask
from actorflow.runtime.subtasks.viewing import totals_of
from actorflow.runtime.workers.assembly import Assembly, OwnNews
from actorflow.runtime.workers.deployment import Deployment, Part, Site
from actorflow.runtime.workers.directory import subtask_name
from actorflow.runtime.workers.job_master_link import JobMasterLink
from actorflow.runtime.workers.watchdog import Watchdog
from actorflow.transport.addresses import on_this_host
from actorflow.wire.message import Message
from actorflow.wire.user_code import dumps_code, loads_code

_ANNOUNCE_EVERY_S = 1.0

_LINK_REPORT_AFTER_S = 1.0
"""A link also breaks because the worker at its other end died. That is the better report, and on its way: it goes first."""

log = logging.getLogger(__name__)


class SlotWorker(Actor):
    """Builds and owns the subtasks of one deployment.

    Args:
        allocation: its lease.
        site: where it builds.
        on_open: called with the deployment before it is built: the node learns its peers.
        announce: tells the TaskManager that this worker is up; called until there is a deployment.
    """

    def __init__(
        self,
        allocation: Allocation,
        site: Site,
        on_open: Callable[[OpenDeployment], None],
        announce: Callable[[Address], None],
    ) -> None:
        super().__init__()
        self._allocation = allocation
        self._site = site
        self._on_open = on_open
        self._announce = announce
        self._attempt = 0
        self._numbers: list[int] = []
        """Of what it was told to build: the run, and regions that came back."""
        self._room_for: OpenDeployment | None = None  # a region that is to be built when the actors that it had have ended
        self._leaving: dict[str, None] = {}
        self._gone: dict[str, None] = {}  # actors that have ended by themselves
        self._job_master = Address("")
        self._parts: dict[SubtaskId, Part] = {}
        self._peers: frozenset[str] = frozenset()
        """Nodes of the workers of this deployment."""
        self._reported = (0, 0)
        self._report_every_s = math.inf
        self._watchdog: Watchdog | None = None
        self._thread = 0
        self._broken = False

    def on_start(self) -> None:
        """Say that this worker is up. Flush half-full buffers whenever the node would go idle."""
        self._thread = threading.get_ident()
        self._link = JobMasterLink(
            self.ctx, self._site.message_bytes_max, on_message=self._take, on_broken=self._cannot_be_told_or_read
        )
        self._site.system.add_idle_hook(self._flush_idle)
        self._say_it_is_up()

    def on_stop(self) -> None:
        """Close the subtasks that are left."""
        self._site.system.remove_idle_hook(self._flush_idle)
        if self._watchdog is not None:
            self._watchdog.stop()
        for part in self._parts.values():
            part.actor.close()
        if self._site.plane is not None:
            self._site.plane.unregister(self._numbers)

    def _flush_idle(self) -> None:
        for part in self._parts.values():
            if part.vertex.dispatcher == "default":
                part.actor.flush_idle()

    def _watch(self, config: Config) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
        self._watchdog = Watchdog([part.actor for part in self._parts.values()], config[options.WORKER_STUCK_AFTER])
        self._watchdog.start()

    # --- messages --------------------------------------------------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        """Handle one message of the JobMaster, a timer, or the end of a child."""
        if self._link.owns(message):
            self._link.take(message)
        else:
            self._take(message)

    def _take(self, message: Any) -> None:
        """Handle one message. A failure of the worker itself is the job's."""
        try:
            self._handle(message)
        except Exception as error:
            if not self._attempt:
                raise
            self._tell(WorkerFailed(self._attempt, self._allocation, describe(error)))

    def _handle(self, message: Any) -> None:
        match message:
            case OpenDeployment():
                self._open(message)
            case TimerFired(name="progress"):
                self.ctx.set_timer("progress", self._report_every_s)
                if not self._link.busy(self._job_master):
                    self._report_progress()
            case TimerFired(name="announce"):
                self._say_it_is_up()
            case TimerFired(name=node):
                self._report_broken_link(node)
            case LinkBroken(node=node) if node in self._peers:
                self.ctx.set_timer(node, _LINK_REPORT_AFTER_S)
            case LinkBroken() | NodeLost() | PartitionUnreadable():
                for part in self._parts.values():
                    part.misses(message)
            case ChildEnded(name=name) if name in self._leaving:
                del self._leaving[name]
                self._build_if_there_is_room()
            case ChildEnded(name=name, ending=Failed(error)):
                self._gone[name] = None
                self._subtask_broke(name, error)
            case ChildEnded():
                pass  # a subtask tells of its end itself, before it ends
            case ResultTaken(subtask=subtask, attempt=attempt) if attempt == self._attempt:
                self._result_taken(self._parts[subtask])
            case SplitAssigned() | NoMoreSplits() if message.attempt == self._attempt:
                self._splits.answer(message, self._parts[message.subtask])
            case WatermarkAllowed() if message.attempt == self._attempt:
                self._watermark_allowed(message)
            case DeploySubtask(subtask=subtask, attempt=attempt) if attempt == self._attempt and subtask in self._parts:
                self._parts[subtask].begin(message.reads)
            case CancelSubtask(subtask=subtask, attempt=attempt) if attempt == self._attempt:
                self._cancel(subtask)
            case CommitOutput(attempt=attempt, round=number) if attempt == self._attempt:
                self._commit(number)
            case EndWorker():
                self.ctx.finish()
            case TriggerCheckpoint() | CheckpointCompleted() | CheckpointAborted() if message.attempt == self._attempt:
                self._checkpoint_news(message)
            case _:
                log.debug("dropped %r: it is of another attempt than %d", message, self._attempt)

    def _say_it_is_up(self) -> None:
        if not self._attempt:
            self._announce(self.ctx.address)
            self.ctx.set_timer("announce", _ANNOUNCE_EVERY_S)

    def _report_broken_link(self, node: str) -> None:
        error = TransportError(
            f"the connection from {self._site.system.node} to {node} broke, and what was on it is lost",
            hint="'restart-strategy.type' says whether a job tries again",
        )
        self._tell(WorkerFailed(self._attempt, self._allocation, error.info()))

    def _open(self, message: OpenDeployment) -> None:
        if message.number in self._numbers or (self._attempt and message.attempt != self._attempt):
            return  # a worker serves one run; this is the same message again
        self._numbers.append(message.number)
        if not self._attempt:
            self._attempt = message.attempt
            self._job_master = message.job_master
            self._splits = SplitRequests(message.attempt, self.ctx.address, self._tell, self._on_own_thread)
            self._build(message)
            return
        self._room_for = message
        names = {subtask_name(subtask): subtask for subtask in message.subtasks}
        self._leaving = {name: None for name in names if name not in self._gone}
        self._gone = {name: None for name in self._gone if name not in names}
        for name, subtask in names.items():
            self._parts[subtask].actor.abort()  # it has ended; what it had prepared when it finished is prepared again
            self.ctx.stop(name)
        self._build_if_there_is_room()

    def _build_if_there_is_room(self) -> None:
        if not self._leaving and self._room_for is not None:
            message, self._room_for = self._room_for, None
            self._build(message)

    def _build(self, message: OpenDeployment) -> None:
        assembly: Assembly | None = None
        try:
            self._on_open(message)
            self._peers = frozenset(message.endpoints)
            graph: ExecutionGraph = loads_code(self._site.code_of(message))
            deployment = Deployment(
                message.job,
                message.number,
                message.job_master,
                graph,
                Config.of(message.options, "job"),
                message.subtasks,
                dict(zip(graph.subtasks(), message.workers, strict=True)),
                frozenset(node for node, endpoints in message.endpoints.items() if on_this_host(endpoints)),
                dict(message.restored),
                message.quarantined,
                run=message.attempt,
            )
            deployment.replaces(self._numbers[:-1], self._site.plane)
            assembly = Assembly(
                self._site,
                deployment,
                self,
                context=self.ctx,
                ask_split=self._splits.ask,
                split_read=self._splits.read,
                report=self._report,
                checkpoints=checkpoint_site(deployment, self._site, self._tell_from_anywhere),
            )
            self._parts |= assembly.build()
            if self._site.watched:
                self._watch(deployment.config)
        except BaseException as error:
            if assembly is not None:
                assembly.undo()
            blamed = (assembly.failing if assembly is not None else None) or message.subtasks[0]
            self._tell(SubtaskFailed(blamed, message.attempt, describe(error)))
            return
        self._report_every_s = deployment.config[options.WORKER_REPORT_EVERY]
        self.ctx.set_timer("progress", self._report_every_s)
        self._tell(DeploymentOpened(message.attempt, self._allocation))

    def _cancel(self, subtask: SubtaskId) -> None:
        part = self._parts.get(subtask)
        if part is None:
            self._tell(SubtaskCancelled(subtask, self._attempt))  # it could not be built
        else:
            part.actor.post(lambda: self._cancelled(part))

    def _cancelled(self, part: Part) -> None:
        """Close a subtask, on its own thread, and say so."""
        part.actor.close()
        part.actor.abort()
        self._on_own_thread(lambda: self._tell(SubtaskCancelled(part.id, self._attempt, totals_of(part.actor))))

    def _commit(self, number: int) -> None:
        error: ErrorInfo | None = None
        for part in self._parts.values():
            for sink in part.actor.sinks:
                try:
                    sink.commit()
                except BaseException as failure:
                    error = error or describe(failure)
        self._tell(OutputCommitted(self._attempt, self._allocation, error, number))

    def _checkpoint_news(self, news: TriggerCheckpoint | CheckpointCompleted | CheckpointAborted) -> None:
        subtask = self._parts[news.subtask].actor
        checkpoints = subtask.checkpoints
        assert checkpoints is not None, "this job takes checkpoints"
        if subtask.over:  # what it has prepared at its end is committed with the first checkpoint that holds it
            checkpoints.take(news)
        else:
            subtask.post(lambda: checkpoints.take(news))

    def _tell_from_anywhere(self, message: Message) -> None:
        self._on_own_thread(lambda: self._tell(message))

    # --- splits and results ------------------------------------------------------------------------------------------------------

    def _report(self, message: OwnNews) -> None:
        def report() -> None:
            if not isinstance(message, WatermarkReported) or not self._link.busy(self._job_master):  # watermarks are reported again
                self._tell(message)

        self._on_own_thread(report)

    def _watermark_allowed(self, answer: WatermarkAllowed) -> None:
        part = self._parts[answer.subtask]
        source = part.source
        assert source is not None, "only a source reports watermarks"
        part.actor.post_work(lambda: source.allow(answer.operator, answer.number, answer.watermark, answer.lead_ms))

    def _result_taken(self, part: Part) -> None:
        results = part.results
        if results is None:
            return

        def taken() -> None:
            results.taken()
            part.actor.relieved()

        if part.vertex.dispatcher == "default":
            taken()
        else:
            part.actor.post(taken)

    # --- news of subtasks (called on the subtask's thread) ---------------------------------------------------------------------

    def _on_own_thread(self, action: Callable[[], None]) -> None:
        """Run `action` on the worker's thread: at once if this is it, so that a pinned subtask's news cannot mix with others'."""
        if threading.get_ident() == self._thread:
            action()
        else:
            self._site.system.call_soon(action)

    def subtask_started(self, subtask: Subtask) -> None:
        """Tell the JobMaster that a subtask is processing."""
        self._on_own_thread(lambda: self._tell(SubtaskStarted(self._part_of(subtask).id, self._attempt)))

    def subtask_finished(self, subtask: Subtask) -> None:
        """Tell the JobMaster that a subtask has processed all its input, and how far this worker is."""
        part = self._part_of(subtask)
        prepared = [sink.prepared() for sink in subtask.sinks]
        committables = dumps_code(prepared) if any(prepared) else b""
        last_part = subtask.checkpoints.last_part if subtask.checkpoints is not None else (b"", 0)

        def report() -> None:
            self._report_progress()
            self._tell(SubtaskFinished(part.id, self._attempt, committables, *last_part, totals_of(subtask), part.writes))

        self._on_own_thread(report)

    def subtask_failed(self, subtask: Subtask, error: ErrorInfo) -> None:
        """Tell the JobMaster that a subtask cannot go on."""
        self._on_own_thread(lambda: self._tell(SubtaskFailed(self._part_of(subtask).id, self._attempt, error, totals_of(subtask))))

    def _subtask_broke(self, name: str, error: ErrorInfo) -> None:
        """Report a subtask whose actor ended by an error that it could not report itself."""
        part = next(part for part in self._parts.values() if part.actor.ref.path.endswith(f"/{name}"))
        self._tell(SubtaskFailed(part.id, self._attempt, error))

    def _part_of(self, subtask: Subtask) -> Part:
        return next(part for part in self._parts.values() if part.actor is subtask)

    def _report_progress(self) -> None:
        records_in = sum(part.actor.feed.records_in for part in self._parts.values() if part.source is not None)
        records_out = sum(sink.records for part in self._parts.values() for sink in part.actor.sinks)
        if (records_in, records_out) != self._reported:
            self._reported = (records_in, records_out)
            self._tell(ProgressReported(self._attempt, self._allocation, records_in, records_out))

    def _tell(self, message: Message) -> None:
        self._link.tell(self._job_master, message)

    def _cannot_be_told_or_read(self, error: ErrorInfo) -> None:
        """Fail with what cannot be told or read: the JobMaster would wait for it, or has said it in vain."""
        if not self._broken:
            self._broken = True
            self._tell(WorkerFailed(self._attempt, self._allocation, error))
