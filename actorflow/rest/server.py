"""The REST server: on threads of its own in the JobManager's process, so that it never holds up an actor."""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING, Any, Final

from actorflow.config import Config, options
from actorflow.errors import ConfigError
from actorflow.inspection.cluster_view import ClusterView
from actorflow.protocol.nodes.leader import rest_url
from actorflow.rest.front import Front
from actorflow.rest.listening import listening, rest_ports
from actorflow.web import web_files

if TYPE_CHECKING:
    from actorflow.rest.job_requests import JobRequests

_END_WITHIN_S = 5.0

_PACKAGES: Final = ("fastapi", "prometheus_client", "typing_extensions", "uvicorn")

_ELSEWHERE = f"set '{options.REST_PORT.name}' to another port, or '{options.REST_BIND_PORT.name}' to several"


def check_installed() -> None:
    """Look for what a REST server needs.

    Raises:
        ConfigError: if a package is not installed.
    """
    missing = next((package for package in _PACKAGES if importlib.util.find_spec(package) is None), None)
    if missing is not None:
        raise ConfigError(f"cannot serve REST: the package '{missing}' is not installed", hint="pip install 'actorflow[rest]'")


class RestServer:
    """Serves a cluster over HTTP until it is closed: redirects to the leader, or answers itself while it is told to.

    Args:
        config: options of the JobManager, with a port; see `rest_ports`.

    Attributes:
        url: where it answers.

    Raises:
        ConfigError: if it cannot listen there, or what it needs is not installed.
    """

    def __init__(self, config: Config) -> None:
        check_installed()
        import uvicorn

        from actorflow.rest.connections import PromptConnection
        from actorflow.rest.guard import Guard

        self._config = config
        address = config[options.REST_ADDRESS]
        self._socket = listening(config[options.REST_BIND_ADDRESS] or address, rest_ports(config), "the REST server", _ELSEWHERE)
        bound: Any = self._socket.getsockname()
        self.url = rest_url(address, bound[1])
        self._web = web_files()
        self._front = Front(self.url)
        self._requests: JobRequests | None = None
        settings = uvicorn.Config(
            Guard(
                self._front,
                token=config[options.REST_TOKEN],
                public=self._web,
                address=address,
                body_bytes_max=config[options.REST_CONTENT_BYTES_MAX],
            ),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=PromptConnection,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="actorflow-rest", daemon=True)
        self._thread.start()

    def lead(self, view: ClusterView) -> None:
        """Answer, with what a view of the cluster shows."""
        from actorflow.rest.app import make_app
        from actorflow.rest.job_requests import JobRequests

        self.stand_by()
        self._requests = JobRequests(view.system)
        self._front.lead(make_app(view, self._requests, self._config, self._web))

    def stand_by(self) -> None:
        """Answer no more, and redirect."""
        self._front.stand_by()
        requests, self._requests = self._requests, None
        if requests is not None:
            requests.close()

    def follow(self, leader_url: str | None) -> None:
        """Redirect to a leader, while this one is none; None if none is known."""
        self._front.follow(leader_url)

    def close(self) -> None:
        """Answer no more requests. A second call does nothing."""
        self._server.should_exit = True
        self._thread.join(_END_WITHIN_S)
        self.stand_by()
        self._socket.close()
