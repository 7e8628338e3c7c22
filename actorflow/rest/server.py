"""The REST server: on threads of its own in the JobManager's process, so that it never holds up an actor."""

from __future__ import annotations

import socket
import threading
from typing import Any

from actorflow.config import Config, options
from actorflow.errors import ConfigError
from actorflow.inspection.cluster_view import ClusterView
from actorflow.protocol.leader import rest_url

_END_WITHIN_S = 5.0
_BACKLOG = 128


class RestServer:
    """Serves a cluster over HTTP until it is closed.

    Args:
        view: looks at the cluster.
        config: options of the JobManager; `rest.port` is set.

    Attributes:
        url: where it answers.

    Raises:
        ConfigError: if it cannot listen there, or what it needs is not installed.
    """

    def __init__(self, view: ClusterView, config: Config) -> None:
        try:
            import uvicorn

            from actorflow.rest.app import make_app
        except ModuleNotFoundError as error:
            hint = "pip install 'actorflow[rest]'"
            raise ConfigError(f"cannot serve REST: the package '{error.name}' is not installed", hint=hint) from None
        from actorflow.rest.guard import Guard
        from actorflow.rest.savepoints import SavepointRequests

        address, port = config[options.REST_ADDRESS], config[options.REST_PORT]
        assert port is not None, "there is a server if there is a port"
        self._socket = _listening(address, port)
        bound: Any = self._socket.getsockname()
        self.url = rest_url(address, bound[1])
        self._savepoints = SavepointRequests(view.system)
        guard = Guard(
            make_app(view, self._savepoints, config),
            token=config[options.REST_TOKEN],
            address=address,
            body_bytes_max=config[options.REST_CONTENT_BYTES_MAX],
        )
        settings = uvicorn.Config(
            guard,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="actorflow-rest", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more requests. A second call does nothing."""
        self._server.should_exit = True
        self._thread.join(_END_WITHIN_S)
        self._savepoints.close()
        self._socket.close()


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"the REST server cannot listen on {address}:{port}: {error.strerror}",
            hint=f"set '{options.REST_PORT.name}' to another port; 0 takes a free one",
        ) from None
    return listening
