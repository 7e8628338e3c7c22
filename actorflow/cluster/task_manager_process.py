"""The process of a TaskManager: a node that offers its slots to whoever leads, and starts a process for each that is leased.

It never runs user code. It looks for the leader for as long as it may, and follows it. SIGTERM and Ctrl-C end the process: it says goodbye, so
that its slots are gone at once, and its workers end with it; those of a TaskManager that is killed do, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from actorflow.actor import ActorRef
from actorflow.cluster.ending import ending_on_signals
from actorflow.cluster.fork_server import ForkServer
from actorflow.cluster.job_directories import JobDirectories
from actorflow.cluster.local import slots_given
from actorflow.cluster.logs import start_logging
from actorflow.cluster.node import Node, with_key
from actorflow.cluster.run_directory import run_directory
from actorflow.cluster.slot_process import SlotProcesses, check_memory
from actorflow.config import Config, merged, options
from actorflow.coordination import Leader, open_coordination
from actorflow.errors import TransportError
from actorflow.ids import ActorPath, JobId, NodeId, address, unique_suffix
from actorflow.protocol.blobs.fetching import BlobFetching
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.nodes.slot_messages import JobReleased
from actorflow.protocol.nodes.task_manager import LeaderFound
from actorflow.rest.node_metrics import serve_node_metrics
from actorflow.runtime.blobs.cache import BlobCache
from actorflow.runtime.channels.partition_server import PartitionServer
from actorflow.runtime.jobs.version_check import VERSION_CHECK_PATH, VersionCheck
from actorflow.runtime.nodes.node_desk import NODE_DESK_PATH, NodeDesk
from actorflow.runtime.workers.task_manager import spawn_task_manager
from actorflow.state.backends import local_directories
from actorflow.state.directories import OwnedDirectory, remove_leftovers
from actorflow.storage.blob_files import BlobFiles
from actorflow.transport.addresses import parse

log = logging.getLogger(__name__)

_BLOB_CACHE_PATH, _PARTITIONS_PATH = ActorPath("/blob-cache"), ActorPath("/partitions")


def run_task_manager(config: Config) -> None:
    """Run a TaskManager in the calling thread until the process is told to end.

    Raises:
        ConfigError: if the options do not say how the leader is found, or leave a slot too little memory.
        TransportError: if it cannot listen where they say.
    """
    check_memory(config, slots_given(None, config))
    name = NodeId(config[options.RESOURCE_ID] or f"{config[options.CLUSTER_ID]}-taskmanager-{unique_suffix()}")
    start_logging(config, name)
    own = merged(config, Config.of({options.BIND_HOST.name: config[options.TASKMANAGER_HOST]}, options.TASKMANAGER_HOST.name))
    with ExitStack() as stack:
        server = ForkServer.start()
        stack.callback(server.close)
        node = _listening(name, own, server)
        stack.callback(node.endpoint.close)
        coordination = open_coordination(config, run_directory(config))
        stack.callback(coordination.close)
        stack.callback(_start(node, own, server))
        serve_node_metrics("taskmanager", node.system, own)
        task_manager = node.system.resolve("/task-manager")

        def follow(leader: Leader | None) -> None:
            if leader is not None:
                log.info("follows %s, which leads in epoch %d", leader.node, leader.epoch)
                node.endpoint.learn(leader.node, with_key(leader.endpoints, node.keys))
                task_manager.tell_control(LeaderFound(leader.epoch, leader.resource_manager, leader.dispatcher))

        ending_on_signals(node.system)
        coordination.retrieval.watch(follow)
        log.info("TaskManager %s listens at %s", name, ", ".join(node.endpoint.endpoints))
        node.system.run()


def _listening(name: NodeId, config: Config, server: ForkServer) -> Node:
    """Return the node, at the first of its ports that is free."""
    host, ports = config[options.TASKMANAGER_HOST], config[options.TASKMANAGER_PORT]
    local = f"ipc://{server.directory / name}"
    if parse(f"tcp://{host}:0").local:
        return Node(name, config, server.directory, [local])
    for port in ports[:-1]:
        try:
            return Node(name, config, server.directory, [local, f"tcp://{host}:{port}"])
        except TransportError as error:
            log.info("%s; the next port of '%s' is tried", error, options.TASKMANAGER_PORT.name)
    return Node(name, config, server.directory, [local, f"tcp://{host}:{ports[-1]}"])


def _start(node: Node, config: Config, server: ForkServer) -> Callable[[], None]:
    """Start the actor with its slots; return what ends their processes."""
    system, kept = node.system, _Kept(config)

    def unwanted(for_s: float) -> None:
        log.warning("ends, because no JobManager has taken its slots for %g s ('%s')", for_s, options.REGISTRATION_TIMEOUT.name)
        system.shutdown()

    arguments = {
        "endpoints": node.endpoint.endpoints,
        "directory": str(server.directory),
        "settings": config.plain(),
        "blobs": str(kept.blobs),
        "partitions": address(system.node, _PARTITIONS_PATH),
    }
    processes = SlotProcesses(system, server, arguments, kept.backup, kept.cache, kept.clean_up)
    cache = _blob_cache(node, config, kept.blobs)
    partitions = system.spawn(
        PartitionServer, node.endpoint, kept.cache_of, config[options.FRAME_BYTES_MAX], name=_PARTITIONS_PATH[1:]
    )

    system.spawn(VersionCheck, name=VERSION_CHECK_PATH[1:])
    system.spawn(NodeDesk, config, name=NODE_DESK_PATH[1:])

    def over(job: JobId) -> None:
        cache.tell_control(JobReleased(job))
        system.submit_work(lambda: kept.release(job))

    task_manager = spawn_task_manager(
        system,
        None,
        processes.launch,
        name="task-manager",
        slots=slots_given(None, config),
        config=config,
        on_job_over=over,
        on_blobs_needed=cache.tell_control,
        on_unregistered=unwanted,
    )

    def tell(news: NodeLost | LinkBroken) -> None:
        for actor in (task_manager, partitions):
            actor.tell_control(news)

    node.endpoint.on_peer_lost.append(lambda peer, reason: tell(NodeLost(peer, reason)))
    node.endpoint.on_link_broken.append(lambda peer: tell(LinkBroken(peer)))

    def end() -> None:
        processes.close()
        kept.close()

    return end


def _blob_cache(node: Node, config: Config, directory: Path) -> ActorRef:
    """Start the actor that fetches what jobs bring, and tells the TaskManager when it is here."""
    system = node.system
    machine = BlobFetching(address(system.node, _BLOB_CACHE_PATH), retries=config[options.BLOB_RETRIES])
    on_here = system.resolve("/task-manager").tell_control
    return system.spawn(BlobCache, machine, BlobFiles(directory), node.endpoint.receive_blobs, on_here, name=_BLOB_CACHE_PATH[1:])


class _Kept:
    """What jobs keep on the disks of this host beyond the life of a worker: copies of their state, and of cached files, and what they have brought.

    Args:
        config: the node's options.

    Attributes:
        blobs: the directory with the blobs of all jobs.

    Raises:
        StateError: if it cannot be made.
    """

    def __init__(self, config: Config) -> None:
        self._parents = local_directories(config)
        self._backs_up = config[options.LOCAL_BACKUP]
        self._backups, self._caches = JobDirectories("backup"), JobDirectories("cache")
        self._blobs = OwnedDirectory(self._parents[0], "blobs")
        self.blobs = self._blobs.path

    def backup(self, job: JobId) -> Path | None:
        """Return where a job keeps copies of its state."""
        return self._of(self._backups, job) if self._backs_up else None

    def cache(self, job: JobId) -> Path | None:
        """Return where a job keeps copies of cached files, and what its stages write for each other."""
        return self._of(self._caches, job)

    def cache_of(self, job: JobId) -> Path | None:
        """Return the same, if the job has anything here."""
        return self._caches.path_of(job)

    def _of(self, directories: JobDirectories, job: JobId) -> Path | None:
        if directories.path_of(job) is None:
            directories.open(job, self._parents[0])
        return directories.path_of(job)

    def release(self, job: JobId) -> None:
        """Remove what a job has kept that is over."""
        self._backups.release(job)
        self._caches.release(job)

    def clean_up(self) -> None:
        """Remove what workers that were killed have left."""
        for directory in self._parents:
            remove_leftovers(directory)

    def close(self) -> None:
        """Remove everything."""
        self._backups.close()
        self._caches.close()
        self._blobs.close()
