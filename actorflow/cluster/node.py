"""What every node is made of: an endpoint by its options, and an actor system that sleeps on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actorflow.actor import ActorSystem
from actorflow.clock import SystemClock
from actorflow.config import Config, options
from actorflow.ids import NodeId
from actorflow.runtime.messages import control_codec
from actorflow.transport.addresses import parse
from actorflow.transport.curve import CurveKeys
from actorflow.transport.endpoint import Endpoint
from actorflow.transport.limits import TransportLimits


def transport_limits(config: Config) -> TransportLimits:
    """Return the transport's limits as the options say."""
    return TransportLimits(
        control_bytes_max=config[options.CONTROL_BYTES_MAX],
        data_bytes_max=config[options.FRAME_BYTES_MAX],
        blob_chunk_bytes=config[options.BLOB_CHUNK_BYTES],
        unsent_bytes_max=config[options.UNSENT_BYTES_MAX],
        heartbeat_interval_s=config[options.HEARTBEAT_INTERVAL],
        peer_timeout_s=config[options.HEARTBEAT_TIMEOUT],
        reconnect_initial_s=config[options.RECONNECT_INITIAL],
        reconnect_max_s=config[options.RECONNECT_MAX],
    )


def local_binding(node: NodeId, config: Config, directory: Path) -> list[str]:
    """Return where a node listens for its host, and for others, if the options name an interface that they can reach."""
    host = config[options.BIND_HOST]
    tcp = f"tcp://{host}:{config[options.BIND_PORT]}"
    if config[options.LOCAL_PROTOCOL] == "tcp":
        return [tcp]
    local = f"ipc://{directory / node}"
    return [local] if parse(tcp).local else [local, tcp]


def with_key(endpoints: Sequence[str], keys: CurveKeys | None) -> tuple[str, ...]:
    """Return endpoints that a configuration names, each with the key that its node has to show: nodes share a pair unless they say otherwise."""
    if keys is None:
        return tuple(endpoints)
    return tuple(
        endpoint if "#" in endpoint or not endpoint.startswith("tcp:") else f"{endpoint}#{keys.public}" for endpoint in endpoints
    )


class Node:
    """One node: its actors and its transport.

    Args:
        node: its id.
        config: its options.
        directory: where local sockets are made.
        bind: where it listens; by default as the options say for nodes of this host.
        advertise_host: by what name others find it, where that is not what it binds.

    Raises:
        TransportError: if it cannot listen where the options say.
    """

    def __init__(
        self, node: NodeId, config: Config, directory: Path, bind: Sequence[str] | None = None, advertise_host: str | None = None
    ) -> None:
        key_file = config[options.CURVE_KEY_FILE]
        if bind is None:
            bind = local_binding(node, config, directory)
        clock = SystemClock()
        self.keys = CurveKeys.load(key_file, config[options.CURVE_AUTHORIZED_KEYS]) if key_file else None
        self.endpoint = Endpoint(
            node,
            control_codec(),
            bind=bind,
            clock=clock,
            keys=self.keys,
            limits=transport_limits(config),
            advertise_host=advertise_host,
        )
        self.system = ActorSystem(
            node,
            clock=clock,
            io=self.endpoint.io,
            inbox_messages_max=config[options.INBOX_MESSAGES_MAX],
            ask_timeout_s=config[options.ASK_TIMEOUT],
        )
        self.system.router = self.endpoint
        self.endpoint.attach(self.system)
