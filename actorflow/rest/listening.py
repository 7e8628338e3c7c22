"""Where a server of this node listens: the first of its ports that is free."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

from actorflow.config import Config, options
from actorflow.errors import ConfigError

log = logging.getLogger(__name__)

_BACKLOG = 128


def rest_ports(config: Config) -> tuple[int, ...]:
    """Return where the options let a REST server listen: any of these ports; none if there is no server."""
    bound, port = config[options.REST_BIND_PORT], config[options.REST_PORT]
    return bound if bound is not None else () if port is None else (port,)


def listening(address: str, ports: Sequence[int], what: str, hint: str) -> socket.socket:
    """Return a socket at the first of the ports that is free; `what` listens there, and `hint` says how it could elsewhere.

    Raises:
        ConfigError: if none is.
    """
    assert ports, "there is a server if there is a port"
    for port in ports[:-1]:
        try:
            return _bound(address, port, what, hint)
        except ConfigError as error:
            log.debug("%s; the next port is tried", error)
    return _bound(address, ports[-1], what, hint)


def _bound(address: str, port: int, what: str, hint: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(f"{what} cannot listen on {address}:{port}: {error.strerror}", hint=hint) from None
    return listening
