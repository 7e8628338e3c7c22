"""The workers of one run: a lease each, and how far each worker is.

    leased ──SlotReady──► ready ──DeploymentOpened──► opened          any ──slot gone──► forgotten

Every answer is found without looking at the other workers: a run has as many events as it has workers, and many more.

Late rule: news of an allocation that the run does not hold (any more), and a step that was taken before, are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, NodeId, SubtaskId, split_address
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.jobs.job_messages import ProgressReported, SlotReady
from actorflow.protocol.machine import ensure
from actorflow.protocol.nodes.slot_messages import Allocation, Lease


@dataclass(slots=True)
class Worker:
    """A worker of a run.

    Attributes:
        lease: the slot it runs in.
        address: its own, once it is ready.
        endpoints: where its node can be reached.
        subtasks: what it runs, once they are placed.
        records_in: records that its sources have read.
        records_out: records that its sinks have written.
    """

    lease: Lease
    address: Address | None = None
    endpoints: tuple[str, ...] = ()
    subtasks: tuple[SubtaskId, ...] = ()
    records_in: int = 0
    records_out: int = 0

    @property
    def reachable(self) -> Address:
        """The address of a worker that is ready."""
        assert self.address is not None, f"the worker in {self.lease.slot} has not reported"
        return self.address

    @property
    def node(self) -> NodeId:
        """The node of a worker that is ready."""
        return split_address(self.reachable)[0]


def with_what_ran(error: ErrorInfo, worker: Worker, graph: ExecutionGraph) -> ErrorInfo:
    """Return why a worker is gone, with what ran there: one of these operators may be to blame, and its TaskManager does not know them."""
    named = [f"{graph.vertex(subtask.vertex).name}/{subtask.index}" for subtask in worker.subtasks]
    return replace(error, context={**error.context, "it ran": ", ".join(named)}) if named else error


class Workers:
    """Keeps the workers of one run.

    Args:
        records_in: records that sources have read which do not run again in this run.
        records_out: records that sinks have written which do not.
    """

    def __init__(self, records_in: int = 0, records_out: int = 0) -> None:
        self._records_in = records_in
        self._records_out = records_out
        self._workers: dict[Allocation, Worker] = {}
        self._not_ready: dict[Allocation, None] = {}
        self._not_opened: dict[Allocation, None] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def __contains__(self, allocation: Allocation) -> bool:
        return allocation in self._workers

    def __getitem__(self, allocation: Allocation) -> Worker:
        return self._workers[allocation]

    def nodes_of(self, allocations: Iterable[Allocation]) -> list[NodeId]:
        """Return the nodes of the TaskManagers of some leases, as far as these are held."""
        held = (self._workers[allocation].lease.slot for allocation in allocations if allocation in self._workers)
        return list(dict.fromkeys(split_address(slot.task_manager)[0] for slot in held))

    @property
    def all_ready(self) -> bool:
        """Whether nobody has still to report."""
        return not self._not_ready

    @property
    def all_opened(self) -> bool:
        """Whether nobody has still to build its subtasks."""
        return not self._not_opened

    @property
    def records(self) -> tuple[int, int]:
        """The records that were read and that were written, by workers that are gone too."""
        return self._records_in, self._records_out

    def not_ready(self) -> tuple[Lease, ...]:
        """Return the leases of those who have still to report."""
        return tuple(self._workers[allocation].lease for allocation in self._not_ready)

    def at(self, address: Address) -> Worker | None:
        """Return the worker at an address, or None. It looks at all of them: this is for what rarely happens."""
        return next((worker for worker in self if worker.address == address), None)

    def leased(self, leases: Iterable[Lease]) -> None:
        """Expect a worker for each lease."""
        self._workers = {lease.allocation: Worker(lease) for lease in leases}
        self._not_ready = dict.fromkeys(self._workers)
        self._not_opened = dict.fromkeys(self._workers)

    def ready(self, ready: SlotReady) -> bool:
        """Note that a worker has reported; return whether that is news."""
        if ready.allocation not in self._not_ready:
            return False
        del self._not_ready[ready.allocation]
        worker = self._workers[ready.allocation]
        worker.address, worker.endpoints = ready.worker, ready.endpoints
        return True

    def open(self, allocations: Iterable[Allocation]) -> None:
        """Expect these workers to build subtasks."""
        self._not_opened = dict.fromkeys(allocations)

    def opened(self, allocation: Allocation) -> bool:
        """Note that a worker has built its subtasks; return whether that is news."""
        if allocation not in self._not_opened:
            return False
        del self._not_opened[allocation]
        return True

    def first_not_opened(self) -> Worker:
        """Return one that has still to build its subtasks."""
        return self._workers[next(iter(self._not_opened))]

    def gone(self, allocation: Allocation) -> Worker | None:
        """Forget a worker, and return it if it was there."""
        self._not_ready.pop(allocation, None)
        self._not_opened.pop(allocation, None)
        return self._workers.pop(allocation, None)

    def progress(self, news: ProgressReported) -> bool:
        """Take a worker's counters; return whether it is of this run."""
        worker = self._workers.get(news.allocation)
        if worker is None:
            return False
        self._records_in += news.records_in - worker.records_in
        self._records_out += news.records_out - worker.records_out
        worker.records_in, worker.records_out = news.records_in, news.records_out
        return True

    def clear(self) -> tuple[Allocation, ...]:
        """Forget all of them; return their leases. What they have counted stays."""
        allocations = tuple(self._workers)
        self._workers, self._not_ready, self._not_opened = {}, {}, {}
        return allocations

    def check(self) -> None:
        """State that who has an address has reported, and that nobody is waited for who is not there."""
        for allocation, worker in self._workers.items():
            ensure((allocation in self._not_ready) == (worker.address is None), f"{allocation} is ready, and yet it is not")
        for allocation in (*self._not_ready, *self._not_opened):
            ensure(allocation in self._workers, f"{allocation} is waited for, and is gone")
