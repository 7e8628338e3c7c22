"""One connection to a ZooKeeper ensemble, for all that a node does there: its calls, its errors, and where things are.

    <path.root>/<cluster id>/epoch                 persistent; the last epoch that was granted, raised by compare-and-set alone
                             election/<id>-n-…     ephemeral, sequential: the line of contenders
                             leader                ephemeral: the `Leader`, as it has published itself
                             jobs/<job>            where the bytes of a submitted job are
                             checkpoints/<job>     where its completed checkpoints are
                             results/<job>         how it ended

A call that finds no connection waits for one, for a bounded time. A connection that breaks during a call leaves open whether it had an effect, so
everything here is written to be done again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, BadVersionError, KazooException, NoAuthError, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, ZnodeStat
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL

from actorflow.config import Config, options
from actorflow.errors import CoordinationError, Retry

RECONNECT_FIRST_S: Final = 0.05
"""Time to the first attempt to connect again; it doubles with each."""

_SILENT: Final = "is it running, and reached from here? 'high-availability.zookeeper.quorum' says where it is"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a cluster keeps its nodes.

    Attributes:
        home: above all of them.
    """

    home: str

    @classmethod
    def of(cls, config: Config) -> Paths:
        """Return the paths that the options name."""
        cluster = config[options.HA_CLUSTER_ID] or config[options.CLUSTER_ID]
        parts = [part for part in f"{config[options.ZOOKEEPER_ROOT]}/{cluster}".split("/") if part]
        return cls("".join(f"/{part}" for part in parts))

    @property
    def epoch(self) -> str:
        """The counter of epochs."""
        return f"{self.home}/epoch"

    @property
    def election(self) -> str:
        """Parent of the contenders."""
        return f"{self.home}/election"

    @property
    def leader(self) -> str:
        """The leader as it has published itself."""
        return f"{self.home}/leader"

    @property
    def jobs(self) -> str:
        """Parent of the submitted jobs."""
        return f"{self.home}/jobs"

    @property
    def checkpoints(self) -> str:
        """Parent of the jobs' checkpoints."""
        return f"{self.home}/checkpoints"

    @property
    def results(self) -> str:
        """Parent of the jobs that are over."""
        return f"{self.home}/results"


class Connection:
    """A session with an ensemble, renewed whenever it is lost. It is established in the background: that none answers yet is no error.

    Args:
        config: the node's options.
        quiet_s: see `KazooLog`.
    """

    def __init__(self, config: Config, quiet_s: float = 0.0) -> None:
        self.paths = Paths.of(config)
        self.session_timeout_s = config[options.ZOOKEEPER_SESSION_TIMEOUT]
        self.retry_wait_s = config[options.ZOOKEEPER_RETRY_WAIT]
        self._connect_timeout_s = config[options.ZOOKEEPER_CONNECTION_TIMEOUT]
        self._attempts = 1 + config[options.ZOOKEEPER_RETRIES]
        self._connected = threading.Event()
        self._closed = threading.Event()
        self.client = _client(config, quiet_s)
        self.client.add_listener(self._on_state)
        self.client.start_async()

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()

    def session(self) -> int:
        """Return the id of the present session."""
        client_id = self.client.client_id
        return client_id[0] if client_id else 0

    # --- calls -------------------------------------------------------------------------------------------------------------------

    def call(self, ask: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        """Ask the ensemble once, and return its answer.

        Args:
            ask: an asynchronous method of the client, or of a transaction.
            arguments: for it.
            settings: for it, by name.

        Raises:
            CoordinationError: if there is no answer; whether it had an effect is not known.
            KazooException: what the ensemble has refused.
        """
        if not self._connected.wait(self._connect_timeout_s):
            raise CoordinationError(
                f"ZooKeeper at '{self._hosts()}' has not answered for {self._connect_timeout_s:g} s", hint=_SILENT
            )
        with self.answered():
            return ask(*arguments, **settings).get(timeout=self.session_timeout_s)

    def again(self, work: Callable[[], Any]) -> Any:
        """Do work that makes calls, again if there was no answer, as often as the options say; return its result.

        Raises:
            CoordinationError: the last one.
        """
        for left in range(self._attempts - 1, -1, -1):
            try:
                return work()
            except CoordinationError as error:
                if not left or error.retry is Retry.NEVER or self._closed.wait(self.retry_wait_s):
                    raise
        raise AssertionError("there is at least one attempt")

    def get(self, path: str) -> tuple[bytes, ZnodeStat] | None:
        """Return a node's data and state; None if there is no such node."""
        try:
            found: tuple[bytes, ZnodeStat] = self.call(self.client.get_async, path)
        except NoNodeError:
            return None
        return found

    def children(self, path: str) -> list[str]:
        """Return the names of the nodes below one; none if it does not exist."""
        try:
            names: list[str] = self.call(self.client.get_children_async, path)
        except NoNodeError:
            return []
        return names

    def prepare(self) -> None:
        """Make the nodes that all others are below."""
        paths = self.paths
        for path in (paths.epoch, paths.election, paths.jobs, paths.checkpoints, paths.results):
            self.call(self.client.ensure_path_async, path)

    def silence(self) -> CoordinationError | None:
        """Return the error of an ensemble that does not answer; None if there is a connection."""
        return (
            None if self._connected.is_set() else CoordinationError(f"ZooKeeper at '{self._hosts()}' does not answer", hint=_SILENT)
        )

    @contextlib.contextmanager
    def answered(self) -> Iterator[None]:
        """Turn what keeps an answer away into a `CoordinationError`; what the ensemble says of nodes passes."""
        hosts = self._hosts()
        try:
            yield
        except (NoAuthError, AuthFailedError) as error:
            raise CoordinationError(
                f"ZooKeeper at '{hosts}' refuses access: {type(error).__name__}",
                hint=f"all nodes of a cluster need the same '{options.ZOOKEEPER_AUTHORIZATION.name}'",
                retry=Retry.NEVER,
            ) from error
        except KazooTimeoutError as error:
            raise CoordinationError(f"ZooKeeper at '{hosts}' does not answer") from error
        except (NoNodeError, NodeExistsError, BadVersionError):
            raise
        except KazooException as error:
            raise CoordinationError(f"the connection to ZooKeeper at '{hosts}' broke: {type(error).__name__}") from error

    def close(self) -> None:
        """End the session: its ephemeral nodes are gone, and calls that wait fail."""
        self._closed.set()
        self.client.stop()
        self.client.close()

    def _hosts(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in self.client.hosts)


def _client(config: Config, quiet_s: float) -> KazooClient:
    quorum = config[options.ZOOKEEPER_QUORUM]
    assert quorum is not None, "the rules of the options see to it"
    authorization = config[options.ZOOKEEPER_AUTHORIZATION]
    reconnect = KazooRetry(
        max_tries=-1, delay=RECONNECT_FIRST_S, max_delay=max(RECONNECT_FIRST_S, config[options.ZOOKEEPER_RETRY_WAIT])
    )
    return KazooClient(
        quorum,
        timeout=config[options.ZOOKEEPER_SESSION_TIMEOUT],
        auth_data=[tuple(authorization.split(":", 1))] if authorization else None,
        default_acl=CREATOR_ALL_ACL if config[options.ZOOKEEPER_ACL] == "creator" else None,
        connection_retry=reconnect,
        logger=KazooLog(quorum, quiet_s),
    )


class KazooLog(logging.LoggerAdapter[logging.Logger]):
    """What kazoo logs: with the ensemble's name, and not again and again while no server answers.

    Args:
        quorum: the servers.
        quiet_s: how long the first connection may take before that is worth a warning.
        clock: in seconds.
    """

    def __init__(self, quorum: str, quiet_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.getLogger("kazoo.client"))
        self._quorum = quorum
        self._said: set[str] = set()
        self._clock = clock
        self._warns_at = clock() + quiet_s

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Name the ensemble."""
        return f"ZooKeeper at '{self._quorum}': {msg}", kwargs

    def log(self, level: int, msg: object, *arguments: object, **settings: Any) -> None:
        """Pass a message on; one that was said since the last connection only to who looks for details."""
        if level == logging.INFO and "connection established" in str(msg):
            self._said.clear()
            self._warns_at = 0.0
        if level >= logging.WARNING:
            if self._clock() < self._warns_at:
                level = logging.INFO
            else:
                text = str(msg) % arguments if arguments else str(msg)
                level = logging.DEBUG if text in self._said else level
                self._said.add(text)
        super().log(level, msg, *arguments, **settings)
