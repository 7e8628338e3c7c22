"""A program's way to the leader of a cluster: a node of its own that nobody dials, and what is known of who leads."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from actorflow.actor import ActorDeadError, ActorRef, AskTimeout
from actorflow.cluster.node import Node, with_key
from actorflow.cluster.run_directory import run_directory
from actorflow.config import Config, options
from actorflow.coordination import Leader, open_coordination
from actorflow.errors import TransportError
from actorflow.ids import JobId, NodeId, unique_suffix
from actorflow.inspection.facts import JobFacts
from actorflow.protocol.blobs.blob import OfferBlobs, blob_server_beside
from actorflow.protocol.nodes.client_messages import CheckTaskManagers, DescribeCluster, ListJobs
from actorflow.wire.message import Message

_QUIET_S: Final = 15.0
"""For how long it is left to who waits for the leader to say that there is none. Commands give up before."""


class LeaderLink:
    """Finds the leader, follows it, and asks it. A `Gateway`. Used from any thread.

    Args:
        config: the cluster's options.
        on_leader: called with each leader, on any thread.
    """

    def __init__(self, config: Config, on_leader: Callable[[Leader], None]) -> None:
        self._config = config
        self._on_leader = on_leader
        self._sockets = tempfile.TemporaryDirectory(prefix="actorflow-client-")
        self._node = Node(NodeId(f"~client-{unique_suffix()}"), config, Path(self._sockets.name), [])
        self._leader: Leader | None = None
        self._changed = threading.Condition()
        self._closed = False
        self.system = self._node.system
        self.system.start()
        try:
            self._coordination = open_coordination(config, run_directory(config), quiet_s=_QUIET_S)
        except BaseException:
            self._leave()
            raise
        self._coordination.retrieval.watch(self._led_by)

    def _led_by(self, leader: Leader | None) -> None:
        if leader is not None:
            self._node.endpoint.learn(leader.node, with_key(leader.endpoints, self._node.keys))
        with self._changed:
            self._leader = leader
            self._changed.notify_all()
        if leader is not None:
            self._on_leader(leader)

    def wait_for_leader(self, timeout_s: float) -> None:
        """Wait until the leader is known and has answered.

        Raises:
            TransportError: if that takes longer.
        """
        with self._changed:
            found = self._changed.wait_for(lambda: self._leader is not None, timeout_s)
        if not found:
            hint = "start it with `actorflow cluster start`; is this the configuration that it was started with?"
            raise self._not_found("none has said where it is", hint)
        self.ask(ListJobs(), timeout_s)

    def leader(self) -> Leader:
        """Return the leader.

        Raises:
            TransportError: if nobody leads, as far as is known.
        """
        leader = self._leader
        if leader is None:
            raise self._not_found("nobody leads it at present", "try again in a moment")
        return leader

    def _not_found(self, why: str, hint: str) -> TransportError:
        """Return the error of who looks for the leader in vain: with what keeps it from looking, or else this."""
        obstacle = self._coordination.retrieval.obstacle()
        if obstacle is not None:
            why, hint = obstacle.message, obstacle.hint
        return TransportError(f"cannot find the JobManager of cluster '{self._config[options.CLUSTER_ID]}': {why}", hint=hint)

    def dispatcher(self) -> ActorRef:
        """Return the Dispatcher of the leader; see `Gateway`."""
        return self.system.resolve(self.leader().dispatcher)

    def facts(self, job: JobId) -> JobFacts:
        """Return what the JobMaster of a job says, as plain data; see `Gateway`.

        Raises:
            TransportError: if it does not answer.
        """
        master = f"{self.leader().dispatcher}/{job}"
        try:
            facts = JobFacts.of(self.system.resolve(master).observe(timeout=self._config[options.ASK_TIMEOUT]))
        except AskTimeout:
            raise self._silent() from None
        for node, endpoints in facts.endpoints.items():
            self.learn(node, endpoints)
        return facts

    def learn(self, node: NodeId, endpoints: tuple[str, ...]) -> None:
        """Take notice where a node of the cluster can be reached."""
        self._node.endpoint.learn(node, with_key(endpoints, self._node.keys))

    @property
    def node(self) -> NodeId:
        """This program's node."""
        return self.system.node

    def send_blob(self, digest: str, pieces: Iterable[bytes], on_end: Callable[[bool], None]) -> None:
        """Send a blob to the leader's node, in pieces; `on_end` is told whether it has taken it.

        Raises:
            TransportError: if nobody leads, as far as is known.
        """
        self._node.endpoint.send_blob(self.leader().node, digest, pieces, on_end)

    def ask(self, question: Message, timeout_s: float | None = None) -> Any:
        """Return what the leader answers: its Dispatcher, its ResourceManager if it is about the cluster, or its blob server if it is about files.

        Raises:
            TransportError: if it does not.
        """
        leader = self.leader()
        try:
            match question:
                case DescribeCluster() | CheckTaskManagers():
                    asked = leader.resource_manager
                case OfferBlobs():
                    asked = blob_server_beside(leader.dispatcher)
                case _:
                    asked = leader.dispatcher
            return self.system.resolve(asked).ask(question, timeout=timeout_s)
        except (AskTimeout, ActorDeadError):
            raise self._silent() from None

    def _silent(self) -> TransportError:
        where = f" at {', '.join(self._leader.endpoints)}" if self._leader is not None else ""
        seen = self._node.endpoint.observe()
        kept_out = seen.handshakes_failed > 0 and not seen.frames_in  # who was let in once has the right key
        return TransportError(
            f"the JobManager of cluster '{self._config[options.CLUSTER_ID]}'{where} does not {'let us in' if kept_out else 'answer'}",
            hint=f"is '{options.CURVE_KEY_FILE.name}' the key file that its nodes have?"
            if kept_out
            else "is it running? `actorflow cluster status` tells, and its log says why not",
        )

    def close(self) -> None:
        """Leave the cluster. A second call does nothing."""
        if not self._closed:
            self._coordination.close()
            self._leave()

    def _leave(self) -> None:
        self._closed = True
        self.system.shutdown(timeout_s=5.0)
        self._node.endpoint.close()
        self._sockets.cleanup()
