"""Coordination of a cluster with one JobManager: it leads from its start, in epoch 1, and no server is asked.

The others find it by the configuration alone: its node id derives from `cluster.id`, its endpoint is the first of `jobmanager.hosts`, else
`jobmanager.rpc.address` and `jobmanager.rpc.port`. With port 0 nobody can know the endpoint beforehand: the JobManager writes it to a small file in
the cluster's run directory, and the others look there until it appears, and whenever it changes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from actorflow.config import Config, options
from actorflow.coordination.contract import Cancel, Coordination, Granted, LeaderChanged, LeaderRetrieval, Revoked
from actorflow.coordination.remembered import Fence, RememberedJobs, RememberedPointers, RememberedResults
from actorflow.errors import ActorflowError, ConfigError, CoordinationError
from actorflow.ids import NodeId, address
from actorflow.protocol.nodes.leader import DISPATCHER_PATH, RESOURCE_MANAGER_PATH, Leader, rest_url
from actorflow.storage import files
from actorflow.wire.message import MessageCodec

log = logging.getLogger(__name__)

EPOCH: Final = 1
"""Of the only leader there ever is."""

LOOK_EVERY_S: Final = 0.05
"""How often a node that does not know the leader's endpoint looks into the run directory."""


def leader_node(config: Config) -> NodeId:
    """Return the node id of the only JobManager of a cluster."""
    return NodeId(f"{config[options.CLUSTER_ID]}-jobmanager")


def leader_place(config: Config) -> str | None:
    """Return `host:port` of the only JobManager; None if its port is not known before it listens."""
    hosts = config[options.JOBMANAGER_HOSTS]
    assert len(hosts) <= 1, "the rules of the options see to it"
    place = hosts[0] if hosts else f"{config[options.JOBMANAGER_ADDRESS]}:{config[options.JOBMANAGER_PORT]}"
    return None if place.endswith(":0") else place


def open_single(config: Config, run_directory: Path | None) -> Coordination:
    """Return the coordination of a cluster with one JobManager; see `open_coordination`."""
    place = leader_place(config)
    if place is not None:
        return _bundle(config, None, ConfiguredLeader(_configured_leader(config, place)), _nothing)
    if run_directory is None:
        raise ConfigError(
            "nobody can find a JobManager whose port is 0", hint=f"set '{options.JOBMANAGER_PORT.name}' to a port that is free"
        )
    file = LeaderFile(run_directory / f"{leader_node(config)}.leader")
    retrieval = LeaderOfFile(file)
    return _bundle(config, file, retrieval, retrieval.close)


def _bundle(config: Config, file: LeaderFile | None, retrieval: LeaderRetrieval, stop: Callable[[], None]) -> Coordination:
    fence = Fence()
    election = SingleElection(fence, file)

    def close() -> None:
        election.close()
        stop()

    results = RememberedResults(fence, config[options.RESULTS_MAX])
    return Coordination(election, retrieval, RememberedJobs(fence), RememberedPointers(fence), results, close)


def _nothing() -> None:
    pass


def _configured_leader(config: Config, place: str) -> Leader:
    node = leader_node(config)
    endpoint, port = f"tcp://{place}", config[options.REST_PORT]
    url = rest_url(config[options.REST_ADDRESS], port) if port else None
    return Leader(node, EPOCH, (endpoint,), address(node, DISPATCHER_PATH), address(node, RESOURCE_MANAGER_PATH), url)


class SingleElection:
    """A `LeaderElection` with one contender.

    Args:
        fence: opens with the grant.
        file: where the leader says how it is reached; None if everybody knows.
    """

    def __init__(self, fence: Fence, file: LeaderFile | None) -> None:
        self._fence = fence
        self._file = file

    def contend(self, granted: Granted, revoked: Revoked) -> None:  # noqa: ARG002 - nobody else could take it away
        """Grant the leadership at once, on this thread."""
        with self._fence.lock:
            self._fence.epoch = EPOCH
        granted(EPOCH)

    def publish(self, leader: Leader) -> None:
        """Write down where the leader is reached, where that cannot be known otherwise."""
        with self._fence.lock:
            self._fence.check(leader.epoch)
            if self._file is not None:
                self._file.write(leader)

    def close(self) -> None:
        """Lead no longer."""
        with self._fence.lock:
            led, self._fence.epoch = self._fence.epoch > 0, 0
            if led and self._file is not None:
                self._file.remove()


class ConfiguredLeader:
    """A `LeaderRetrieval` that asks nobody.

    Args:
        leader: as the configuration says.
    """

    def __init__(self, leader: Leader) -> None:
        self._leader = leader

    def watch(self, changed: LeaderChanged) -> Cancel:
        """Call back once, on this thread."""
        changed(self._leader)
        return _nothing

    def obstacle(self) -> None:
        """Return None: nobody is asked."""


class LeaderFile:
    """Where the leader has written how it is reached.

    Args:
        path: in a directory that only the cluster's user can write to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._codec = MessageCodec((Leader,))
        self._written = b""

    def write(self, leader: Leader) -> None:
        """Put a leader in place of what is there, at once.

        Raises:
            CoordinationError: if it cannot be written.
        """
        data = self._codec.encode(leader)
        begun = f"{self._path}.{os.getpid()}"
        try:
            files.make_directory(str(self._path.parent), private=True)
            files.write_whole(begun, data)
            files.rename(begun, str(self._path))
        except ActorflowError as error:
            raise CoordinationError(f"cannot tell where the leader is: {error.message}", hint=error.hint) from error
        self._written = data

    def read(self) -> bytes:
        """Return what is there; nothing if it cannot be read."""
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def leader(self, data: bytes) -> Leader | None:
        """Return the leader that bytes of this file name, if they do."""
        if not data:
            return None
        try:
            leader = self._codec.decode(data)
        except ActorflowError as error:
            log.warning("'%s' does not tell where the leader is: %s", self._path, error)
            return None
        assert isinstance(leader, Leader), "the codec knows nothing else"
        return leader

    def remove(self) -> None:
        """Take back what this process has written, unless another one has written since."""
        if self._written and self.read() == self._written:
            self._path.unlink(missing_ok=True)


class LeaderOfFile:
    """A `LeaderRetrieval` that looks into a file, from a thread for each watch.

    Args:
        file: where the leader writes.
    """

    def __init__(self, file: LeaderFile) -> None:
        self._file = file
        self._closed = threading.Event()

    def watch(self, changed: LeaderChanged) -> Cancel:
        """Call back from a thread, first when there is a leader."""
        cancelled = threading.Event()
        threading.Thread(target=self._look, args=(changed, cancelled), name="leader-retrieval", daemon=True).start()
        return cancelled.set

    def obstacle(self) -> None:
        """Return None: a file that is not there says that there is no leader."""

    def _look(self, changed: LeaderChanged, cancelled: threading.Event) -> None:
        seen, told = b"", None
        while not cancelled.is_set():
            data = self._file.read()
            if data != seen:
                seen, leader = data, self._file.leader(data)
                if leader != told:
                    told = leader
                    changed(leader)
            if self._closed.wait(LOOK_EVERY_S):
                return

    def close(self) -> None:
        """End all watches."""
        self._closed.set()
