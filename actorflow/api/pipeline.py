"""Where a pipeline begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Unpack, get_args

from actorflow.api.arguments import check_source
from actorflow.api.builder import GraphBuilder, Mode, Upstream
from actorflow.api.options import OperatorOptions, Options, check_choice, check_whole
from actorflow.api.stream import Stream
from actorflow.connectors.contracts import Source, SourceSpec
from actorflow.errors import PlanError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.checks import check_graph
from actorflow.plan.explain import explain
from actorflow.plan.graph import LogicalGraph
from actorflow.plan.identity import check_name
from actorflow.plan.parallelism import check_max_parallelism, check_parallelism
from actorflow.plan.pruning import not_run, prune
from actorflow.storage.files import as_uri


class Pipeline:
    """A job under construction: read from sources, transform streams, write to sinks. Building it runs nothing.

    Args:
        name: the job's name.
        parallelism: number of subtasks of operators that do not say; None leaves it to whoever runs the pipeline.
        max_parallelism: number of key groups: the highest parallelism the job can ever be rescaled to. Fixed for the life of its state.
        mode: `batch` gives final results only (every source must be bounded), `streaming` gives results as they come, `auto`
            is `streaming` unless the user asks for final results.
        config: options of this job by name, as in a configuration file; they go before the cluster's.

    Raises:
        PlanError: if a number is out of bounds or a word unknown.
        ConfigError: if an option is unknown or malformed.
    """

    def __init__(
        self,
        name: str,
        *,
        parallelism: int | None = None,
        max_parallelism: int = 128,
        mode: Mode = "auto",
        config: Mapping[str, object] | None = None,
    ) -> None:
        check_name("the name of a pipeline", name)
        what = f"pipeline '{name}'"
        check_max_parallelism(what, check_whole("max_parallelism", max_parallelism))
        if parallelism is not None:
            check_parallelism(what, check_whole("parallelism", parallelism), max_parallelism)
        check_choice(f"mode of {what}", mode, get_args(Mode))
        self._builder = GraphBuilder(name, parallelism, max_parallelism, mode, _options(name, config))

    @property
    def name(self) -> str:
        """The job's name."""
        return self._builder.name

    def read(self, source: Source, **options: Unpack[OperatorOptions]) -> Stream[Any]:
        """Return the stream of a source's records.

        Raises:
            PlanError: if `source` is not a source.
        """
        check_source(source)
        spec = SourceSpec(source)
        position = self._builder.add(spec, (), Options.of("read", options))
        return Stream(self._builder, [Upstream(position)])

    def cached_file(self, name: str, path: str | os.PathLike[str]) -> None:
        """Have a file or directory on the local disk of each TaskManager: operators open it at `ctx.cached_file(name)`.

        There is one copy for each TaskManager, for reading only, and it is removed when the job is over.

        Args:
            name: what operators call it.
            path: where it is: a path on this host, from where it is sent to the cluster, or a URI that all hosts of the cluster reach.

        Raises:
            PlanError: if the name is malformed, or already used for another file.
        """
        check_name("the name of a cached file", name)
        uri = as_uri(path)
        if self._builder.cached_files.setdefault(name, uri) != uri:
            raise PlanError(
                f"pipeline '{self.name}' has two cached files called '{name}': {self._builder.cached_files[name]} and {uri}",
                hint="give each a name of its own",
            )

    def graph(self) -> LogicalGraph:
        """Return what has been added so far, as an immutable value."""
        return self._builder.graph()

    def explain(self, *, parallelism: int = 1) -> str:
        """Return the plan as text: operators by chain, partitioner, parallelism and path (objects or columns) of each edge.

        Args:
            parallelism: number of subtasks of operators that do not say, in pipelines that do not say.

        Raises:
            PlanError: if the pipeline cannot be planned as it is.
        """
        graph = self.graph()
        check_graph(graph)
        graph, unused = prune(graph)
        left_out = f"\n{not_run(unused)}\n" if unused else ""
        blocking = self._blocking()
        return explain(graph, build_execution_graph(graph, default_parallelism=parallelism, blocking=blocking)) + left_out

    def _blocking(self) -> bool:
        """Return whether the pipeline asks for blocking exchanges. What its cluster says is not known here."""
        from actorflow.config import Config, options

        config = Config.of(self._builder.config, f"pipeline '{self.name}'")
        return config[options.BATCH_SHUFFLE_MODE] == "all-exchanges-blocking"

    def __repr__(self) -> str:
        return f"<Pipeline '{self.name}'>"


def _options(name: str, config: Mapping[str, object] | None) -> dict[str, object]:
    if not config:
        return {}
    from actorflow.config import Config

    return Config.of(config, f"pipeline '{name}'").plain()
