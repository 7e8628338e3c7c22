"""The main function of a slot worker process: a node with one actor, the `SlotWorker`, that builds what it is told to.

The dispatcher runs in the main thread, so user code does too. The process ends when its TaskManager kills it; it needs no other end.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from actorflow.actor import prompt_switches
from actorflow.cluster.logs import start_logging
from actorflow.cluster.node import Node
from actorflow.config import Config
from actorflow.ids import Address, NodeId, split_address, unique_suffix
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost, OpenDeployment, OptionValue, WorkerStarted
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.protocol.transfer.partitions import PartitionsAt
from actorflow.runtime.subtasks.context import AsyncThread
from actorflow.runtime.workers.deployment import Site
from actorflow.runtime.workers.slot_worker import SlotWorker
from actorflow.runtime.workers.stacks import stack_file, write_on_signal

log = logging.getLogger(__name__)

GC_THRESHOLDS = (5_000, 1_000, 100)
"""When the garbage collector looks for cycles: after 5,000 new containers that live on, and at older ones after 5 million.

Batches and state are containers without cycles, and each look at them is for nothing. Running counts of words are strings and
numbers, which the collector does not see: there no thresholds matter. Where records are dicts and state is a list for each key, looks
take this share of the time while the state grows, with these longest pauses:

    thresholds              100,000 keys         1,000,000 keys
    (700, 10, 10)           14 %   23 ms         26 %   69 ms       CPython's default
    (10_000, 10, 10)         2 %    8 ms         10 %   24 ms
    (100_000, 50, 100)       0.4 %  5 ms          6 %   22 ms       so many objects at once are no longer in the processor's cache
    (5_000, 1_000, 100)      2 %    6 ms          6 %    1 ms
"""


def main(
    *,
    allocation: str,
    task_manager: str,
    endpoints: Sequence[str],
    directory: str,
    settings: Mapping[str, OptionValue],
    backup: str | None = None,
    cache: str | None = None,
    blobs: str | None = None,
    partitions: str = "",
) -> None:
    """Run a slot worker until it is killed.

    Args:
        allocation: the lease it serves.
        task_manager: address of its TaskManager.
        endpoints: where the TaskManager's node can be reached.
        directory: where local sockets are made.
        settings: the node's options by name.
        backup: where its job keeps copies of its state on this host.
        cache: where its job keeps copies of cached files on this host.
        blobs: where its TaskManager keeps the blobs that it has fetched.
        partitions: address of what reads to other hosts what its job writes on this one; nothing if there are no others.
    """
    config = Config.of(settings, "node")
    name = NodeId(f"worker-{allocation}-{unique_suffix()}")
    start_logging(config, name)
    node = Node(name, config, Path(directory))
    endpoint, system = node.endpoint, node.system
    manager = Address(task_manager)
    endpoint.learn(split_address(manager)[0], tuple(endpoints))

    def learn_peers(deployment: OpenDeployment) -> None:
        for peer, reachable in deployment.endpoints.items():
            endpoint.learn(peer, reachable)

    def announce(worker: Address) -> None:
        system.send(manager, WorkerStarted(Allocation(allocation), worker, endpoint.endpoints))

    site = Site(
        system,
        endpoint,
        AsyncThread(),
        message_bytes_max=endpoint.limits.message_bytes_max,
        backup=None if backup is None else Path(backup),
        cache=None if cache is None else Path(cache),
        blobs=None if blobs is None else Path(blobs),
        served=PartitionsAt("", Address(partitions), tuple(endpoints) if partitions else ()),
    )
    worker = system.spawn(SlotWorker, Allocation(allocation), site, learn_peers, announce, name="worker")
    endpoint.on_link_broken.append(lambda peer: worker.tell_control(LinkBroken(peer)))
    endpoint.on_peer_lost.append(lambda peer, reason: _end_without(manager, peer, reason))
    endpoint.on_peer_lost.append(lambda peer, reason: worker.tell_control(NodeLost(peer, reason)))
    stacks = write_on_signal(stack_file(Path(directory), allocation))
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with prompt_switches():
        system.run()
    stacks.close()


def _end_without(manager: Address, peer: NodeId, reason: str) -> None:
    """End this process if the peer that was lost is its TaskManager's node: nobody is left to work for."""
    if peer == split_address(manager)[0]:
        log.info("slot worker ends: its TaskManager %s is lost: %s", manager, reason)
        os._exit(0)
