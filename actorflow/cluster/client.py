"""A program's connection to a running cluster: `connect` finds the leader and follows it; handles of jobs go with it.

    client = af.connect("conf/cluster.yaml")
    job = client.submit(pipeline)
    job.wait()

A client is a node of its own that nobody dials: it needs no open port. What it submits runs on when it leaves.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from actorflow.cluster.job import Job
from actorflow.cluster.leader_link import LeaderLink
from actorflow.cluster.shipping import Shipping
from actorflow.cluster.starting import ClaimMode
from actorflow.cluster.submitting import Desk, Submittable, planned
from actorflow.config import Config, layered, load, options, overrides
from actorflow.config.values import Duration, duration_s
from actorflow.coordination import Leader
from actorflow.errors import ErrorInfo, PlanError, TransportError
from actorflow.ids import Address, JobId, split_address
from actorflow.protocol.jobs.job_follower import DispatcherFound
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.jobs.run_numbers import run_of_leader
from actorflow.protocol.nodes.client_messages import (
    CheckTaskManagers,
    CheckVersions,
    ClusterDescribed,
    DescribeCluster,
    JobsListed,
    JobSummary,
    ListJobs,
)
from actorflow.wire.user_code import packages_named
from actorflow.wire.versions import versions_of

if TYPE_CHECKING:
    from actorflow.inspection.cluster_view import ClusterView

_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job of a cluster, as lists show it.

    Attributes:
        id: unique.
        name: the pipeline's name.
        status: where it is in its life.
        attempts: deployments it took so far, by the leader that there is.
        records_in: records read by its sources.
        records_out: records written by its sinks.
        duration_s: since it was submitted, or until it ended.
        error: why it failed or restarts, or what it waits for.
    """

    id: str
    name: str
    status: JobStatus
    attempts: int
    records_in: int
    records_out: int
    duration_s: float
    error: ErrorInfo | None


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """A cluster, as its leader knows it.

    Attributes:
        leader: where the JobManager is reached that leads.
        epoch: of its leadership.
        task_managers: slots, and free slots, of each TaskManager, by its id.
        rest_url: where its REST server answers, if it has one and has said so.
    """

    leader: str
    epoch: int
    task_managers: dict[str, tuple[int, int]]
    rest_url: str | None = None

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return sum(slots for slots, _ in self.task_managers.values())

    @property
    def slots_free(self) -> int:
        """How many of them no job holds."""
        return sum(free for _, free in self.task_managers.values())


def connect(config: str | os.PathLike[str] | Mapping[str, object], *, timeout: Duration = "10s") -> Client:
    """Connect to a running cluster.

    Args:
        config: the cluster's configuration: a YAML file, or options by name.
        timeout: how long its JobManager may take to answer.

    Raises:
        ConfigError: if the configuration is wrong.
        TransportError: if no JobManager answers in time.
    """
    given = Config.of(config, "config") if isinstance(config, Mapping) else load(os.fspath(config))
    return Client.reaching(layered(given, overrides()), duration_s(timeout))


class Client:
    """A connection to a cluster; see `connect`. Close it, or use it in a `with` statement: the jobs go on.

    Args:
        config: the cluster's options.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._handles: weakref.WeakSet[Job] = weakref.WeakSet()
        self._link = LeaderLink(config, self._led_by)
        ship = Shipping(self._link, config[options.BLOB_OFFLOAD])
        self._desk = Desk(self._link.system, self._link, lambda news: news.wait, again_s=_AGAIN_S, ship=ship, outlives=True)

    def _led_by(self, leader: Leader) -> None:
        for job in list(self._handles):
            self._link.system.resolve(job._client).tell_control(_found(leader))

    @classmethod
    def reaching(cls, config: Config, timeout_s: float = 10.0) -> Self:
        """Return a client whose leader has answered; see `connect`."""
        client = cls(config)
        try:
            client._link.wait_for_leader(timeout_s)
        except BaseException:
            client.close()
            raise
        return client

    # --- jobs --------------------------------------------------------------------------------------------------------------------

    def submit(
        self,
        pipeline: Submittable,
        *,
        parallelism: int | None = None,
        from_savepoint: str | os.PathLike[str] | None = None,
        allow_non_restored_state: bool = False,
        claim_mode: ClaimMode = "no-claim",
        timeout: Duration = "60s",
    ) -> Job:
        """Start a job on the cluster. It goes on when this program ends.

        Args:
            pipeline: what to run.
            parallelism: subtasks of operators that do not say, in pipelines that do not say.
            from_savepoint: the directory of a savepoint, or of a retained checkpoint, that it goes on from.
            allow_non_restored_state: whether state there that no operator takes may be left behind.
            claim_mode: `claim` has the job remove the savepoint once it does not need it any more.
            timeout: how long the JobManager may take to accept it.

        Raises:
            PlanError: if it cannot run as it is written, or the cluster has other versions of Python, actorflow or a package.
            CheckpointError: if there is no such savepoint, it is damaged, or it does not fit.
            IncompatibleState: if the type of a state has changed in a way that it cannot be read.
            TransportError: if the JobManager does not answer, or does not take the job's files.
        """
        submission, config = planned(
            pipeline,
            self.config,
            parallelism=parallelism,
            slots=1,
            from_savepoint=from_savepoint,
            allow_non_restored_state=allow_non_restored_state,
            claim_mode=claim_mode,
        )
        name = submission.graph.name
        versions = versions_of(packages_named(submission.execution))
        differing = self._link.ask(CheckVersions(versions)).differences or self._link.ask(CheckTaskManagers(versions)).differences
        if differing:
            raise PlanError(
                f"cannot submit pipeline '{name}', which was made with {'; '.join(differing)}",
                hint="install the same versions here and on every node of the cluster",
            )
        job = self._desk.submit(submission, config, _found(self._link.leader()), self._handles.add)
        if not job.wait_until(lambda: job._news.heard, duration_s(timeout)):
            raise TransportError(
                f"nobody has accepted pipeline '{name}' within {timeout}", hint="`actorflow list` shows the jobs there are"
            )
        return job

    def jobs(self) -> list[JobInfo]:
        """Return the jobs of the cluster, oldest first: those under way, and the last ones that are over.

        Raises:
            TransportError: if the JobManager does not answer.
        """
        listed: JobsListed = self._link.ask(ListJobs())
        return [_info(summary) for summary in listed.jobs]

    def cluster(self) -> ClusterInfo:
        """Return who leads the cluster, and what slots there are.

        Raises:
            TransportError: if the JobManager does not answer.
        """
        described: ClusterDescribed = self._link.ask(DescribeCluster())
        leader = self._link.leader()
        found = {str(split_address(each.task_manager)[0]): (each.slots, each.free) for each in described.task_managers}
        return ClusterInfo(leader.endpoints[0].partition("#")[0], leader.epoch, found, leader.rest_url)

    def job(self, name: str) -> Job:
        """Return a handle of a job that this program or another one has submitted.

        Args:
            name: its id, or the pipeline's name, if only one job of that name is under way.

        Raises:
            PlanError: if there is no such job, or more than one.
            TransportError: if the JobManager does not answer.
        """
        found = self.find(name)
        job = self._desk.attach(JobId(found.id), found.name, _found(self._link.leader()), self.config[options.SAVEPOINT_DIRECTORY])
        self._handles.add(job)
        job.wait_until(lambda: job._news.heard, self.config[options.ASK_TIMEOUT])
        return job

    def find(self, name: str) -> JobInfo:
        """Return how a job is.

        Args:
            name: its id, or the pipeline's name, if only one job of that name is under way.

        Raises:
            PlanError: if there is no such job, or more than one.
            TransportError: if the JobManager does not answer.
        """
        jobs = self.jobs()
        exact = [job for job in jobs if job.id == name]
        named = [job for job in jobs if job.name == name]
        living = [job for job in named if not job.status.final] or named[-1:]
        found = exact or living
        if not found:
            known = ", ".join(job.id for job in jobs[-5:]) or "none"
            raise PlanError(f"there is no job '{name}'", hint=f"the last jobs: {known}")
        if len(found) > 1:
            raise PlanError(f"{len(found)} jobs are called '{name}'", hint=f"say which: {', '.join(job.id for job in found)}")
        return found[0]

    def look(self, *, allow_write: bool = False) -> ClusterView:
        """Return a view of the living cluster: its actors by path, what they do, who holds a job up.

        Args:
            allow_write: whether it may also tell and ask operators things.
        """
        from actorflow.inspection.cluster_view import ClusterView

        def leader() -> tuple[Address, Address]:
            found = self._link.leader()
            return found.dispatcher, found.resource_manager

        return ClusterView(self._link.system, leader, allow_write=allow_write, learn=self._link.learn)

    # --- the end -------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave the cluster; jobs go on. A second call does nothing."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _info(job: JobSummary) -> JobInfo:
    attempts = run_of_leader(job.attempt)
    return JobInfo(job.job, job.name, job.status, attempts, job.records_in, job.records_out, job.duration_s, job.error)


def _found(leader: Leader) -> DispatcherFound:
    return DispatcherFound(leader.dispatcher, leader.epoch)
