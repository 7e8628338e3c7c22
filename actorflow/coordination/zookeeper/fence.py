"""The fence around everything that a leader writes into ZooKeeper.

Each write is a transaction that first checks that the epoch's counter is as this leader left it, and that its node still stands in the line. Both hold, or
nothing is written: no other leader has been granted since, and this one's session lives. Who was cut off or stood still finds out here at the latest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kazoo.client import TransactionRequest
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency

from actorflow.coordination.zookeeper.connection import Connection
from actorflow.errors import CoordinationError, Deposed

_RACES_MAX: Final = 5
"""How often a write may find that somebody has made or removed its node meanwhile: there is one leader, and few threads of it."""

_NOT_REACHED: Final = (RolledBackError, RuntimeInconsistency)
"""What stands for the operations of a refused transaction that were not the reason."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What proves a leadership.

    Attributes:
        epoch: of the grant.
        node: path of the contender's node in the line.
        version: of the counter of epochs, after this one was taken.
    """

    epoch: int
    node: str
    version: int


class Fence:
    """Writes on behalf of the epoch that this node was granted, if it was.

    Args:
        connection: to the ensemble.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._grant: Grant | None = None

    def open(self, grant: Grant) -> None:
        """Let through what is done on behalf of a grant."""
        with self._lock:
            self._grant = grant

    def close(self) -> None:
        """Let nothing through."""
        with self._lock:
            self._grant = None

    def check(self, epoch: int) -> Grant:
        """Refuse an epoch other than that of this node's grant, without asking anybody; return the grant.

        Raises:
            Deposed: if it is over.
        """
        with self._lock:
            grant = self._grant
        if grant is None or grant.epoch != epoch:
            raise Deposed(f"epoch {epoch} is over" + ("" if grant is None else f": it is {grant.epoch} that is in force"))
        return grant

    def take_epoch(self, node: str) -> Grant | None:
        """Raise the counter on behalf of a contender's node, if that is still there; None if that was refused.

        Raises:
            CoordinationError: if it is not known whether it was.
        """
        path = self._connection.paths.epoch
        found = self._connection.get(path)
        if found is None:
            return None
        data, stat = found
        epoch = int(data or b"0") + 1
        transaction = self._connection.client.transaction()
        transaction.check(node, -1)
        transaction.set_data(path, b"%d" % epoch, stat.version)
        refused = self._refusal(self._connection.call(transaction.commit_async))
        return None if refused is not None else Grant(epoch, node, stat.version + 1)

    def put(self, path: str, data: bytes, epoch: int, *, ephemeral: bool = False) -> None:
        """Write a node, whether it is there or not. An ephemeral one that another session has left is replaced.

        Raises:
            Deposed: if the epoch is in force no longer.
            CoordinationError: if it is not known whether it was written.
        """

        def add(transaction: TransactionRequest) -> None:
            found = self._connection.get(path)
            if found is not None and (not ephemeral or found[1].ephemeralOwner == self._connection.session()):
                transaction.set_data(path, data)
                return
            if found is not None:
                transaction.delete(path)
            transaction.create(path, data, ephemeral=ephemeral)

        self._write(epoch, add)

    def delete(self, path: str, epoch: int) -> None:
        """Remove a node, if it is there.

        Raises:
            Deposed: see `put`.
            CoordinationError: see `put`.
        """

        def add(transaction: TransactionRequest) -> None:
            if self._connection.get(path) is not None:
                transaction.delete(path)

        self._write(epoch, add)

    def confirm(self, epoch: int) -> None:
        """Make sure that an epoch is in force, and change nothing.

        Raises:
            Deposed: see `put`.
            CoordinationError: see `put`.
        """
        self._write(epoch, lambda _: None)

    def _write(self, epoch: int, add: Callable[[TransactionRequest], None]) -> None:
        self._connection.again(lambda: self._write_once(epoch, add))

    def _write_once(self, epoch: int, add: Callable[[TransactionRequest], None]) -> None:
        for _ in range(_RACES_MAX):
            grant = self.check(epoch)
            transaction = self._connection.client.transaction()
            transaction.check(self._connection.paths.epoch, grant.version)
            transaction.check(grant.node, -1)
            add(transaction)
            refused = self._refusal(self._connection.call(transaction.commit_async))
            if refused is None:
                return
            if refused < 2:
                raise Deposed(f"epoch {epoch} is over: " + ("another one was granted", "its session has ended")[refused])
        raise CoordinationError(
            f"a node of the cluster in ZooKeeper is written by others in epoch {epoch}", hint="nobody else should"
        )

    @staticmethod
    def _refusal(results: Sequence[object]) -> int | None:
        """Return the number of the operation that kept a transaction from happening; None if it has happened."""
        for number, result in enumerate(results):
            if isinstance(result, NoNodeError | NodeExistsError | BadVersionError):
                return number
            if isinstance(result, Exception) and not isinstance(result, _NOT_REACHED):
                raise CoordinationError(f"ZooKeeper refuses a write: {type(result).__name__}") from result
        return None
