"""Handles on single actors. A handle is a path: it finds the actor anew for each question, so it outlives restarts of the job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from actorflow.actor import ActorDeadError, AskTimeout, MailboxView, StoryEntry, StoryLine
from actorflow.actor.inspection import lines
from actorflow.config.values import Duration, duration_s
from actorflow.errors import ActorflowError, PlanError
from actorflow.ids import Address, JobId, NodeId, SubtaskId
from actorflow.inspection.node_view import NodeView
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.runtime.messages import StateRequested, TailRequested, UserMessage
from actorflow.runtime.subtasks.operator_ref import OperatorRef
from actorflow.runtime.workers.stacks import StackRequested, belongs_to
from actorflow.wire import pickling
from actorflow.wire.plain_form import plain_form, typed
from actorflow.wire.stable_hash import stable_hash

if TYPE_CHECKING:
    from actorflow.inspection.cluster_view import ClusterView
    from actorflow.inspection.facts import JobFacts

_TAIL_AGAIN_S = 0.05


class ActorView:
    """An actor, to look at.

    Args:
        cluster: how to reach it.
        path: what people call it.
        address: where it is.
    """

    def __init__(self, cluster: ClusterView, path: str, address: Address) -> None:
        self.path = path
        self._cluster = cluster
        self._address = address

    def __repr__(self) -> str:
        return f"<actor {self.path}>"

    @property
    def address(self) -> Address:
        """Where it is now."""
        return self._address

    def observe(self) -> Any:
        """Return its state as it shows it, as plain data, read between two messages.

        Raises:
            ActorflowError: if it does not answer.
        """
        return self._cluster.shown(self.address)

    def story(self, n: int = 10) -> tuple[StoryLine, ...]:
        """Return its last `n` events, oldest first, and what they caused."""
        told = self._looked("story", n)
        if told and isinstance(told[0], StoryEntry):
            return lines(told)
        return typed(plain_form(told), tuple[StoryLine, ...])

    def mailbox(self, n: int = 10) -> MailboxView:
        """Return how many messages wait for it in each lane, and the first `n` of them as text."""
        return typed(plain_form(self._looked("mailbox", n)), MailboxView)

    def stack(self) -> str:
        """Return where the Python threads of its process stand: of a worker also while user code holds it.

        Raises:
            ActorflowError: if nobody answers who knows.
        """
        cluster = self._cluster
        node = self.address.partition("/")[0]
        rows = [row for row in cluster.tree() if row.kind == "SlotProcess"]
        seen = cluster.look([row.address for row in rows])
        for row, shows in zip(rows, seen, strict=True):
            if shows is not None and belongs_to(node, shows["allocation"]):
                return ActorView(cluster, self.path, row.address).process_stack()
        return NodeView(cluster, NodeId(node)).stacks()

    def process_stack(self) -> str:
        """Return where the threads of the process stand that this actor has started. See `stack`."""
        return str(self._answered(self.address, StackRequested()))

    def _looked(self, what: Any, n: int) -> Any:
        timeout_s = self._cluster.timeout_s
        try:
            return self._cluster.system.resolve(self.address).look(what, n, timeout=timeout_s).get(timeout=timeout_s)
        except (ActorDeadError, AskTimeout) as error:
            raise ActorflowError(f"{self.path} does not answer: {error}") from None

    def _answered(self, address: Address, inquiry: StateRequested | TailRequested | StackRequested) -> Any:
        """Ask on the control lane, ahead of data; return the answer."""
        timeout_s = self._cluster.timeout_s
        try:
            future = self._cluster.system.resolve(address).ask(inquiry, block=False, timeout=timeout_s, control=True)
            answer = future.get(timeout=timeout_s)
        except (ActorDeadError, AskTimeout) as error:
            raise ActorflowError(f"{self.path} does not answer: {error}", hint="stack() tells where its worker stands") from None
        return pickling.loads(answer.payload) if isinstance(answer, UserMessage) else answer


class OperatorView(ActorView):
    """An operator of a running job: one subtask of it, or all.

    Args:
        cluster: how to reach it.
        path: what people call it.
        job: whose it is.
        operator: its name.
        index: which subtask; None for all of them.
    """

    def __init__(self, cluster: ClusterView, path: str, job: JobId, operator: str, index: int | None) -> None:
        super().__init__(cluster, path, Address(""))
        self._job = job
        self._operator = operator
        self._index = index

    @property
    def address(self) -> Address:
        """Where its subtask is now.

        Raises:
            PlanError: if the path names several.
            ActorflowError: if the job does not run now.
        """
        return self._subtask(self._cluster.facts(self._job), self._one())

    def state(self, key: object) -> Any:
        """Return the values of its keyed states for one key, by name, read between two batches.

        Raises:
            PlanError: if the key belongs to another subtask; without an index in the path, the right one is asked.
        """
        facts = self._cluster.facts(self._job)
        vertex = facts.find(self._operator)[0]
        owner = subtask_of(key_group(stable_hash(key), vertex.max_parallelism), vertex.parallelism, vertex.max_parallelism)
        if self._index not in {None, owner}:
            path = f"{self.path.rpartition('/')[0]}/{owner}"
            raise PlanError(f"{self.path} does not keep the key {key!r}", hint=f"it belongs to {path}")
        return self._answered(self._subtask(facts, owner), StateRequested(self._operator, pickling.dumps(key)))

    def tail(self, n: int = 10, *, wait: Duration = "1s") -> list[Any]:
        """Return the last records that left its subtask, oldest first; of a chain, those that leave the chain.

        Records are looked at only while they are asked for, a batch now and then: the first question waits for them.

        Args:
            n: how many at most.
            wait: how long for.
        """
        address = self.address
        deadline = time.monotonic() + duration_s(wait)
        while True:
            records: list[Any] = self._answered(address, TailRequested(n))
            if len(records) >= n or time.monotonic() >= deadline:
                return records
            time.sleep(_TAIL_AGAIN_S)

    def tell(self, message: object) -> None:
        """Have `on_message` called with a message, between two batches.

        Raises:
            ActorflowError: if this view is read-only.
        """
        self._ref("tell").tell(message)

    def ask(self, message: object, *, timeout: Duration = "10s") -> Any:
        """Have `on_message` called with a message, and return what it answers by `ctx.reply`.

        Raises:
            ActorflowError: if this view is read-only.
            TimedOut: a `TimeoutError`, if there is no answer in time.
            UserFunctionError: if `on_message` raised.
        """
        return self._ref("ask").ask(message, timeout=timeout)

    def _ref(self, verb: str) -> OperatorRef:
        if not self._cluster.allow_write:
            raise ActorflowError(f"cannot {verb} {self.path}: this view only looks", hint="start the shell with --allow-write")
        return OperatorRef(self._cluster.system.resolve(self.address), self._operator)

    def _one(self) -> int:
        if self._index is None:
            raise PlanError(f"{self.path} is several subtasks", hint=f"say which: {self.path}/0")
        return self._index

    def _subtask(self, facts: JobFacts, index: int) -> Address:
        subtask = SubtaskId(facts.find(self._operator)[0].id, index)
        if subtask not in facts.workers:
            raise ActorflowError(f"{self.path} does not run now: job '{facts.name}' is {facts.status}")
        return self._cluster.address_of(facts, subtask)
