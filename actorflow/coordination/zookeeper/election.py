"""The election in ZooKeeper: the shell that runs `protocol.nodes.leadership` on the nodes of a line.

A thread of its own takes the machine's events one after the other, so that the loss of a connection is noticed while work waits for an answer; the
work is done by a second one. Callbacks come on the first.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import KazooState, WatchedEvent

from actorflow.clock import Clock
from actorflow.coordination.contract import Granted, Revoked
from actorflow.coordination.zookeeper.connection import Connection
from actorflow.coordination.zookeeper.fence import Fence, Grant
from actorflow.errors import describe
from actorflow.ids import unique_suffix
from actorflow.protocol.machine import CancelTimer, Effect, Report, SetTimer, Start, TimerFired, WorkDone, WorkFailed
from actorflow.protocol.nodes import leadership
from actorflow.protocol.nodes.leader import Leader
from actorflow.protocol.nodes.leadership import (
    Connected,
    Join,
    Leadership,
    Leave,
    Look,
    NodeGone,
    SessionLost,
    Suspended,
    TakeEpoch,
    Watch,
    Withdraw,
    Work,
)
from actorflow.wire.message import MessageCodec

log = logging.getLogger(__name__)

_SEQUENCE_DIGITS = 10
"""How many digits ZooKeeper appends to the name of a sequential node."""


class ZooKeeperElection:
    """A `LeaderElection`.

    Args:
        connection: to the ensemble.
        fence: opens with a grant.
        machine: decides.
        clock: for its timers.
    """

    def __init__(self, connection: Connection, fence: Fence, machine: Leadership, clock: Clock) -> None:
        self._connection = connection
        self._fence = fence
        self._machine = machine
        self._clock = clock
        self._codec = MessageCodec((Leader,))
        self._prefix = f"{unique_suffix()}-n-"
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._timers: dict[str, float] = {}
        self._grant: Grant | None = None
        """The last one that was taken; the machine says whether it counts."""
        self._granted: Granted = _nobody
        self._revoked: Revoked = _nobody
        self._thread = threading.Thread(target=self._run, name="leader-election", daemon=True)
        self._workers = ThreadPoolExecutor(1, "leader-election-work")

    # --- the contract ------------------------------------------------------------------------------------------------------------

    def contend(self, granted: Granted, revoked: Revoked) -> None:
        """Take part in the election."""
        self._granted, self._revoked = granted, revoked
        self._thread.start()
        self._connection.client.add_listener(self._on_state)
        if self._connection.client.connected:
            self._events.put(Connected())

    def publish(self, leader: Leader) -> None:
        """Write down where the leader is."""
        self._fence.put(self._connection.paths.leader, self._codec.encode(leader), leader.epoch, ephemeral=True)

    def close(self) -> None:
        """Leave the line."""
        self._connection.client.remove_listener(self._on_state)
        if self._thread.is_alive():
            self._events.put(Leave())
            self._thread.join(self._connection.session_timeout_s)
        self._workers.shutdown(wait=False, cancel_futures=True)

    # --- events ------------------------------------------------------------------------------------------------------------------

    def _on_state(self, state: str) -> None:
        match state:
            case KazooState.CONNECTED:
                self._events.put(Connected())
            case KazooState.SUSPENDED:
                self._events.put(Suspended())
            case KazooState.LOST:
                self._events.put(SessionLost())

    def _run(self) -> None:
        while True:
            event = self._next()
            if isinstance(event, WorkDone | WorkFailed) and isinstance(event.work, Withdraw):
                return
            for effect in self._machine.handle(event, self._clock.now()):
                self._perform(effect)

    def _next(self) -> object:
        """Return the next event: one that has come, or a timer that is due."""
        name, at = min(self._timers.items(), key=lambda timer: timer[1], default=("", 0.0))
        try:
            return self._events.get(timeout=max(0.0, at - self._clock.now()) if name else None)
        except queue.Empty:
            del self._timers[name]
            return TimerFired(name)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, at):
                self._timers[name] = at
            case CancelTimer(name):
                self._timers.pop(name, None)
            case Start(work):
                self._start(cast("Work", work))
            case Report(leadership.Granted(epoch)):
                assert self._grant is not None, "it was taken before it was granted"
                assert self._grant.epoch == epoch, f"{self._grant} is not of epoch {epoch}"
                log.info("granted: this JobManager leads in epoch %d", epoch)
                self._fence.open(self._grant)
                self._granted(epoch)
            case Report(leadership.Revoked(epoch)):
                log.warning("revoked: this JobManager does not lead in epoch %d any more", epoch)
                self._fence.close()
                self._revoked()
            case _:
                raise AssertionError(f"unknown effect {effect!r}")

    # --- work --------------------------------------------------------------------------------------------------------------------

    def _start(self, work: Work) -> None:
        if isinstance(work, Withdraw):
            self._fence.close()

        def done(future: Future[object]) -> None:
            if not future.cancelled():
                error = future.exception()
                self._events.put(WorkDone(work, future.result()) if error is None else WorkFailed(work, describe(error)))

        self._workers.submit(self._work, work).add_done_callback(done)

    def _work(self, work: Work) -> object:
        match work:
            case Join():
                return self._join()
            case Look():
                return sorted(self._connection.children(self._connection.paths.election), key=_position)
            case Watch(life=life, node=node):
                return self._watch(life, node)
            case TakeEpoch(node=node):
                grant = self._fence.take_epoch(self._path(node))
                self._grant = grant or self._grant
                return None if grant is None else grant.epoch
            case Withdraw(node=node):
                self._withdraw(node)
                return None

    def _join(self) -> str:
        """Return the node of this session, made now unless a call whose answer was lost has made it before."""
        connection = self._connection
        connection.prepare()
        election = connection.paths.election
        for name in connection.children(election):
            found = connection.get(f"{election}/{name}") if name.startswith(self._prefix) else None
            if found is not None and found[1].ephemeralOwner == connection.session():
                return name
        path: str = connection.call(connection.client.create_async, f"{election}/{self._prefix}", ephemeral=True, sequence=True)
        return path.rpartition("/")[2]

    def _watch(self, life: int, node: str) -> bool:
        def seen(_: WatchedEvent) -> None:
            self._events.put(NodeGone(life, node))

        return self._connection.call(self._connection.client.exists_async, self._path(node), watch=seen) is not None

    def _withdraw(self, node: str | None) -> None:
        """Remove what this session has left there, so that nobody has to wait for its end."""
        connection = self._connection
        if not connection.client.connected:
            return
        leader = connection.get(connection.paths.leader)
        own = [connection.paths.leader] if leader is not None and leader[1].ephemeralOwner == connection.session() else []
        for path in [*own, self._path(node)] if node else own:
            try:
                connection.call(connection.client.delete_async, path)
            except NoNodeError:
                continue

    def _path(self, node: str) -> str:
        return f"{self._connection.paths.election}/{node}"


def _position(name: str) -> str:
    return name[-_SEQUENCE_DIGITS:]


def _nobody(*_: object) -> None:
    raise AssertionError("nobody is called back before `contend`")
