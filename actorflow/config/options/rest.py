"""The REST server of a JobManager, and what each node tells Prometheus."""

from __future__ import annotations

from actorflow.config.kinds import TEXT, memory, optional, ports, whole
from actorflow.config.option import Option

REST_ADDRESS = Option(
    "rest.address",
    TEXT,
    "127.0.0.1",
    "Host by which others find the REST server. Anything but loopback needs a token.",
)
REST_BIND_ADDRESS = Option(
    "rest.bind-address",
    optional(TEXT),
    None,
    "Interface on which the REST server listens, such as `0.0.0.0`. Anything but loopback needs a token.",
    unset="as `rest.address`",
)
REST_PORT = Option(
    "rest.port",
    optional(whole(0, 65535)),
    None,
    "Port of the REST server; 0 takes a free one. Flink's server listens at 8081, whether or not it is asked to.",
    unset="there is no REST server, unless `rest.bind-port` is set",
)
REST_BIND_PORT = Option(
    "rest.bind-port",
    optional(ports()),
    None,
    "Where the REST server listens: a port, or a range such as `8081-8090` of which the first free one is taken. "
    "If a host has as many ports as JobManagers, each of them answers, and those that do not lead redirect to the leader.",
    unset="as `rest.port`",
)
REST_TOKEN = Option(
    "actorflow.rest.token",
    optional(TEXT),
    None,
    "What requests must carry as `Authorization: Bearer TOKEN`. Without it every process of this host may read and cancel.",
    unset="requests need no token",
    secret=True,
)
METRICS_PORT = Option(
    "metrics.reporter.prom.port",
    optional(ports()),
    None,
    "Where each node answers Prometheus about itself: a port, or a range such as `9250-9260` of which each takes the first that is free.",
    unset="only `/metrics` of the REST server does",
)
METRICS_HOST = Option(
    "metrics.reporter.prom.host",
    TEXT,
    "127.0.0.1",
    "Interface on which nodes answer Prometheus. Anything but loopback needs the token of the REST server.",
)
REST_CONTENT_BYTES_MAX = Option(
    "rest.server.max-content-length",
    memory(1024, 1 << 30),
    1 << 20,
    "Largest body of a request. Flink takes 100 MB, for the programs that are uploaded to it.",
)
