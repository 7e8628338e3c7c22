"""The last step on the user's side: every check that can be made here, and the bytes that travel.

What is wrong with a job should be said here, in the user's own process and in one line, and not by a worker, later.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from actorflow.api.arguments import check_stable_key
from actorflow.api.pipeline import Pipeline
from actorflow.config import Config, options
from actorflow.connectors.contracts import SourceSpec
from actorflow.errors import ConfigError, PlanError, SerializationError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.checks import check_graph
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.graph import LogicalGraph, LogicalOperator, Partitioning
from actorflow.plan.pruning import not_run, prune
from actorflow.wire.user_code import dumps_code, find_unpicklable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that passed its checks.

    Attributes:
        graph: what the user wrote, without what leads to no sink.
        execution: what is deployed.
        payload: `execution` with the user's code, as bytes for `actorflow.wire.user_code.loads_code`.
    """

    graph: LogicalGraph
    execution: ExecutionGraph
    payload: bytes


def prepare(
    job: Pipeline | LogicalGraph,
    *,
    default_parallelism: int,
    chaining: bool = True,
    blocking: bool = False,
    checkpoints: bool = False,
) -> Submission:
    """Check a job and make it ready to be sent.

    Args:
        job: a pipeline, or the graph of one.
        default_parallelism: what the client asked for, else the configuration's: for operators and pipelines that do not say.
        chaining: False puts every operator into a subtask of its own.
        blocking: whether, in batch mode, what is exchanged is written down before it is read.
        checkpoints: whether the job is to take checkpoints.

    Raises:
        PlanError: if the graph is not sound, or its code cannot be pickled; the operator and the attribute to blame are named.
        ConfigError: if an option of the pipeline is unknown or malformed.
    """
    graph = job.graph() if isinstance(job, Pipeline) else job
    check_graph(graph)
    graph, unused = prune(graph)
    if unused:
        log.warning(
            "pipeline '%s': %s (hint: end a stream with .write(sink); for effects alone there is af.sinks.for_each(function))",
            graph.name,
            not_run(unused),
        )
    for name in _not_replayable(graph) if checkpoints else ():
        log.warning(
            "pipeline '%s': source '%s' cannot be read again: after a failure, what it had read since the last checkpoint is missing",
            graph.name,
            name,
        )
    execution = build_execution_graph(graph, default_parallelism=default_parallelism, chaining=chaining, blocking=blocking)
    _check_shuffle_mode(graph)
    Config.of(graph.config, f"pipeline '{graph.name}'").check()
    for edge in graph.edges:
        if edge.partitioner is not None and edge.partitioner.kind is Partitioning.HASH:
            check_stable_key(f"the input of '{graph.operator(edge.target).name}'", edge.partitioner.key)
    return Submission(graph, execution, _pickled(graph, execution))


def _check_shuffle_mode(graph: LogicalGraph) -> None:
    """Check that a pipeline asks for stages only if it is a batch job. What a cluster says for all of its jobs means nothing to streaming ones."""
    option = options.BATCH_SHUFFLE_MODE
    if graph.mode != "batch" and Config.of(graph.config, f"pipeline '{graph.name}'")[option] == "all-exchanges-blocking":
        raise ConfigError(
            f"pipeline '{graph.name}' sets '{option.name}', and its mode is '{graph.mode}': a stream has no end that others could wait for",
            hint='leave the option out, or make it a batch job: Pipeline(..., mode="batch")',
        )


def _not_replayable(graph: LogicalGraph) -> list[str]:
    """Return the names of the sources that no checkpoint can take back to an earlier place."""
    read = [(operator.name, operator.spec) for operator in graph.operators]
    return [name for name, spec in read if isinstance(spec, SourceSpec) and not spec.source.replayable]


def _pickled(graph: LogicalGraph, execution: ExecutionGraph) -> bytes:
    try:
        return dumps_code(execution)
    except SerializationError as error:
        for operator in graph.operators:
            for path, part in _user_parts(graph, operator):
                _refuse_unpicklable(operator, path, part)
        raise PlanError(f"cannot ship pipeline '{graph.name}': {error.message}", hint=error.hint) from error


def _user_parts(graph: LogicalGraph, operator: LogicalOperator) -> Iterator[tuple[str, object]]:
    """Give the user's functions and objects of an operator and its inputs, by the name that the user knows them by."""
    yield from operator.spec.functions().items()
    for edge in graph.inputs(operator.id):
        if edge.partitioner is not None:
            yield "key", edge.partitioner.key
            yield "choose", edge.partitioner.choose


def _refuse_unpicklable(operator: LogicalOperator, path: str, part: object) -> None:
    found = find_unpicklable(part, path)
    if found is None:
        return
    place, error = found
    raise PlanError(
        f"cannot ship '{operator.name}': its {path} cannot be pickled because of {place}: {type(error).__name__}: {error}",
        hint="create it where it is used: inside the function, or in on_start of an OperatorActor",
    ) from error
