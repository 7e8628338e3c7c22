"""How nodes learn from ZooKeeper who leads: a watch on the node that the leader has published itself in.

While there is no connection nothing is known to have changed, and the leader that was known is kept: nodes that can reach it go on working for
it, and one that was deposed meanwhile is refused by its epoch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from kazoo.protocol.states import WatchedEvent, ZnodeStat
from kazoo.recipe.watchers import DataWatch

from actorflow.coordination.contract import Cancel, LeaderChanged
from actorflow.coordination.zookeeper.connection import Connection
from actorflow.errors import CoordinationError, FrameRefused, Retry
from actorflow.protocol.nodes.leader import Leader
from actorflow.wire.message import MessageCodec

log = logging.getLogger(__name__)


class ZooKeeperRetrieval:
    """A `LeaderRetrieval`.

    Args:
        connection: to the ensemble.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._refused: CoordinationError | None = None

    def watch(self, changed: LeaderChanged) -> Cancel:
        """Call back from threads of the connection, first when there is a leader."""
        watch = _LeaderWatch(changed)

        def begin() -> None:
            _Looks(self._connection, watch, self._refuse)

        # The first look waits for a connection, for as long as it takes.
        threading.Thread(target=begin, name="leader-retrieval", daemon=True).start()
        return watch.cancelled.set

    def _refuse(self, error: CoordinationError) -> None:
        known, self._refused = self._refused, error
        if error.retry is Retry.NEVER and (known is None or known.message != error.message):
            log.error("cannot look for the leader: %s", error)
        else:
            log.info("cannot look for the leader: %s", error)

    def obstacle(self) -> CoordinationError | None:
        """Return what the ensemble has refused, or that it does not answer."""
        return self._refused or self._connection.silence()


class _Looks(DataWatch):  # type: ignore[misc]  # kazoo has no types
    """Looks for the leader at each change and each new connection. A look that is refused is told: kazoo's threads would end with a traceback."""

    def __init__(self, connection: Connection, watch: _LeaderWatch, refused: Callable[[CoordinationError], None]) -> None:
        self._connection = connection
        self._refused = refused
        super().__init__(connection.client, connection.paths.leader, watch)

    def _get_data(self, event: WatchedEvent | None = None) -> None:
        try:
            with self._connection.answered():
                super()._get_data(event)
        except CoordinationError as error:
            self._refused(error)


class _LeaderWatch:
    def __init__(self, changed: LeaderChanged) -> None:
        self.cancelled = threading.Event()
        self._changed = changed
        self._codec = MessageCodec((Leader,))
        self._told: Leader | None = None

    def __call__(self, data: bytes | None, _: ZnodeStat | None) -> bool:
        """Tell of a change; return whether to go on."""
        if self.cancelled.is_set():
            return False
        leader = None if data is None else self._leader(data)
        if leader != self._told:
            self._told = leader
            self._changed(leader)
        return True

    def _leader(self, data: bytes) -> Leader | None:
        try:
            leader = self._codec.decode(data)
        except FrameRefused as error:
            log.warning("the leader in ZooKeeper is none: %s", error)
            return None
        assert isinstance(leader, Leader), "the codec knows nothing else"
        return leader
