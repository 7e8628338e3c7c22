"""The process of a JobManager: a node that contends for the leadership, and runs Dispatcher and ResourceManager while it leads.

    granted(7) ─► jobs of earlier leaders read ─► /job-manager-7, /resource-manager-7 ─► published ─► TaskManagers and clients come
    revoked ─► both end, and all below
    one of them has failed ─► the process ends, with the reason in the last line of its log and 1 as its exit code

Their paths carry the epoch: what was meant for an earlier leadership reaches nobody. SIGTERM and Ctrl-C end the process: another JobManager
may lead at once.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path

from actorflow.actor import ActorRef
from actorflow.cluster.ending import ending_on_signals
from actorflow.cluster.leader_guard import LeaderGuard
from actorflow.cluster.leader_rest import JobManagerRest, Leadership
from actorflow.cluster.local import slots_given
from actorflow.cluster.logs import start_logging
from actorflow.cluster.node import Node
from actorflow.cluster.resource_drivers import end_task_managers, open_driver
from actorflow.cluster.run_directory import run_directory, task_manager_prefix
from actorflow.config import Config, options
from actorflow.coordination import Coordination, Leader, leader_node, open_coordination
from actorflow.errors import ActorflowError, ConfigError, CoordinationError, Deposed, ErrorInfo, describe
from actorflow.ids import NodeId, address
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.nodes.leader import BLOB_SERVER_PATH
from actorflow.rest.node_metrics import serve_node_metrics
from actorflow.runtime.blobs.durable import DurableBlobs
from actorflow.runtime.blobs.server import BlobServer, spawn_blob_desk
from actorflow.runtime.jobs.durable_jobs import DurableJobs, Inheritance
from actorflow.runtime.jobs.resource_manager import Driving
from actorflow.runtime.jobs.spawning import in_epoch, spawn_job_manager
from actorflow.runtime.nodes.node_desk import NODE_DESK_PATH, NodeDesk
from actorflow.storage.spill_file import spill_directories

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
"""How long to wait before what ZooKeeper or the storage did not answer is asked again."""


def leader_places(config: Config) -> tuple[str, ...]:
    """Return `host:port` of each JobManager of a cluster."""
    return config[options.JOBMANAGER_HOSTS] or (_own_place(config),)


def _own_place(config: Config) -> str:
    return f"{config[options.JOBMANAGER_ADDRESS]}:{config[options.JOBMANAGER_PORT]}"


def listening_place(config: Config) -> str:
    """Return `host:port` where the JobManager of these options listens: one of several is told by `jobmanager.rpc.address` and `.port`.

    Raises:
        ConfigError: if that is none of several.
    """
    places, own = leader_places(config), _own_place(config)
    if len(places) > 1 and own not in places:
        raise ConfigError(
            f"'{options.JOBMANAGER_HOSTS.name}' names {len(places)} JobManagers, and {own} is none of them",
            hint=f"say which one this is: -D {options.JOBMANAGER_ADDRESS.name}=HOST -D {options.JOBMANAGER_PORT.name}=PORT",
        )
    return own if own in places else places[0]


def _node_id(config: Config, place: str) -> NodeId:
    """Return the id of a JobManager's node: the only one is known by the cluster's name, others by where they listen, too."""
    only = leader_node(config)
    return only if len(config[options.JOBMANAGER_HOSTS]) <= 1 else NodeId(f"{only}-{place.replace(':', '-')}")


def run_job_manager(config: Config) -> None:
    """Run a JobManager in the calling thread until the process is told to end.

    Raises:
        ConfigError: if the options do not say how the leader is found.
        TransportError: if it cannot listen where they say.
        ActorflowError: if it cannot lead any longer: one of the leader's actors has failed.
    """
    place = listening_place(config)
    name = _node_id(config, place)
    start_logging(config, f"jobmanager-{place.replace(':', '-')}")
    directory = run_directory(config)
    driver = open_driver(config)
    with ExitStack() as stack:
        host, _, port = place.rpartition(":")
        bound = config[options.JOBMANAGER_BIND_HOST]
        node = Node(name, config, directory, [f"tcp://{bound or host}:{port}"], host if bound else None)
        stack.callback(node.endpoint.close)
        coordination = open_coordination(config, directory)
        stack.callback(coordination.close)
        node.system.spawn(NodeDesk, config, name=NODE_DESK_PATH[1:])
        serve_node_metrics("jobmanager", node.system, config)
        rest = JobManagerRest(node.system, config, place)
        coordination.retrieval.watch(rest.follow)
        if driver is not None and config[options.HA_TYPE] == "none":
            stack.callback(end_task_managers, driver)  # nobody will lead them
        driving = Driving(driver, task_manager_prefix(config), slots_given(None, config)) if driver is not None else None
        leading = Leading(node, config, coordination, rest, driving)
        stack.callback(leading.revoked)
        ending_on_signals(node.system)
        coordination.election.contend(leading.granted, leading.revoked)
        log.info("JobManager %s listens at %s", name, ", ".join(node.endpoint.endpoints))
        node.system.run()
    if leading.failure is not None:
        log.critical("the JobManager ends, it cannot lead: %s", leading.failure)
        raise leading.failure


class Leading:
    """What this node runs while it leads.

    Args:
        node: this one.
        config: its options.
        coordination: tells when it leads.
        rest: answers over HTTP while it leads.
        driving: what starts TaskManagers for it, if anything does.
    """

    def __init__(
        self, node: Node, config: Config, coordination: Coordination, rest: JobManagerRest, driving: Driving | None = None
    ) -> None:
        self._node = node
        self._config = config
        self._coordination = coordination
        self._rest = rest
        self._driving = driving
        self._actors: tuple[ActorRef, ...] = ()
        """ResourceManager, Dispatcher and blob server, while it leads."""
        self._changing = threading.Lock()
        self._deposed = threading.Event()
        self.failure: ActorflowError | None = None
        """Why this node ends, if it was not told to."""
        node.endpoint.on_peer_lost.append(self._lost)
        node.endpoint.on_link_broken.append(self._broken)

    def granted(self, epoch: int) -> None:
        """Lead, as soon as it is known what earlier leaders have left."""
        deposed = self._deposed = threading.Event()
        self._node.system.submit_work(lambda: self._begin(epoch, deposed))

    def revoked(self) -> None:
        """Lead no longer: end what runs, and all that belongs to it."""
        with self._changing:
            self._deposed.set()
            actors, self._actors = self._actors, ()
        for actor in reversed(actors):
            actor.stop(block=False, drain=False)
        if actors:
            self._rest.lead(None)
            log.info("leads no longer")

    def _begin(self, epoch: int, deposed: threading.Event) -> None:
        try:
            self._take_over(epoch, deposed)
        except Exception as error:  # nobody waits for this work
            self._failed("taking over", describe(error))

    def _take_over(self, epoch: int, deposed: threading.Event) -> None:
        endpoint, blobs = self._node.endpoint, self._blob_server(epoch)
        jobs = self._durable_jobs(epoch, blobs)
        inheritance = Inheritance() if jobs is None else self._inherited(jobs, deposed)
        with self._changing:
            if inheritance is None or deposed.is_set():
                blobs.close()
                return
            desk = spawn_blob_desk(self._node.system, blobs, endpoint.receive_blobs)
            resource_manager, dispatcher = spawn_job_manager(
                self._node.system,
                self._config,
                message_bytes_max=endpoint.limits.message_bytes_max,
                learn=endpoint.learn,
                epoch=epoch,
                jobs=jobs,
                driving=self._driving,
                blobs=blobs,
            )
            self._actors = resource_manager, dispatcher, desk
            self._node.system.spawn(LeaderGuard, self._actors, self._failed, name=f"leader-guard-{epoch}")
        if jobs is not None:
            dispatcher.tell_control(inheritance)
        log.info("leads in epoch %d, with %d jobs to go on with", epoch, len(inheritance.jobs))
        addresses = dispatcher.address, resource_manager.address

        def publish(rest_url: str | None) -> None:
            self._publish(Leader(endpoint.node, epoch, endpoint.endpoints, *addresses, rest_url), deposed)

        publish(None)
        with self._changing:
            if not deposed.is_set():
                self._rest.lead(Leadership(addresses, publish))

    def _blob_server(self, epoch: int) -> BlobServer:
        config = self._config
        return BlobServer(
            address(self._node.endpoint.node, in_epoch(BLOB_SERVER_PATH, epoch)),
            Path(spill_directories(config[options.BLOB_DIRECTORY] or config[options.TMP_DIRS])[0]),
            self._node.endpoint.send_blob,
            bytes_max=config[options.BLOB_STORAGE_BYTES_MAX],
            submit_work=self._node.system.submit_work,
        )

    def _durable_jobs(self, epoch: int, blobs: BlobServer) -> DurableJobs | None:
        """Return where this leader writes down what the next one needs; None if there cannot be one."""
        storage = self._coordination.storage
        if self._config[options.HA_TYPE] == "none":
            return None
        kept = DurableBlobs(storage, epoch, blobs.files) if storage is not None else None
        return DurableJobs(self._coordination, epoch, kept)

    def _failed(self, what: str, error: ErrorInfo) -> None:
        """End this node: what has failed is needed, and nobody else leads while this node lives."""
        if self._deposed.is_set():
            return
        self.failure = ActorflowError(
            f"{what} has failed: {error}", hint="its log has the traceback; another JobManager leads now, if there is one"
        )
        self._node.system.call_soon(self._end)

    def _end(self) -> None:
        self._node.system.shutdown()

    @staticmethod
    def _inherited(jobs: DurableJobs, deposed: threading.Event) -> Inheritance | None:
        """Return what earlier leaders have left; None if this one leads no longer before it knows."""
        while not deposed.is_set():
            try:
                return jobs.inherit()
            except CoordinationError as error:
                log.warning("cannot read what earlier leaders have left, and tries again: %s", error)
                deposed.wait(_AGAIN_S)
            except Deposed as error:
                log.info("another one leads before this node knew what is to be done: %s", error)
                return None
        return None

    def _publish(self, leader: Leader, deposed: threading.Event) -> None:
        """Say where the leader is, until that is known or it leads no longer."""
        while not deposed.is_set():
            try:
                self._coordination.election.publish(leader)
            except CoordinationError as error:
                log.warning("cannot say that this node leads, and tries again: %s", error)
                deposed.wait(_AGAIN_S)
            except Deposed as error:
                log.info("another one leads before this node could say that it did: %s", error)
                return
            else:
                return

    def _lost(self, peer: NodeId, reason: str) -> None:
        for actor in self._actors[:2]:
            actor.tell_control(NodeLost(peer, reason))

    def _broken(self, peer: NodeId) -> None:
        for resource_manager in self._actors[:1]:
            resource_manager.tell_control(LinkBroken(peer))
