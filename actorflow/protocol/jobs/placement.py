"""Placement: which subtask runs in which slot. A pure function.

Subtask i of each vertex of a slot group goes into the group's slot i, so a slot holds one parallel slice of the pipeline, and at
most one subtask of a vertex. What is left to decide is which lease becomes slot i of which group:

1. a slot keeps what it had (`previous`), so that a restart moves as little as possible;
2. the rest, largest slice first, is spread (to the TaskManager with the fewest slots in use, then the fewest subtasks) or packed
   (to as few TaskManagers as possible).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Literal

from actorflow.errors import NotEnoughSlots
from actorflow.ids import Address, SubtaskId
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.nodes.slot_messages import Lease, Slot

Strategy = Literal["spread", "pack"]


@dataclass(slots=True)
class _Host:
    """A TaskManager while slots are being filled: what is in use, how many subtasks that is, and what is left."""

    address: Address
    used: int = 0
    subtasks: int = 0
    left: dict[Slot, Lease] = field(default_factory=dict)

    def use(self, slot: Slot, subtasks: int) -> Lease:
        """Take a slot for so many subtasks."""
        self.used += 1
        self.subtasks += subtasks
        return self.left.pop(slot)


def place(
    graph: ExecutionGraph,
    leases: Sequence[Lease],
    *,
    strategy: Strategy = "spread",
    previous: Mapping[SubtaskId, Slot] | None = None,
) -> dict[SubtaskId, Lease]:
    """Return the lease that each subtask of `graph` runs under, in the order of `graph.subtasks()`.

    Args:
        graph: what is to run.
        leases: slots to use, at least `graph.slots_needed()`, in any order; those left over are the last resort of the strategy.
        strategy: spread over the TaskManagers, or packed onto few.
        previous: where the subtasks ran before.

    Raises:
        NotEnoughSlots: if there are fewer leases than slots needed.
    """
    needed = graph.slots_needed()
    if len(leases) < needed:
        raise NotEnoughSlots(f"job '{graph.name}' needs {needed} slots to be placed and has {len(leases)}")
    slices = _slices(graph)
    hosts = _hosts(leases)
    chosen = _keep(slices, hosts, previous or {})
    rest = {key: subtasks for key, subtasks in slices.items() if key not in chosen}
    _spread_or_pack(rest, hosts, strategy, chosen)
    by_subtask = {subtask: chosen[key] for key, subtasks in slices.items() for subtask in subtasks}
    return {subtask: by_subtask[subtask] for subtask in graph.subtasks()}


def _slices(graph: ExecutionGraph) -> dict[tuple[str, int], list[SubtaskId]]:
    """Return the subtasks that share a slot, by slot group and index in it."""
    slices: dict[tuple[str, int], list[SubtaskId]] = {}
    for vertex in graph.vertices:
        for index in range(vertex.parallelism):
            group = "" if graph.blocking else vertex.slot_group  # between stages the groups take turns
            slices.setdefault((group, index), []).append(SubtaskId(vertex.id, index))
    return slices


def _hosts(leases: Sequence[Lease]) -> dict[Address, _Host]:
    hosts: dict[Address, _Host] = {}
    for lease in sorted(leases, key=lambda lease: lease.slot):
        address = lease.slot.task_manager
        hosts.setdefault(address, _Host(address)).left[lease.slot] = lease
    return hosts


def _keep(
    slices: Mapping[tuple[str, int], list[SubtaskId]], hosts: dict[Address, _Host], previous: Mapping[SubtaskId, Slot]
) -> dict[tuple[str, int], Lease]:
    """Give each slice the slot where most of its subtasks ran, if it is there and nobody has taken it."""
    kept: dict[tuple[str, int], Lease] = {}
    for key, subtasks in slices.items():
        votes: dict[Slot, int] = {}
        for subtask in subtasks:
            if subtask in previous:
                votes[previous[subtask]] = votes.get(previous[subtask], 0) + 1
        for slot in sorted(votes, key=lambda slot: (-votes[slot], slot)):
            host = hosts.get(slot.task_manager)
            if host is not None and slot in host.left:
                kept[key] = host.use(slot, len(subtasks))
                break
    return kept


def _spread_or_pack(
    slices: Mapping[tuple[str, int], list[SubtaskId]],
    hosts: Mapping[Address, _Host],
    strategy: Strategy,
    chosen: dict[tuple[str, int], Lease],
) -> None:
    """Give each slice a slot of the TaskManager whose turn it is. Only that one's rank changes by it, so the others stay in a heap."""
    rank = _least_used if strategy == "spread" else _best_filled
    queue = [rank(host) for host in hosts.values() if host.left]
    heapify(queue)
    for key in sorted(slices, key=lambda key: -len(slices[key])):
        host = hosts[queue[0][-1]]
        chosen[key] = host.use(next(iter(host.left)), len(slices[key]))
        if host.left:
            heapreplace(queue, rank(host))
        else:
            heappop(queue)


def _least_used(host: _Host) -> tuple[int, int, Address]:
    return host.used, host.subtasks, host.address


def _best_filled(host: _Host) -> tuple[int, int, Address]:
    return int(host.used == 0), -len(host.left), host.address
