"""What each node tells Prometheus of itself, under Flink's names: a small server of the standard library, so that a TaskManager needs no FastAPI.

What runs on the node is told by the leader's REST server, once for the whole cluster: here there is what only the node knows, its process and its
connections. The process stands where Flink has its JVM.

Connections are few, and each has to be through in time, however slowly it says what it wants.
"""

from __future__ import annotations

import importlib.util
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from actorflow.actor import ActorSystem
from actorflow.config import Config, options
from actorflow.errors import ConfigError
from actorflow.protocol.nodes.leader import rest_url
from actorflow.rest.guard import Entrance
from actorflow.rest.listening import listening
from actorflow.rest.node_families import Kind, node_families
from actorflow.runtime.nodes.node_figures import node_figures

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 8
"""How many connections there may be; more are closed at once."""

THROUGH_WITHIN_S: Final = 5.0
"""How long a connection may last."""

_LOOKS_EVERY_S: Final = 3600.0
"""How often the server looks whether it is to end, if nothing wakes it."""


def serve_node_metrics(kind: Kind, system: ActorSystem, config: Config) -> None:
    """Answer Prometheus until the process ends, if the options say where. A node that cannot goes on without.

    Args:
        kind: of this node; part of the names of its metrics.
        system: the node's actors.
        config: its options.
    """
    ports = config[options.METRICS_PORT]
    if ports is None:
        return
    try:
        server = NodeMetricsServer(kind, system, config, ports)
    except ConfigError as error:
        log.warning("nobody is told how this node is: %s", error)
    else:
        log.info("answers Prometheus at %s/metrics", server.url)


class NodeMetricsServer:
    """Answers Prometheus about this node until it is closed.

    Args:
        kind: of this node.
        system: its actors.
        config: its options.
        ports: where it may listen.

    Attributes:
        url: where it answers.

    Raises:
        ConfigError: if it cannot listen there, or what it needs is not installed.
    """

    def __init__(self, kind: Kind, system: ActorSystem, config: Config, ports: tuple[int, ...]) -> None:
        if importlib.util.find_spec("prometheus_client") is None:
            raise ConfigError(
                f"cannot answer at '{options.METRICS_PORT.name}': the package 'prometheus_client' is not installed",
                hint="pip install 'actorflow[rest]'",
            )
        host = config[options.METRICS_HOST]
        bound = listening(
            host, ports, "the server for Prometheus", f"set '{options.METRICS_PORT.name}' to another port, or to several"
        )
        self.url = rest_url(host, bound.getsockname()[1])
        self._server = _Server(bound, lambda: exposition(kind, system), Entrance(config[options.REST_TOKEN], host))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOKS_EVERY_S,), name="actorflow-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread, which looks then whether it is to end
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def exposition(kind: Kind, system: ActorSystem) -> bytes:
    """Return what there is to tell of a node, in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(kind, system))
    told: bytes = generate_latest(registry)
    return told


class _Collector:
    """Reads the figures of the node when it is asked. See `prometheus_client.registry.Collector`."""

    def __init__(self, kind: Kind, system: ActorSystem) -> None:
        self._kind: Kind = kind
        self._system = system

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        return node_families(self._kind, {(): node_figures(self._system)})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, bound: socket.socket, told: Callable[[], bytes], entrance: Entrance) -> None:
        self.address_family = bound.family
        super().__init__(bound.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.told = told
        self.entrance = entrance
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread, if there are not too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, which is cut off if it is not through in time."""
        late = threading.Timer(THROUGH_WITHIN_S, _cut_off, (request,))
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class writes to standard error
        """Note that a connection broke, or was cut off."""
        log.debug("a connection for metrics has ended early: %s", sys.exc_info()[1])


def _cut_off(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "actorflow", ""

    def do_GET(self) -> None:
        """Answer `/metrics`."""
        headers = {name.lower().encode("latin-1"): value.encode("latin-1", "replace") for name, value in self.headers.items()}
        refusal = self.server.entrance.refusal(headers)
        if refusal is None and self.path.partition("?")[0] != "/metrics":
            refusal = 404, "there is nothing but /metrics"
        if refusal is not None:
            self._answer(refusal[0], refusal[1].encode())
        else:
            self._answer(200, self.server.told())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        """Write no access log."""
