"""What of a job can be brought back by itself."""

from __future__ import annotations

from actorflow.config import Config, options
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.regions import Region, failover_regions
from actorflow.runtime.jobs.job_checkpoint_work import sends_results


def regions_apart(graph: ExecutionGraph, config: Config, *, aligned: bool) -> tuple[Region, ...]:
    """Return the regions of a job that fail alone; none if all of it fails together.

    It does if a client has a part of its results, or its sources wait for each other. In batch mode, where nothing goes on from a checkpoint,
    stages fail alone, and nothing else: they read again what others have written.

    Args:
        graph: what runs.
        config: the job's options.
        aligned: whether sources wait for each other.
    """
    apart = graph.blocking or not graph.batch
    together = config[options.FAILOVER_STRATEGY] == "full" or aligned or sends_results(graph) or not apart
    return () if together else failover_regions(graph)
