"""The main function of a slot worker process: a node with one actor, the `SlotWorker`, that builds what it is told to.

The dispatcher runs in the main thread, so user code does too. The process ends when its TaskManager kills it; it needs no other end.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

from actorflow.cluster.node import Node
from actorflow.config import Config
from actorflow.ids import Address, NodeId, split_address, unique_suffix
from actorflow.protocol.job_messages import OpenDeployment, OptionValue, WorkerStarted
from actorflow.protocol.slots import Allocation
from actorflow.runtime.assembly import Site
from actorflow.runtime.context import AsyncThread
from actorflow.runtime.slot_worker import SlotWorker

_GC_THRESHOLDS = (50_000, 20, 100)
"""Batches are many small, short-lived objects; the defaults would scan them again and again for cycles that are not there."""


def main(
    *,
    allocation: str,
    task_manager: str,
    endpoints: Sequence[str],
    directory: str,
    settings: Mapping[str, OptionValue],
) -> None:
    """Run a slot worker until it is killed.

    Args:
        allocation: the lease it serves.
        task_manager: address of its TaskManager.
        endpoints: where the TaskManager's node can be reached.
        directory: where local sockets are made.
        settings: the node's options by name.
    """
    node = Node(NodeId(f"worker-{allocation}-{unique_suffix()}"), Config.of(settings, "node"), Path(directory))
    endpoint, system = node.endpoint, node.system
    manager = Address(task_manager)
    endpoint.learn(split_address(manager)[0], tuple(endpoints))

    def learn_peers(deployment: OpenDeployment) -> None:
        for peer, reachable in deployment.endpoints.items():
            endpoint.learn(peer, reachable)

    site = Site(system, endpoint, AsyncThread())
    worker = system.spawn(SlotWorker, Allocation(allocation), site, learn_peers, name="worker")
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    system.resolve(manager).tell_control(WorkerStarted(Allocation(allocation), worker.address, endpoint.endpoints))
    system.run()
