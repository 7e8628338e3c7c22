"""The REST server of a JobManager: it answers while this one leads, and redirects to the leader while it does not.

    not listening ──led, or told to stand by with a port of its own──► redirecting ──led──► answering, its URL published ──deposed──► redirecting
                  ◄──deposed, where JobManagers share a port──

All of this is done on one thread, off those that decide. A port that is taken is tried again: a JobManager that led on the same host may still hold
it for a moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actorflow.actor import ActorSystem
from actorflow.config import Config, options
from actorflow.coordination import Leader
from actorflow.errors import ConfigError
from actorflow.ids import Address
from actorflow.rest.listening import rest_ports

if TYPE_CHECKING:
    from actorflow.rest.server import RestServer

log = logging.getLogger(__name__)

_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Leadership:
    """A leadership of this JobManager, to be shown.

    Attributes:
        actors: addresses of its Dispatcher and its ResourceManager.
        published: told where it answers, on the server's thread.
    """

    actors: tuple[Address, Address]
    published: Callable[[str], None]


def stands_by(config: Config, place: str) -> bool:
    """Return whether a JobManager listens before it leads: if there are ports for all that share its host.

    Args:
        config: its options.
        place: its `host:port`, as `jobmanager.hosts` has it.
    """
    ports, host = rest_ports(config), place.rpartition(":")[0]
    neighbours = sum(other.rpartition(":")[0] == host for other in config[options.JOBMANAGER_HOSTS])
    return bool(ports) and (ports == (0,) or len(ports) >= neighbours)


class JobManagerRest:
    """Serves REST for one JobManager until its process ends, if its options give it a port.

    Args:
        system: its actors.
        config: its options.
        place: its `host:port`.

    Raises:
        ConfigError: if what it needs is not installed: trying again would not help.
    """

    def __init__(self, system: ActorSystem, config: Config, place: str) -> None:
        self._system = system
        self._config = config
        self._stands_by = stands_by(config, place)
        self._changed = threading.Condition()
        self._leadership: Leadership | None = None
        self._leader_url: str | None = None
        if rest_ports(config):
            from actorflow.rest.server import check_installed

            check_installed()
            threading.Thread(target=self._run, name="actorflow-rest-leader", daemon=True).start()

    def lead(self, leadership: Leadership | None) -> None:
        """Answer for a leadership, or, with None, no longer."""
        with self._changed:
            self._leadership = leadership
            self._changed.notify()

    def follow(self, leader: Leader | None) -> None:
        """Redirect to a leader while this one is none."""
        with self._changed:
            self._leader_url = leader.rest_url if leader is not None else None
            self._changed.notify()

    def _run(self) -> None:
        server: RestServer | None = None
        shown: Leadership | None = None
        while True:
            with self._changed:
                leadership, leader_url = self._leadership, self._leader_url
            listens = self._stands_by or leadership is not None
            if server is not None and not listens:
                server.close()
                server, shown = None, None
            elif server is None and listens:
                server = self._opened()
            if server is not None:
                server.follow(leader_url)
                if leadership is not shown:
                    shown = leadership
                    self._show(server, leadership)
            with self._changed:
                if (leadership, leader_url) == (self._leadership, self._leader_url):
                    self._changed.wait(_AGAIN_S if listens and server is None else None)

    def _opened(self) -> RestServer | None:
        from actorflow.rest.server import RestServer

        try:
            server = RestServer(self._config)
        except ConfigError as error:
            log.warning("%s", error)
            return None
        log.info("REST answers at %s", server.url)
        return server

    def _show(self, server: RestServer, leadership: Leadership | None) -> None:
        from actorflow.inspection.cluster_view import ClusterView

        if leadership is None:
            server.stand_by()
            return
        actors = leadership.actors
        server.lead(ClusterView(self._system, lambda: actors))
        leadership.published(server.url)
