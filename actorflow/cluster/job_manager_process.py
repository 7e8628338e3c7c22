"""The process of a JobManager: a node that contends for the leadership, and runs Dispatcher and ResourceManager while it leads.

    granted(7) ─► /job-manager-7, /resource-manager-7 ─► published ─► TaskManagers and clients come     revoked ─► both end, and all below

Their paths carry the epoch: what was meant for an earlier leadership reaches nobody. SIGTERM and Ctrl-C end the process: another JobManager
may lead at once.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack

from actorflow.actor import ActorRef
from actorflow.cluster.ending import ending_on_signals
from actorflow.cluster.logs import start_logging
from actorflow.cluster.node import Node
from actorflow.cluster.run_directory import run_directory
from actorflow.config import Config, options
from actorflow.coordination import Coordination, Leader, leader_node, open_coordination
from actorflow.errors import ConfigError, CoordinationError, Deposed
from actorflow.ids import NodeId
from actorflow.protocol.job_messages import LinkBroken, NodeLost
from actorflow.runtime.job_manager import spawn_job_manager

log = logging.getLogger(__name__)

_PUBLISH_AGAIN_S = 1.0


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
    """
    place = listening_place(config)
    name = _node_id(config, place)
    start_logging(config, f"jobmanager-{place.replace(':', '-')}")
    directory = run_directory(config)
    with ExitStack() as stack:
        node = Node(name, config, directory, [f"tcp://{place}"])
        stack.callback(node.endpoint.close)
        coordination = open_coordination(config, directory)
        stack.callback(coordination.close)
        leading = Leading(node, config, coordination)
        stack.callback(leading.revoked)
        ending_on_signals(node.system)
        coordination.election.contend(leading.granted, leading.revoked)
        log.info("JobManager %s listens at %s", name, ", ".join(node.endpoint.endpoints))
        node.system.run()


class Leading:
    """What this node runs while it leads.

    Args:
        node: this one.
        config: its options.
        coordination: tells when it leads.
    """

    def __init__(self, node: Node, config: Config, coordination: Coordination) -> None:
        self._node = node
        self._config = config
        self._coordination = coordination
        self._actors: tuple[ActorRef, ...] = ()
        """ResourceManager and Dispatcher, while it leads."""
        self._epoch = 0
        self._deposed = threading.Event()
        node.endpoint.on_peer_lost.append(self._lost)
        node.endpoint.on_link_broken.append(self._broken)

    def granted(self, epoch: int) -> None:
        """Lead: start the actors of this epoch, and say where they are."""
        system, endpoint = self._node.system, self._node.endpoint
        resource_manager, dispatcher = spawn_job_manager(
            system, self._config, message_bytes_max=endpoint.limits.message_bytes_max, learn=endpoint.learn, epoch=epoch
        )
        self._actors, self._epoch, self._deposed = (resource_manager, dispatcher), epoch, threading.Event()
        leader = Leader(endpoint.node, epoch, endpoint.endpoints, dispatcher.address, resource_manager.address)
        log.info("leads in epoch %d", epoch)
        deposed = self._deposed
        system.submit_work(lambda: self._publish(leader, deposed))

    def revoked(self) -> None:
        """Lead no longer: end what runs, and all that belongs to it."""
        actors, self._actors = self._actors, ()
        self._deposed.set()
        for actor in reversed(actors):
            actor.stop(block=False, drain=False)
        if actors:
            log.info("leads no longer, after epoch %d", self._epoch)

    def _publish(self, leader: Leader, deposed: threading.Event) -> None:
        """Say where the leader is, until that is known or it leads no longer."""
        while not deposed.is_set():
            try:
                self._coordination.election.publish(leader)
            except CoordinationError as error:
                log.warning("cannot say that this node leads, and tries again: %s", error)
                deposed.wait(_PUBLISH_AGAIN_S)
            except Deposed as error:
                log.info("another one leads before this node could say that it did: %s", error)
                return
            else:
                return

    def _lost(self, peer: NodeId, reason: str) -> None:
        for actor in self._actors:
            actor.tell_control(NodeLost(peer, reason))

    def _broken(self, peer: NodeId) -> None:
        for resource_manager in self._actors[:1]:
            resource_manager.tell_control(LinkBroken(peer))
