"""The REST server of a JobManager."""

from __future__ import annotations

from actorflow.config.kinds import TEXT, memory, optional, whole
from actorflow.config.option import Option

REST_ADDRESS = Option(
    "rest.address",
    TEXT,
    "127.0.0.1",
    "Interface on which the REST server listens. Anything but loopback needs a token.",
)
REST_PORT = Option(
    "rest.port",
    optional(whole(0, 65535)),
    None,
    "Port of the REST server; 0 takes a free one. Flink's server listens at 8081, whether or not it is asked to.",
    unset="there is no REST server",
)
REST_TOKEN = Option(
    "actorflow.rest.token",
    optional(TEXT),
    None,
    "What requests must carry as `Authorization: Bearer TOKEN`. Without it every process of this host may read and cancel.",
    unset="requests need no token",
    secret=True,
)
REST_CONTENT_BYTES_MAX = Option(
    "rest.server.max-content-length",
    memory(1024, 1 << 30),
    1 << 20,
    "Largest body of a request. Flink takes 100 MB, for the programs that are uploaded to it.",
)
