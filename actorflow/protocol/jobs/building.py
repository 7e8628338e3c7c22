"""What the workers of a run are told to build: their own subtasks, and where all others are.

Numbers: an order carries that of the run, which its answers name, and that of the deployment, which fences frames and names files; they differ
for a region that comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actorflow.ids import Address, SubtaskId
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.jobs.deployment import Attempt
from actorflow.protocol.jobs.job_description import JobDescription, Timeouts
from actorflow.protocol.jobs.job_messages import LeaseSlot, OpenDeployment
from actorflow.protocol.jobs.quarantine import Quarantined
from actorflow.protocol.jobs.workers import Worker, Workers
from actorflow.protocol.nodes.slot_messages import Allocation, Lease


def lease_orders(description: JobDescription, job_master: Address, leases: Iterable[Lease]) -> list[tuple[Address, LeaseSlot]]:
    """Return what TaskManagers are told to start: a worker for each lease."""
    return [
        (lease.slot.task_manager, LeaseSlot(lease.allocation, lease.slot.index, description.job, job_master, description.blobs))
        for lease in leases
    ]


def attempt_in(worker: Worker, subtask: SubtaskId, run: int, timeouts: Timeouts) -> Attempt:
    """Return a new attempt to run a subtask in a worker that is ready."""
    lease = worker.lease
    return Attempt(
        subtask,
        run,
        worker.reachable,
        lease.slot.task_manager,
        lease.allocation,
        deploy_timeout_s=timeouts.deploy_s,
        cancel_timeout_s=timeouts.cancel_s,
    )


def by_allocation(attempts: Mapping[SubtaskId, Attempt], subtasks: Iterable[SubtaskId]) -> dict[Allocation, tuple[SubtaskId, ...]]:
    """Return for each lease those of these subtasks that run there."""
    theirs: dict[Allocation, list[SubtaskId]] = {}
    for subtask in subtasks:
        theirs.setdefault(attempts[subtask].allocation, []).append(subtask)
    return {allocation: tuple(own) for allocation, own in theirs.items()}


class BuildingOrders:
    """Writes the orders of one deployment.

    Args:
        description: the job.
        job_master: whom the workers answer.
        run: its number.
        deployment: that of the deployment: of the run, or of a region that comes back.
        restored: what the subtasks go on from.
        quarantined: records that operators are to put aside.
    """

    def __init__(
        self,
        description: JobDescription,
        job_master: Address,
        run: int,
        deployment: int,
        restored: Restored,
        quarantined: tuple[Quarantined, ...],
    ) -> None:
        self._description = description
        self._job_master = job_master
        self._run = run
        self._deployment = deployment
        self._restored = restored
        self._quarantined = quarantined

    def orders(
        self, workers: Workers, attempts: Mapping[SubtaskId, Attempt], theirs: Mapping[Allocation, tuple[SubtaskId, ...]]
    ) -> list[tuple[Address, OpenDeployment]]:
        """Return the order of each worker that is to build something.

        Args:
            workers: all of the run.
            attempts: all of the run; where they are is told to everybody.
            theirs: what each worker is to build.
        """
        addresses = tuple(attempt.worker for attempt in attempts.values())
        endpoints = {worker.node: worker.endpoints for worker in workers}
        description, parts = self._description, self._restored.parts
        orders = []
        for allocation, subtasks in theirs.items():
            vertices = dict.fromkeys(subtask.vertex for subtask in subtasks)
            order = OpenDeployment(
                description.job,
                self._run,
                self._deployment,
                allocation,
                self._job_master,
                description.plan,
                dict(description.options),
                subtasks,
                addresses,
                endpoints,
                tuple((vertex, parts[vertex]) for vertex in vertices if vertex in parts),
                self._quarantined,
                description.code,
            )
            orders.append((workers[allocation].reachable, order))
        return orders
