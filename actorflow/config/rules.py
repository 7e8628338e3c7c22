"""Options that are impossible beside each other. Each rule names the options it reads, and what must hold."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actorflow.config import options
from actorflow.config.option import Option


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on several options.

    Attributes:
        options: the options it reads.
        holds: given their values in that order, whether they fit together.
        text: what must hold, in words.
    """

    options: tuple[Option[Any], ...]
    holds: Callable[..., bool]
    text: str


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


RULES = (
    Rule(
        (options.HEARTBEAT_INTERVAL, options.HEARTBEAT_TIMEOUT),
        lambda interval_s, timeout_s: 2 * interval_s <= timeout_s,
        "the timeout must leave room for two heartbeats, or one late message counts as a lost node",
    ),
    Rule(
        (options.BUFFERS_PER_CHANNEL, options.MAX_BUFFERS_PER_CHANNEL),
        lambda granted, held: granted <= held,
        "a sender must be able to hold what a receiver grants",
    ),
    Rule(
        (options.REST_ADDRESS, options.REST_BIND_ADDRESS, options.REST_TOKEN),
        lambda address, bound, token: token is not None or _loopback(bound or address),
        "who serves anything but loopback needs a token",
    ),
    Rule(
        (options.METRICS_HOST, options.REST_TOKEN),
        lambda address, token: token is not None or _loopback(address),
        "who answers Prometheus on anything but loopback needs a token",
    ),
    Rule(
        (options.REST_TOKEN,),
        lambda token: token is None or (len(token) >= 16 and token.isascii() and token.isprintable() and " " not in token),
        "a token has 16 printable characters or more, and no spaces",
    ),
    Rule(
        (options.BLOB_CHUNK_BYTES, options.FRAME_BYTES_MAX),
        lambda chunk_bytes, frame_bytes: chunk_bytes <= frame_bytes,
        "a piece of a blob must fit into a frame",
    ),
    Rule(
        (options.FRAME_BYTES_MAX, options.UNSENT_BYTES_MAX),
        lambda frame_bytes, unsent_bytes: frame_bytes <= unsent_bytes,
        "the largest frame must be allowed to wait",
    ),
    Rule(
        (options.RECONNECT_INITIAL, options.RECONNECT_MAX),
        lambda first_s, longest_s: first_s <= longest_s,
        "the first time is not longer than the longest",
    ),
    Rule(
        (options.EXPONENTIAL_INITIAL_BACKOFF, options.EXPONENTIAL_MAX_BACKOFF),
        lambda first_s, longest_s: first_s <= longest_s,
        "the first time is not longer than the longest",
    ),
    Rule(
        (options.CURVE_KEY_FILE, options.CURVE_AUTHORIZED_KEYS),
        lambda key_file, authorized_keys: key_file is not None or authorized_keys is None,
        "a node without keys of its own cannot ask others for theirs",
    ),
    Rule(
        (options.CHECKPOINT_MODE, options.CHECKPOINT_UNALIGNED),
        lambda mode, unaligned: not unaligned or mode == "exactly-once",
        "at-least-once blocks no channel, so there is nothing that barriers could overtake",
    ),
    Rule(
        (options.CHECKPOINT_RETENTION, options.CHECKPOINT_DIRECTORY),
        lambda retention, directory: retention == "delete-on-cancellation" or directory is not None,
        "a checkpoint in the JobManager's memory cannot outlive it",
    ),
    Rule(
        (options.HA_TYPE, options.JOBMANAGER_HOSTS),
        lambda kind, hosts: kind != "none" or len(hosts) <= 1,
        "nothing chooses the leader among several JobManagers; 'high-availability.type: zookeeper' does",
    ),
    Rule(
        (options.HA_TYPE, options.ZOOKEEPER_QUORUM),
        lambda kind, quorum: kind != "zookeeper" or quorum is not None,
        "it has to be known where ZooKeeper is",
    ),
    Rule(
        (options.HA_TYPE, options.HA_STORAGE),
        lambda kind, directory: kind != "zookeeper" or directory is not None,
        "the next leader needs a place to read submitted jobs from",
    ),
    Rule(
        (options.ZOOKEEPER_ACL, options.ZOOKEEPER_AUTHORIZATION),
        lambda acl, authorization: acl == "open" or authorization is not None,
        "who says nothing of itself has no nodes of its own",
    ),
    Rule(
        (options.RESOURCE_DRIVER, options.SLOTS_MAX),
        lambda driver, slots_max: driver == "standalone" or slots_max is not None,
        "who starts TaskManagers needs a limit",
    ),
    Rule(
        (options.SLOTS_MIN, options.SLOTS_MAX),
        lambda slots_min, slots_max: slots_max is None or slots_min <= slots_max,
        "the least is not more than the most",
    ),
    Rule(
        (options.RESOURCE_DRIVER, options.JOBMANAGER_HOSTS),
        lambda driver, hosts: driver != "process" or len({place.rpartition(":")[0] for place in hosts}) <= 1,
        "driver `process` starts TaskManagers on the leader's host, and the next leader has to find them there",
    ),
    Rule(
        (options.LOCAL_PROTOCOL, options.BIND_HOST, options.CURVE_KEY_FILE),
        lambda protocol, host, key_file: protocol == "ipc" or key_file is not None or _loopback(host),
        "who listens on anything but loopback needs keys; `actorflow keygen DIR` makes them",
    ),
)
