"""From a pipeline to the handle of a job: what is the same for the embedded cluster and for one of separate processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from actorflow.actor import ActorSystem
from actorflow.api.pipeline import Pipeline
from actorflow.api.submission import Submission, prepare
from actorflow.cluster.job import Gateway, Job
from actorflow.cluster.job_news import JobClient, JobNews
from actorflow.cluster.lasting_checkpoints import with_lasting_checkpoints
from actorflow.cluster.shipping import Shipped, carried
from actorflow.cluster.starting import ClaimMode, restored_state, starting
from actorflow.config import Config, layered, options, overrides
from actorflow.ids import Address, JobId, split_address, unique_suffix
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.graph import LogicalGraph
from actorflow.protocol.jobs.job_follower import DispatcherFound, JobFollower
from actorflow.protocol.jobs.job_messages import OptionValue, SubmitJob

Submittable = Pipeline | LogicalGraph | Submission

Wait = Callable[[Callable[[], bool], float | None], None]
"""Waits until there may be news: `wait(condition, timeout in seconds)`."""


def plan(graph: LogicalGraph, config: Config, default_parallelism: int) -> Submission:
    """Return a graph, checked, planned and packed for submission.

    Raises:
        PlanError: if it cannot run as it is written.
    """
    return prepare(
        graph,
        default_parallelism=default_parallelism,
        chaining=config[options.OPERATOR_CHAINING],
        blocking=config[options.BATCH_SHUFFLE_MODE] == "all-exchanges-blocking",
        checkpoints=config[options.CHECKPOINT_INTERVAL] is not None,
    )


def default_parallelism(asked: int | None, config: Config, slots: int) -> int:
    """Return the parallelism of what does not say its own; 0 is not taken for nothing asked, but refused with the plan."""
    return asked if asked is not None else config[options.PARALLELISM_DEFAULT] or slots


def planned(
    pipeline: Submittable,
    config: Config,
    *,
    parallelism: int | None,
    slots: int,
    from_savepoint: str | os.PathLike[str] | None,
    allow_non_restored_state: bool,
    claim_mode: ClaimMode,
) -> tuple[Submission, Config]:
    """Return a pipeline as it can be submitted, with the options of its job.

    Args:
        pipeline: what to run; maybe planned before.
        config: the cluster's options.
        parallelism: subtasks of operators that do not say, in pipelines that do not say.
        slots: taken for it if nobody says.
        from_savepoint: see `LocalCluster.submit`.
        allow_non_restored_state: see there.
        claim_mode: see there.
    """
    given = pipeline.graph() if isinstance(pipeline, Pipeline) else pipeline
    graph = given.graph if isinstance(given, Submission) else given
    start = starting(from_savepoint, allow_non_restored_state=allow_non_restored_state, claim_mode=claim_mode)
    of_job = layered(config, Config.of(graph.config, f"pipeline '{graph.name}'"), start, overrides())
    if isinstance(given, Submission):
        return given, of_job
    return plan(given, of_job, default_parallelism(parallelism, of_job, slots)), of_job


class Desk:
    """Submits jobs, and makes the handles of them.

    Args:
        system: actors of the node where the program runs.
        gateway: how the JobManager is reached.
        waiting: given what is known of a job, returns how its handle waits for news.
        again_s: see `JobFollower`.
        ship: sends what a job brings, before it is submitted.
        outlives: whether jobs may outlive their leader; an embedded cluster ends with its own, whatever the options say.
    """

    def __init__(
        self,
        system: ActorSystem,
        gateway: Gateway,
        waiting: Callable[[JobNews], Wait],
        *,
        again_s: float | None = None,
        ship: Callable[[JobId, Submission], Shipped] = carried,
        outlives: bool = False,
    ) -> None:
        self._system = system
        self._gateway = gateway
        self._waiting = waiting
        self._again_s = again_s
        self._ship = ship
        self._outlives = outlives

    def submit(
        self, submission: Submission, config: Config, leader: DispatcherFound, made: Callable[[Job], None] = lambda _: None
    ) -> Job:
        """Start a job.

        Args:
            submission: what to run.
            config: its options.
            leader: takes it.
            made: called with the handle before anything is sent.
        """
        restored = restored_state(submission.execution, config)
        name = submission.graph.name
        job = JobId(f"{_path_part(name)}-{unique_suffix()}")
        of_job = with_lasting_checkpoints(config) if self._outlives else config
        settings = cast("dict[str, OptionValue]", of_job.without_secrets().plain())  # they are the nodes', and jobs are stored
        shipped = self._ship(job, submission)
        client = self._address(_client_name(job))
        message = SubmitJob(job, name, shipped.plan, settings, client, restored, shipped.code, shipped.files)
        follower = JobFollower(job, message.client, message, self._again_s)
        return self._handle(follower, job, name, leader, submission.execution, config[options.SAVEPOINT_DIRECTORY], made)

    def attach(self, job: JobId, name: str, leader: DispatcherFound, savepoints: str | None) -> Job:
        """Return a handle of a job that was submitted before."""
        client = f"{_client_name(job)}-{unique_suffix()}"  # a program may have several handles of one job
        follower = JobFollower(job, self._address(client), None, self._again_s)
        return self._handle(follower, job, name, leader, None, savepoints, lambda _: None)

    def _address(self, client: str) -> Address:
        return Address(f"{self._system.node}/{client}")

    def _handle(
        self,
        follower: JobFollower,
        job: JobId,
        name: str,
        leader: DispatcherFound,
        graph: ExecutionGraph | None,
        savepoints: str | None,
        made: Callable[[Job], None],
    ) -> Job:
        news = JobNews()
        client = self._system.spawn(JobClient, follower, news, name=split_address(follower.address)[1][1:])
        handle = Job(
            job,
            name,
            news,
            self._gateway,
            graph,
            client=client.address,
            savepoints=savepoints,
            system=self._system,
            run_until=self._waiting(news),
        )
        made(handle)
        client.tell_control(leader)
        return handle


def _client_name(job: JobId) -> str:
    return f"client-{job}"


def _path_part(name: str) -> str:
    """Return a name as it can stand in an actor's path."""
    return "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
