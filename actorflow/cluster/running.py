"""`run` and `collect`: a pipeline on a cluster of its own, on this machine; or on a running one, if `execution.target` says so.

The fork server is started before anything else: it imports what workers need while this process imports what a cluster needs, and plans.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actorflow.cluster.fork_server import ForkServer
from actorflow.cluster.starting import ClaimMode, starting
from actorflow.config import Config, layered, load, merged, options, overrides

if TYPE_CHECKING:
    from actorflow.api.pipeline import Pipeline
    from actorflow.api.stream import Stream
    from actorflow.cluster.job_news import JobResult
    from actorflow.cluster.local import Slots
    from actorflow.plan.graph import LogicalGraph


def run(
    pipeline: Pipeline,
    *,
    parallelism: int | None = None,
    slots: Slots = None,
    config: Mapping[str, object] | None = None,
    progress: bool | None = None,
    from_savepoint: str | os.PathLike[str] | None = None,
    allow_non_restored_state: bool = False,
    claim_mode: ClaimMode = "no-claim",
) -> JobResult:
    """Run a pipeline on this machine, or under `actorflow run --cluster` on that cluster, and wait for its end.

    Args:
        pipeline: what to run.
        parallelism: subtasks of operators that do not say, in pipelines that do not say.
        slots: how many slot processes; by default as many as the pipeline needs. `inline` runs everything in this thread. A cluster has its own.
        config: options by name.
        progress: show a progress line on stderr; by default if that is a terminal.
        from_savepoint: the directory of a savepoint, or of a retained checkpoint, that it goes on from.
        allow_non_restored_state: whether state there that no operator takes may be left behind.
        claim_mode: `claim` has the job remove the savepoint once it does not need it any more.

    Raises:
        PlanError: if the pipeline cannot run as it is written.
        NotEnoughSlots: if it needs more than `slots`.
        CheckpointError: if there is no such savepoint, it is damaged, or it does not fit.
        IncompatibleState: if the type of a state has changed in a way that it cannot be read.
        JobFailed: if it failed; the text ends in the user's own traceback.
    """
    start = starting(from_savepoint, allow_non_restored_state=allow_non_restored_state, claim_mode=claim_mode)
    return _run_graph(pipeline.graph(), parallelism, slots, config, progress, start)


def collect(
    stream: Stream[Any],
    *,
    parallelism: int | None = None,
    slots: Slots = None,
    config: Mapping[str, object] | None = None,
    progress: bool | None = None,
) -> list[Any]:
    """Run what is behind a stream and return its records, subtask by subtask. Arguments and errors as for `run`."""
    from actorflow.connectors.direct_sinks import CollectSink

    return _run_graph(stream.graph_into(CollectSink()), parallelism, slots, config, progress).results


def _run_graph(
    graph: LogicalGraph,
    parallelism: int | None,
    slots: Slots,
    config: Mapping[str, object] | None,
    progress: bool | None,  # noqa: FBT001 - passed on from the public keyword
    start: Config = Config(),  # noqa: B008 - a value
) -> JobResult:
    if merged(load(), overrides())[options.EXECUTION_TARGET] == "cluster":
        return _run_on_cluster(graph, parallelism, config, progress, start)
    with contextlib.ExitStack() as stack:
        server = None if slots == "inline" else stack.enter_context(ForkServer.start())
        from actorflow.cluster.local import LocalCluster, slots_given
        from actorflow.cluster.progress import follow
        from actorflow.cluster.submitting import default_parallelism, plan

        given = merged(Config.of(config or {}, "config"), start)
        effective = layered(load(), Config.of(graph.config, f"pipeline '{graph.name}'"), given, overrides())
        submission = plan(graph, effective, default_parallelism(parallelism, effective, slots_given(slots, effective)))
        if slots is None:
            wanted = effective[options.SLOTS]
            slots = wanted or submission.execution.slots_needed()
        cluster = stack.enter_context(LocalCluster(slots=slots, config=effective, server=server))
        return follow(cluster.submit(submission), progress)


def _run_on_cluster(
    graph: LogicalGraph,
    parallelism: int | None,
    config: Mapping[str, object] | None,
    progress: bool | None,  # noqa: FBT001 - passed on from the public keyword
    start: Config,
) -> JobResult:
    """Submit a pipeline to the cluster that the configuration describes, and wait for its end, if it is attached."""
    from actorflow.cluster.client import Client
    from actorflow.cluster.job_news import JobResult
    from actorflow.cluster.progress import follow
    from actorflow.connectors.contracts import SinkSpec
    from actorflow.errors import PlanError
    from actorflow.protocol.jobs.job_messages import JobStatus

    cluster = layered(load(), Config.of(config or {}, "config"), start, overrides())
    attached = cluster[options.EXECUTION_ATTACHED]
    if not attached and any(
        isinstance(operator.spec, SinkSpec) and operator.spec.sink.sends_results for operator in graph.operators
    ):
        raise PlanError(
            f"cannot run pipeline '{graph.name}' detached: somebody has to take the results that it collects",
            hint="write them to files, or leave --detach out",
        )
    with Client.reaching(cluster) as client:
        job = client.submit(graph, parallelism=parallelism)
        if not attached:
            if job.status() is JobStatus.FAILED:
                job.result()  # raises why: the cluster has refused it
            print(f"submitted job {job.id}")  # noqa: T201 - what `actorflow run --detach` is asked for
            return JobResult(job.name, 0, 0, 0.0, 0, [])
        try:
            return follow(job, progress)
        except KeyboardInterrupt:
            print(f"job {job.id} goes on (hint: actorflow cancel {job.id})", file=sys.stderr)  # noqa: T201 - to who pressed Ctrl-C
            raise
