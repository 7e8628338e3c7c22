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

GC_THRESHOLDS = (100_000, 50, 100)
"""When the garbage collector looks for cycles: after so many new containers that live on.

Batches and state are containers that hold no cycles, and each look at them is for nothing. Running counts of words are strings and
numbers, which the collector does not see at all. Where state is a million lists that grow up beside records that are dicts, looks
take 26 % of the time at CPython's defaults, 8 % at (50_000, 20, 100), 5 % here, with pauses of 15 ms; for 100,000 keys, 14 %, 1 %
and 0.5 %. Collecting less often does not shorten a job any more, but each look takes longer, and with it the slowest answer.
"""


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
    gc.set_threshold(*GC_THRESHOLDS)
    system.resolve(manager).tell_control(WorkerStarted(Allocation(allocation), worker.address, endpoint.endpoints))
    system.run()
