"""A user's script in the shell: its pipelines run on the shell's cluster, and its names are there at the prompt.

The script runs on a thread of its own, so that one may look while `af.run` waits in it. Until the shell ends, `af.run` and `af.collect` of this process
mean its cluster: the shell is the program here, and the script a guest.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import actorflow
from actorflow.api.pipeline import Pipeline
from actorflow.api.stream import Stream
from actorflow.cluster.job_news import JobResult
from actorflow.cluster.local import LocalCluster
from actorflow.config import options
from actorflow.connectors.direct_sinks import CollectSink
from actorflow.errors import ActorflowError
from actorflow.plan.graph import LogicalGraph


class Submitting:
    """`af.run` and `af.collect` on a cluster that is there.

    Args:
        cluster: runs what they are given.
    """

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    def run(self, pipeline: Pipeline, *, config: Mapping[str, object] | None = None, **how: Any) -> JobResult:
        """Run a pipeline on the shell's cluster and wait for its end. See `af.run`; slots and progress are the shell's."""
        return self._run(pipeline.graph(), config, how)

    def collect(self, stream: Stream[Any], *, config: Mapping[str, object] | None = None, **how: Any) -> list[Any]:
        """Run what is behind a stream on the shell's cluster, and return its records. See `af.collect`."""
        return self._run(stream.graph_into(CollectSink()), config, how).results

    def _run(self, graph: LogicalGraph, config: Mapping[str, object] | None, how: dict[str, Any]) -> JobResult:
        for ours in ("slots", "progress"):
            how.pop(ours, None)
        asked = how.pop("parallelism", None)
        parallelism = asked if asked is not None else self._cluster.config[options.PARALLELISM_DEFAULT] or _cores()
        given = replace(graph, config={**graph.config, **(config or {})})
        return self._cluster.submit(given, parallelism=parallelism, **how).wait()


def begin(script: str, arguments: Sequence[str], module: ModuleType, cluster: LocalCluster) -> threading.Thread:
    """Start a script as the main module of this process.

    Args:
        script: its path.
        arguments: its own command line.
        module: where its names go.
        cluster: runs its pipelines.

    Raises:
        ActorflowError: if it cannot be read.
        SyntaxError: if it is no Python.
    """
    try:
        source = Path(script).read_bytes()
    except OSError as error:
        raise ActorflowError(f"cannot read {script}: {error.strerror}") from None
    code = compile(source, script, "exec")
    submitting = Submitting(cluster)
    vars(actorflow).update(run=submitting.run, collect=submitting.collect)
    module.__file__ = script
    sys.argv[:] = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    thread = threading.Thread(target=_guest, args=(code, module, script), name="script", daemon=True)
    thread.start()
    return thread


def _guest(code: Any, module: ModuleType, script: str) -> None:
    try:
        exec(code, vars(module))  # noqa: S102 - this is what the shell was started for
    except SystemExit:
        pass
    except ActorflowError as error:
        sys.stderr.write(f"{script}: {error}\n")
    except BaseException:
        traceback.print_exc()


def _cores() -> int:
    return len(os.sched_getaffinity(0))
