"""`run` and `collect`: a pipeline on a cluster of its own, on this machine.

The fork server is started before anything else: it imports what workers need while this process imports what a cluster needs, and plans.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actorflow.cluster.fork_server import ForkServer
from actorflow.config import Config, layered, load, options, overrides

if TYPE_CHECKING:
    from actorflow.api.pipeline import Pipeline
    from actorflow.api.stream import Stream
    from actorflow.cluster.job import JobResult
    from actorflow.cluster.local import Slots
    from actorflow.plan.graph import LogicalGraph


def run(
    pipeline: Pipeline,
    *,
    parallelism: int | None = None,
    slots: Slots = None,
    config: Mapping[str, object] | None = None,
    progress: bool | None = None,
) -> JobResult:
    """Run a pipeline on this machine and wait for its end.

    Args:
        pipeline: what to run.
        parallelism: subtasks of operators that do not say, in pipelines that do not say.
        slots: how many slot processes; by default as many as the pipeline needs. `inline` runs everything in this thread.
        config: options by name.
        progress: show a progress line on stderr; by default if that is a terminal.

    Raises:
        PlanError: if the pipeline cannot run as it is written.
        NotEnoughSlots: if it needs more than `slots`.
        JobFailed: if it failed; the text ends in the user's own traceback.
    """
    return _run_graph(pipeline.graph(), parallelism, slots, config, progress)


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
) -> JobResult:
    with contextlib.ExitStack() as stack:
        server = None if slots == "inline" else stack.enter_context(ForkServer.start())
        from actorflow.cluster.local import LocalCluster, default_parallelism, plan, slots_given
        from actorflow.cluster.progress import follow

        given = Config.of(config or {}, "config")
        effective = layered(load(), Config.of(graph.config, f"pipeline '{graph.name}'"), given, overrides())
        submission = plan(graph, effective, default_parallelism(parallelism, effective, slots_given(slots, effective)))
        if slots is None:
            wanted = effective[options.SLOTS]
            slots = wanted or submission.execution.slots_needed()
        cluster = stack.enter_context(LocalCluster(slots=slots, config=effective, server=server))
        return follow(cluster.submit(submission), progress)
