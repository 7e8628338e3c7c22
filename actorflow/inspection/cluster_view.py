"""A cluster as people look at it: `jobs()`, `tree()`, `actor(path)`, `why_slow(job)`.

All it needs is an actor system that reaches the nodes, and the addresses of the Dispatcher and the ResourceManager that lead: so it works in the process of an
embedded cluster, in the JobManager behind REST, and in a client. It may be used from any thread but those that run actors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actorflow.actor import ActorDeadError, ActorSystem, AskTimeout, TreeRow
from actorflow.errors import ActorflowError, PlanError
from actorflow.ids import Address, JobId, NodeId, SubtaskId, split_address
from actorflow.inspection.actor_views import ActorView, OperatorView
from actorflow.inspection.diagnosis import diagnose
from actorflow.inspection.facts import PREFIX, JobFacts
from actorflow.inspection.looking import look_at
from actorflow.inspection.node_view import NodeView
from actorflow.inspection.report import SlowReport
from actorflow.inspection.tree import ActorRow, Tree, named_row
from actorflow.protocol.nodes.client_messages import (
    ClusterDescribed,
    DescribeCluster,
    DescribeEndedJob,
    EndedJobDescribed,
    JobsListed,
    JobSummary,
    ListJobs,
)
from actorflow.runtime.subtasks.subtask_contract import SubtaskView
from actorflow.runtime.workers.directory import subtask_name
from actorflow.wire.plain_form import plain_form, typed

LOOK_TIMEOUT_S = 2.0
"""How long actors may take to show themselves. One whose worker stands in user code does not."""


@dataclass(frozen=True, slots=True)
class TaskManagerFacts:
    """A TaskManager as the ResourceManager knows it: its slots, and how many of them are free."""

    address: Address
    slots: int
    free: int


class ClusterView:
    """Looks at one cluster.

    Args:
        system: asks.
        leader: returns the addresses of the Dispatcher and the ResourceManager that lead now.
        allow_write: whether operators may be told and asked things, which may change them.
        learn: told where the nodes of workers can be reached, by a client that nobody has told.
        timeout_s: how long actors may take to answer.
    """

    def __init__(
        self,
        system: ActorSystem,
        leader: Callable[[], tuple[Address, Address]],
        *,
        allow_write: bool = False,
        learn: Callable[[NodeId, tuple[str, ...]], None] | None = None,
        timeout_s: float = LOOK_TIMEOUT_S,
    ) -> None:
        self.system = system
        self.allow_write = allow_write
        self.timeout_s = timeout_s
        self._leader = leader
        self._learn = learn
        self._learned: dict[NodeId, None] = {}

    @property
    def dispatcher(self) -> Address:
        """Address of the Dispatcher that leads now."""
        return self._leader()[0]

    # --- jobs, TaskManagers ------------------------------------------------------------------------------------------------

    def jobs(self) -> dict[JobId, JobSummary]:
        """Return the jobs that are under way, and the last that have ended, oldest first.

        Raises:
            ActorflowError: if the Dispatcher does not answer.
        """
        listed: JobsListed = self._asked(self.dispatcher, ListJobs())
        return {summary.job: summary for summary in listed.jobs}

    def job(self, name: str) -> JobFacts:
        """Return a job that is under way, by name or id; of several of one name the last submitted.

        Raises:
            PlanError: if there is none.
        """
        jobs = self.jobs()
        for job, summary in reversed(jobs.items()):
            if name in {job, summary.name} and not summary.status.final:
                return self.facts(job)
        ended = next((summary.status.value for job, summary in reversed(jobs.items()) if name in {job, summary.name}), None)
        if ended is not None:
            raise PlanError(f"job '{name}' is over: it is {ended}")
        known = ", ".join(summary.name for summary in jobs.values() if not summary.status.final) or "none"
        raise PlanError(f"there is no job '{name}'", hint=f"under way: {known}")

    def facts(self, job: JobId) -> JobFacts:
        """Return what the JobMaster of a job that is under way says.

        Raises:
            ActorflowError: if it does not answer, or has ended.
        """
        return self._learning(JobFacts.of(self.shown(self._job_master(job))))

    def ended(self, job: JobId) -> JobFacts | None:
        """Return how a job looked when it ended; None if that is not known any more.

        Raises:
            ActorflowError: if the Dispatcher does not answer.
        """
        described: EndedJobDescribed = self._asked(self.dispatcher, DescribeEndedJob(job))
        return JobFacts.of(json.loads(described.record)) if described.record else None

    def under_way(self) -> list[JobFacts]:
        """Return all jobs that are under way."""
        masters = [self._job_master(job) for job, summary in self.jobs().items() if not summary.status.final]
        return [self._learning(JobFacts.of(state)) for state in self.look(masters) if state is not None]

    def _learning(self, facts: JobFacts) -> JobFacts:
        """Note where the workers of a job can be reached."""
        for node, endpoints in facts.endpoints.items():
            self._meet(node, endpoints)
        return facts

    def _meet(self, node: NodeId, endpoints: tuple[str, ...]) -> None:
        """Note where a node can be reached."""
        if self._learn is not None and endpoints and node not in self._learned:
            self._learned[node] = None
            self._learn(node, endpoints)

    def task_managers(self) -> list[TaskManagerFacts]:
        """Return the TaskManagers that are registered.

        Raises:
            ActorflowError: if the ResourceManager does not answer.
        """
        described: ClusterDescribed = self._asked(self._leader()[1], DescribeCluster())
        for each in described.task_managers:
            self._meet(split_address(each.task_manager)[0], each.endpoints)
        return [TaskManagerFacts(each.task_manager, each.slots, each.free) for each in described.task_managers]

    def views(self, facts: JobFacts) -> dict[SubtaskId, SubtaskView | None]:
        """Return what each subtask of a job shows; None for those that do not answer."""
        subtasks = [subtask for subtask in facts.topology.subtasks() if subtask in facts.workers]
        seen = self.look([self.address_of(facts, subtask) for subtask in subtasks])
        return {subtask: _view(plain) for subtask, plain in zip(subtasks, seen, strict=True)}

    # --- the tree ------------------------------------------------------------------------------------------------------------

    def tree(self) -> Tree:
        """Return every actor of the cluster: first the JobManager's node, then TaskManagers and workers, below each parents before children."""
        jobs = self.under_way()
        managers = self.task_managers()
        workers = [worker for facts in jobs for worker in facts.workers.values()]
        nodes = dict.fromkeys(split_address(address)[0] for address in (self.dispatcher, *workers, *(m.address for m in managers)))
        seen = self.look([Address(f"{node}/") for node in nodes], "tree")
        names = self._names(jobs)
        rows = [row for node, plain in zip(nodes, seen, strict=True) for row in self._rows(node, plain, names)]
        shown = {row.address for row in rows}
        rows += [
            ActorRow(name.path, name.kind, "no answer", 0, 0, name.restarts, at) for at, name in names.items() if at not in shown
        ]
        rows += [ActorRow(m.address, "TaskManager", "registered", 0, 0, 0, m.address) for m in managers if m.address not in shown]
        return Tree(self._with_views(rows, names))

    def _names(self, jobs: Iterable[JobFacts]) -> dict[Address, _Name]:
        names: dict[Address, _Name] = {}
        for facts in jobs:
            names[self._job_master(facts.job)] = _Name(f"{PREFIX}{facts.name}", "JobMaster", facts.restarts, subtask=False)
            for subtask in facts.workers:
                kind = facts.topology.vertex(subtask.vertex).name
                names[self.address_of(facts, subtask)] = _Name(facts.path(subtask), kind, facts.restarts, subtask=True)
        return names

    def _rows(self, node: NodeId, plain: Any, names: Mapping[Address, _Name]) -> Iterable[ActorRow]:
        home = split_address(self.dispatcher)[0]
        for row in typed(plain, tuple[TreeRow, ...]) if plain is not None else ():
            address = Address(f"{node}{row.path}")
            name = names.get(address)
            if name is not None:
                yield named_row(row, name.path, address, kind=name.kind, restarts=name.restarts)
            elif row.path != "/":
                yield named_row(row, row.path if node == home else address, address)

    def _with_views(self, rows: list[ActorRow], names: Mapping[Address, _Name]) -> list[ActorRow]:
        subtasks = [row.address for row in rows if row.address in names and names[row.address].subtask]
        views = dict(zip(subtasks, map(_view, self.look(subtasks)), strict=True))
        return [
            replace(row, state=_doing(view, row.state), view=view) if (view := views.get(row.address)) is not None else row
            for row in rows
        ]

    def node(self, of: Address) -> NodeView:
        """Return a handle on the node of an actor: of a JobManager, or of a TaskManager."""
        return NodeView(self, split_address(of)[0])

    # --- single actors -------------------------------------------------------------------------------------------------------

    def actor(self, path: str) -> ActorView:
        """Return a handle on an actor.

        Args:
            path: `/jobs/<job>`, `/jobs/<job>/<operator>`, `/jobs/<job>/<operator>/<index>`, or as the tree shows it.

        Raises:
            PlanError: if there is no such actor.
        """
        if path.startswith(PREFIX):
            rest = path.removeprefix(PREFIX)
            facts = self._job_at(rest)
            for name in (facts.name, facts.job):
                if rest == name:
                    return ActorView(self, path, self._job_master(facts.job))
                if rest.startswith(f"{name}/"):
                    _, operator, index = facts.find(rest.removeprefix(f"{name}/"))
                    return OperatorView(self, path, facts.job, operator, index)
        target = Address(path if not path.startswith("/") else f"{split_address(self.dispatcher)[0]}{path}")
        if not any(row.address == target for row in self.tree()):
            raise PlanError(f"there is no actor at {path}", hint="tree() shows all of them")
        return ActorView(self, path, target)

    def _job_at(self, rest: str) -> JobFacts:
        """Return the job that a path leads into; names may have slashes in them."""
        under_way = [(job, summary.name) for job, summary in self.jobs().items() if not summary.status.final]
        for job, name in reversed(under_way):
            if rest in {job, name} or rest.startswith((f"{job}/", f"{name}/")):
                return self.facts(job)
        return self.job(rest.partition("/")[0])

    def paths(self) -> list[str]:
        """Return the paths of all actors and operators, for completion."""
        operators = [path for facts in self.under_way() for path in facts.paths()]
        return list(dict.fromkeys([*(row.path for row in self.tree()), *operators]))

    def why_slow(self, job: str) -> SlowReport:
        """Return who holds up a job: its data, its event time, its checkpoints.

        Raises:
            PlanError: if there is no such job.
        """
        facts = self.job(job)
        views = self.views(facts)
        return SlowReport.of(facts, diagnose(facts.topology, views, facts.checkpoints.waiting_for) if views else None)

    def stacks(self, task_manager: Address) -> dict[str, str]:
        """Return where the processes of a TaskManager's workers stand, also while user code holds them, by the path of who has started each."""
        node = split_address(task_manager)[0]
        started = [row for row in self.tree() if row.kind == "SlotProcess" and split_address(row.address)[0] == node]
        return {row.path: ActorView(self, row.path, row.address).process_stack() for row in started}

    # --- asking --------------------------------------------------------------------------------------------------------------

    def look(self, addresses: Iterable[Address], what: Any = "observe") -> list[Any]:
        """Return what actors show, as plain data; None for those that do not answer. See `looking.look_at`."""
        return look_at(self.system, addresses, what, self.timeout_s)

    def _asked(self, address: Address, question: ListJobs | DescribeEndedJob | DescribeCluster) -> Any:
        """Return what an actor of the leader answers."""
        try:
            future = self.system.resolve(address).ask(question, block=False, timeout=self.timeout_s, control=True)
            return future.get(timeout=self.timeout_s)
        except (ActorDeadError, AskTimeout) as error:
            raise ActorflowError(f"{address} does not answer: {error}") from None

    def shown(self, address: Address) -> Any:
        """Return what one actor shows, as plain data.

        Raises:
            ActorflowError: if it does not answer.
        """
        try:
            return plain_form(self.system.resolve(address).observe(timeout=self.timeout_s))
        except (ActorDeadError, AskTimeout) as error:
            raise ActorflowError(f"{address} does not answer: {error}") from None

    def address_of(self, facts: JobFacts, subtask: SubtaskId) -> Address:
        """Return the address of a subtask's actor."""
        return Address(f"{facts.workers[subtask]}/{subtask_name(subtask)}")

    def _job_master(self, job: JobId) -> Address:
        return Address(f"{self.dispatcher}/{job}")


@dataclass(frozen=True, slots=True)
class _Name:
    path: str
    kind: str
    restarts: int
    subtask: bool


def _view(plain: Any) -> SubtaskView | None:
    return typed(plain, SubtaskView) if plain is not None else None


def _doing(view: SubtaskView, state: str) -> str:
    return view.activity.replace("_", "-") if state == "running" else state
