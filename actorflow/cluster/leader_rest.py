"""The REST server of whoever leads: it comes with the leadership and goes with it, off the threads that decide.

    granted ─► listening, as soon as the port is free ─► published     revoked ─► closed      (with `rest.port` only)

A leader that was deposed on the same host may still hold the port for a moment, so it is tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from actorflow.actor import ActorSystem
from actorflow.config import Config, options
from actorflow.errors import ConfigError
from actorflow.ids import Address
from actorflow.inspection.cluster_view import ClusterView

log = logging.getLogger(__name__)

_AGAIN_S = 1.0


def serve_leader(
    system: ActorSystem,
    config: Config,
    leader: tuple[Address, Address],
    deposed: threading.Event,
    published: Callable[[str], None],
) -> None:
    """Serve a leadership until it ends, on a thread of its own; nothing happens without `rest.port`.

    Args:
        system: the leader's actors.
        config: its options.
        leader: addresses of its Dispatcher and its ResourceManager.
        deposed: set when it leads no longer.
        published: told where it answers, on that thread.
    """
    if config[options.REST_PORT] is not None:
        view = ClusterView(system, lambda: leader)
        threading.Thread(target=_serve, args=(view, config, deposed, published), name="actorflow-rest-leader", daemon=True).start()


def _serve(view: ClusterView, config: Config, deposed: threading.Event, published: Callable[[str], None]) -> None:
    from actorflow.rest.server import RestServer

    while not deposed.is_set():
        try:
            server = RestServer(view, config)
        except ConfigError as error:
            log.warning("%s", error)
            deposed.wait(_AGAIN_S)
        else:
            log.info("REST answers at %s", server.url)
            published(server.url)
            deposed.wait()
            server.close()
