"""The embedded cluster: JobManager and TaskManagers live in this process, slots are child processes, or actors in this very thread.

It is the same system as any other cluster: the same actors, machines and messages. With `slots="inline"` nothing leaves the calling
thread, so that `pdb` and coverage work; `wait` is what runs it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self
from weakref import WeakValueDictionary

from actorflow.actor import ActorContext, ActorRef, ActorSystem, prompt_switches
from actorflow.clock import SystemClock
from actorflow.cluster.interrupt import Interruptible
from actorflow.cluster.job import Job
from actorflow.cluster.job_directories import JobDirectories
from actorflow.cluster.job_news import JobNews
from actorflow.cluster.starting import ClaimMode
from actorflow.cluster.submitting import Desk, Submittable, Wait, planned
from actorflow.config import Config, layered, load, options, overrides
from actorflow.errors import ConfigError, NotEnoughSlots
from actorflow.ids import Address, JobId, NodeId, unique_suffix
from actorflow.inspection.facts import JobFacts
from actorflow.protocol.jobs.job_follower import DispatcherFound
from actorflow.protocol.jobs.job_messages import NodeLost, WorkerStarted
from actorflow.protocol.nodes.task_manager import WorkerRecipe
from actorflow.rest.listening import rest_ports
from actorflow.runtime.channels.loopback import LoopbackPlane
from actorflow.runtime.jobs.spawning import spawn_job_manager
from actorflow.runtime.nodes.node_desk import NODE_DESK_PATH, NodeDesk
from actorflow.runtime.subtasks.context import AsyncHome, AsyncThread
from actorflow.runtime.subtasks.virtual_async import VirtualAsync
from actorflow.runtime.workers.deployment import Site
from actorflow.runtime.workers.slot_worker import SlotWorker
from actorflow.runtime.workers.task_manager import Launch, spawn_task_manager
from actorflow.state.backends import local_directories
from actorflow.state.directories import remove_leftovers
from actorflow.transport.limits import TransportLimits

if TYPE_CHECKING:
    from actorflow.cluster.fork_server import ForkServer
    from actorflow.cluster.node import Node
    from actorflow.cluster.slot_process import SlotProcesses
    from actorflow.inspection.cluster_view import ClusterView
    from actorflow.rest.server import RestServer

Slots = int | Literal["inline"] | None
"""How many slots, or `inline`: everything in the calling thread. None: as the options say, else what the job needs."""


_INLINE_SLOTS = 1024
"""Slots of an inline TaskManager: they are no processes, and cost nothing."""

_CANCEL_S = 2.0
"""How long jobs that still run when the cluster is closed may take to end; then their processes are killed."""


class LocalCluster:
    """A cluster in this process.

    Args:
        task_managers: how many TaskManagers.
        slots: slots of each, or `inline`.
        config: options by name; they go before the environment's.
        system: runs everything in the calling thread, like `inline`, but on these actors: simulated ones, with virtual time.
        server: starts its processes; by default one of its own. It is closed with the cluster.

    Raises:
        ConfigError: if an option is unknown or malformed, or leaves a slot too little memory.
    """

    def __init__(
        self,
        *,
        task_managers: int = 1,
        slots: Slots = None,
        config: Mapping[str, object] | Config | None = None,
        system: ActorSystem | None = None,
        server: ForkServer | None = None,
    ) -> None:
        given = config if isinstance(config, Config) else Config.of(config or {}, "config")
        self.config = layered(load(), given, overrides())
        self.inline = slots == "inline" or system is not None
        self.slots = slots_given(slots, self.config)
        self._closed = False
        self._jobs: list[Job] = []
        self._node: Node | None = None
        self._processes: SlotProcesses | None = None
        self._rest: RestServer | None = None
        self._state_directories: dict[Path, None] = {}
        """Where the workers of its jobs make directories for their state."""
        self._removing = threading.Lock()
        self._backups = JobDirectories("backup")
        self._caches = JobDirectories("cache")
        if self.inline:
            self.system = system or ActorSystem(NodeId("inline"), clock=SystemClock(), io=None)
            self._async_home: AsyncHome = VirtualAsync(self.system) if self.system.simulated else AsyncThread()
            self._launch: Launch = self._launch_inline
        else:
            self._start_node(server)
        self._planes: WeakValueDictionary[JobId, LoopbackPlane] = WeakValueDictionary()
        """Of each inline job, for as long as any of its workers lives."""
        limits = TransportLimits(unsent_bytes_max=self.config[options.UNSENT_BYTES_MAX])
        resource_manager, self._dispatcher = spawn_job_manager(self.system, self.config, message_bytes_max=limits.message_bytes_max)
        self.system.spawn(NodeDesk, self.config, name=NODE_DESK_PATH[1:])
        self._desk = Desk(self.system, _LocalGateway(self.system, self._dispatcher), self._waiting)
        self._resource_manager = resource_manager.address
        offered = _INLINE_SLOTS if slots == "inline" else self.slots
        self._slots_max = offered * task_managers
        for number in range(1, task_managers + 1):
            name = f"task-manager-{number}"
            spawn_task_manager(self.system, resource_manager.address, self._launch, name=name, slots=offered, config=self.config)
        if not self.inline:
            self._tell_of_lost_nodes()
            self.system.start()
        if rest_ports(self.config):
            self._rest = self._serve()

    # --- slots -------------------------------------------------------------------------------------------------------------------

    def _start_node(self, server: ForkServer | None) -> None:
        from actorflow.cluster.fork_server import ForkServer
        from actorflow.cluster.node import Node
        from actorflow.cluster.slot_process import SlotProcesses, check_memory

        check_memory(self.config, self.slots)
        server = server or ForkServer.start()
        node = self._node = Node(NodeId(f"local-{unique_suffix()}"), self.config, server.directory)
        self.system = node.system
        arguments = {
            "endpoints": node.endpoint.endpoints,
            "directory": str(server.directory),
            "settings": self.config.plain(),
        }
        self._processes = SlotProcesses(
            self.system, server, arguments, self._backups.path_of, self._caches.path_of, self._remove_state
        )
        self._launch = self._processes.launch

    def _tell_of_lost_nodes(self) -> None:
        assert self._node is not None, "who runs in one process loses no nodes"
        self._node.endpoint.on_peer_lost.append(lambda node, reason: self._dispatcher.tell_control(NodeLost(node, reason)))

    def _launch_inline(self, context: ActorContext, name: str, recipe: WorkerRecipe) -> ActorRef:
        plane = self._planes.setdefault(recipe.job, LoopbackPlane(self.system))
        site = Site(
            self.system,
            plane,
            self._async_home,
            watched=False,
            backup=self._backups.path_of(recipe.job),
            cache=self._caches.path_of(recipe.job),
        )

        def announce(worker: Address) -> None:
            context.ref.tell_control(WorkerStarted(recipe.allocation, worker, ()))

        return context.spawn(SlotWorker, recipe.allocation, site, lambda _: None, announce, name=name)

    def look(self, *, allow_write: bool = False) -> ClusterView:
        """Return a view of the living cluster: its actors by path, what they do, who holds a job up.

        Args:
            allow_write: whether it may also tell and ask operators things.
        """
        from actorflow.inspection.cluster_view import ClusterView

        leader = self._dispatcher.address, self._resource_manager
        return ClusterView(self.system, lambda: leader, allow_write=allow_write)

    def _serve(self) -> RestServer:
        from actorflow.rest.server import RestServer

        try:
            server = RestServer(self.config)
        except BaseException:
            self._free()
            raise
        server.lead(self.look())
        return server

    @property
    def rest_url(self) -> str | None:
        """Where the REST server answers; None if `rest.port` is not set."""
        return self._rest.url if self._rest is not None else None

    # --- jobs --------------------------------------------------------------------------------------------------------------------

    def submit(
        self,
        pipeline: Submittable,
        *,
        parallelism: int | None = None,
        from_savepoint: str | os.PathLike[str] | None = None,
        allow_non_restored_state: bool = False,
        claim_mode: ClaimMode = "no-claim",
    ) -> Job:
        """Start a job.

        Args:
            pipeline: what to run; maybe planned before.
            parallelism: subtasks of operators that do not say, in pipelines that do not say.
            from_savepoint: the directory of a savepoint, or of a retained checkpoint, that it goes on from.
            allow_non_restored_state: whether state there that no operator takes may be left behind.
            claim_mode: `claim` has the job remove the savepoint once it does not need it any more.

        Raises:
            PlanError: if it cannot run as it is written.
            CheckpointError: if there is no such savepoint, it is damaged, or it does not fit.
            IncompatibleState: if the type of a state has changed in a way that it cannot be read.
            NotEnoughSlots: if it needs more than the cluster has.
        """
        submission, config = planned(
            pipeline,
            self.config,
            parallelism=parallelism,
            slots=self.slots,
            from_savepoint=from_savepoint,
            allow_non_restored_state=allow_non_restored_state,
            claim_mode=claim_mode,
        )
        needed = submission.execution.slots_needed()
        if needed > self._slots_max:  # and no more will ever come: there is nothing to wait for
            raise NotEnoughSlots(
                f"job '{submission.graph.name}' needs {needed} slots, this cluster has {self._slots_max}",
                hint="give slots= a higher number, or lower the parallelism",
            )
        self._state_directories.update(dict.fromkeys(local_directories(config)))
        self._sweep()

        def made(handle: Job) -> None:
            if submission.execution.cached_files or submission.execution.blocking:
                self._caches.open(handle.id, local_directories(config)[0], lambda: handle.status().final)
            if config[options.LOCAL_BACKUP]:
                self._backups.open(handle.id, local_directories(config)[0], lambda: handle.status().final)

        handle = self._desk.submit(submission, config, DispatcherFound(self._dispatcher.address, 1), made)
        self._jobs = [*(other for other in self._jobs if not other.status().final), handle]
        return handle

    def _waiting(self, news: JobNews) -> Wait:
        """Return how a thread waits for news: inline it runs the actors itself."""
        return self._drive if self.inline else news.wait

    def _drive(self, condition: Callable[[], bool], timeout_s: float | None) -> None:
        now = self.system.clock.now
        deadline = None if timeout_s is None else now() + timeout_s
        with Interruptible() as keyboard, prompt_switches():
            self.system.run_until(lambda: condition() or keyboard.interrupted or (deadline is not None and now() >= deadline))

    # --- the end -------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all jobs, processes and threads, and remove the sockets. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._cancel_jobs()
        finally:
            self._free()

    def _cancel_jobs(self) -> None:
        """Cancel what still runs, and wait a moment for it: sinks remove what they have begun."""
        running = [job for job in self._jobs if not job.status().final]
        for job in running:
            job.cancel()
        deadline = self.system.clock.now() + _CANCEL_S
        for job in running:
            job.wait_until(_ended(job), max(0.0, deadline - self.system.clock.now()))

    def _free(self) -> None:
        if self._rest is not None:
            self._rest.close()
        self.system.shutdown(timeout_s=5.0)
        if self._processes is not None:
            self._processes.close()
        self._backups.close()
        self._caches.close()
        if self._node is not None:
            self._node.endpoint.close()
        if self.inline:
            self._async_home.close()

    def _remove_state(self) -> None:
        """Remove the state of workers that were killed, and the copies of jobs that are over."""
        self._sweep()
        with self._removing:  # who closes the cluster waits for what is still being removed
            for directory in list(self._state_directories):
                remove_leftovers(directory)

    def _sweep(self) -> None:
        self._backups.sweep()
        self._caches.sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _LocalGateway:
    """The `Gateway` to a JobManager of this process."""

    def __init__(self, system: ActorSystem, dispatcher: ActorRef) -> None:
        self._system = system
        self._dispatcher = dispatcher

    def dispatcher(self) -> ActorRef:
        return self._dispatcher

    def facts(self, job: JobId) -> JobFacts:
        return JobFacts.of(self._system.resolve(f"{self._dispatcher.path}/{job}").observe())


def _ended(job: Job) -> Callable[[], bool]:
    return lambda: job.status().final


def slots_given(slots: Slots, config: Config) -> int:
    """Return how many slots a TaskManager has: as given, else as the options say, else one for each core.

    Raises:
        ConfigError: if that is no number of slots.
    """
    if not (slots is None or slots == "inline" or isinstance(slots, int)):
        raise ConfigError(f"slots cannot be {slots!r}", hint="it is a number, or 'inline'")
    number = slots if isinstance(slots, int) else config[options.SLOTS] or _cores()
    if number < 1:
        raise ConfigError(f"a TaskManager needs at least one slot, not {number}")
    return number


def _cores() -> int:
    return len(os.sched_getaffinity(0))
