"""What a job's options have to be where leaders follow each other: no output becomes visible before something that outlives the leader says so.

checkpoints in files        commits belong to checkpoints that the next leader goes on from
checkpoints in no directory the JobManager's memory ends with it: they go below `high-availability.storageDir`
no checkpoints              one that holds the end is taken there before the output is committed, and no others: a leader that is lost while it
commits, or before it has written down the end, is followed by one that commits the same again, not by a second run
"""

from __future__ import annotations

from typing import Final

from actorflow.config import Config, merged, options
from actorflow.connectors.contracts import SinkSpec, TwoPhaseSink
from actorflow.plan.execution import ExecutionGraph
from actorflow.storage.files import as_uri, join

_ORIGIN: Final = "high availability"

_NONE_BEFORE_THE_END: Final = "480h"
"""An interval so long that only the last checkpoint is taken, and short enough for every timer."""


def with_durable_commits(config: Config, graph: ExecutionGraph) -> Config:
    """Return the options of a job with what its commits need where leaders follow each other.

    Args:
        config: its options as they were given.
        graph: the job.
    """
    storage = config[options.HA_STORAGE]
    if config[options.HA_TYPE] == "none" or storage is None:
        return config
    given: dict[str, object] = {}
    if config[options.CHECKPOINT_DIRECTORY] is None:
        cluster = config[options.HA_CLUSTER_ID] or config[options.CLUSTER_ID]
        given[options.CHECKPOINT_DIRECTORY.name] = join(as_uri(storage), f"{cluster}/checkpoints")
    if config[options.CHECKPOINT_INTERVAL] is None and _commits(graph):
        given[options.CHECKPOINT_INTERVAL.name] = _NONE_BEFORE_THE_END
        given[options.RESTART_STRATEGY.name] = config[options.RESTART_STRATEGY] or "none"  # as without checkpoints
    return merged(config, Config.of(given, _ORIGIN))


def _commits(graph: ExecutionGraph) -> bool:
    specs = [operator.spec for vertex in graph.vertices for operator in vertex.operators]
    return any(isinstance(spec, SinkSpec) and isinstance(spec.sink, TwoPhaseSink) for spec in specs)
