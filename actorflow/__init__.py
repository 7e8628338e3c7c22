"""START HERE. actorflow: a distributed dataflow engine built from actors.

A pipeline is data: sources, operators, sinks, and how records travel between them. Running it is a verb:

    import actorflow as af

    pipeline = af.Pipeline("wordcount")
    counts = (
        pipeline.read(af.sources.text("book.txt"))
        .flat_map(str.split)
        .key_by(lambda word: word)
        .count()
    )
    counts.write(af.sinks.print())
    print(pipeline.explain())
    result = af.run(pipeline)
    print(result.records_in, result.records_out, result.duration_s)

The map. Imports run strictly downwards, from the last row here to the first; packages of one row do not know each other.

row 0  `errors` says what went wrong and whose turn it is; `ids` names things across processes; `clock` is time as an argument.

row 1  `plan` is what is to run: the logical graph that users build, the chains, subtasks and channels that it becomes. `config` declares every
       option once and reads them from YAML. `wire` is the form in which things travel: batches, messages, frames, user code.

row 2  `protocol` holds every decision of the system as machines without I/O: READ `protocol/machine.py` SECOND, it is the one idea.

row 3  `actor` runs actors on dispatchers: mailboxes, paths, supervision, and the shell that performs what machines decide.
       `storage` is file systems, blobs and manifests, and sorting more than fits into memory.

row 4  `transport` carries messages and frames between nodes over ZeroMQ. `state` keeps values by key. `coordination` elects leaders.

row 5  `operators` compiles a chain of operators into one loop over a batch. `connectors` reads and writes the outside world.

row 6  `savepoint` is the state of a job as open files, and what of it belongs to which operator of another job.

row 7  `runtime` is the cluster's actors: jobs, slots, subtasks, gates with credits. `api` is what users write; neither knows the other.

row 8  `inspection` looks at the living actors of a cluster: the tree, single ones by path, and why a job is slow. `web` is the pages of a browser.

row 9  `rest` shows the same over HTTP, under Flink's names, and metrics.

row 10 `cluster` makes nodes of them: processes, launcher, client, and the embedded cluster behind `run`.

row 11 `repl`, `testing` and `examples` are built on all of it; users import `actorflow.testing` by itself.

row 12 `cli` is the command, which starts any of it.

This module imports nothing until a name is used, so that `import actorflow` costs next to nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actorflow import savepoint
    from actorflow.api.keyed import KeyedStream
    from actorflow.api.pipeline import Pipeline
    from actorflow.api.retry import Retry
    from actorflow.api.stream import Stream
    from actorflow.api.tag import Tag
    from actorflow.api.windowed import WindowedStream
    from actorflow.cluster.client import Client, ClusterInfo, JobInfo, connect
    from actorflow.cluster.job import Job
    from actorflow.cluster.job_news import JobResult
    from actorflow.cluster.local import LocalCluster
    from actorflow.cluster.running import collect, run
    from actorflow.connectors import sinks, sources
    from actorflow.connectors.contracts import Sink, Source, TwoPhaseSink
    from actorflow.errors import ActorflowError, ConfigError, JobFailed, PlanError
    from actorflow.operators.aggregate import Aggregate
    from actorflow.operators.event_time.watermarks import WatermarkGenerator, Watermarks
    from actorflow.operators.joins.in_windows import CoGroup
    from actorflow.operators.processing.actor import (
        BroadcastContext,
        BroadcastOperator,
        OperatorActor,
        OperatorContext,
        TimerContext,
        TwoInputOperator,
    )
    from actorflow.operators.processing.supervise import DeadLetter, Supervise
    from actorflow.operators.windowing import evictors, triggers, windows
    from actorflow.operators.windowing.evictor import Evictor
    from actorflow.operators.windowing.trigger import Trigger, TriggerContext, TriggerResult
    from actorflow.operators.windowing.window import Window, WindowAssigner, Windowed
    from actorflow.operators.windowing.window_function import WindowContext
    from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, ValueState
    from actorflow.state.operator_state import BroadcastState, OperatorListState, UnionListState
    from actorflow.state.ttl import Ttl

__version__ = "0.1.0"

__all__ = [
    "ActorflowError",
    "Aggregate",
    "AggregatingState",
    "BroadcastContext",
    "BroadcastOperator",
    "BroadcastState",
    "Client",
    "ClusterInfo",
    "CoGroup",
    "ConfigError",
    "DeadLetter",
    "Evictor",
    "Job",
    "JobFailed",
    "JobInfo",
    "JobResult",
    "KeyedStream",
    "ListState",
    "LocalCluster",
    "MapState",
    "OperatorActor",
    "OperatorContext",
    "OperatorListState",
    "Pipeline",
    "PlanError",
    "ReducingState",
    "Retry",
    "Sink",
    "Source",
    "Stream",
    "Supervise",
    "Tag",
    "TimerContext",
    "Trigger",
    "TriggerContext",
    "TriggerResult",
    "Ttl",
    "TwoInputOperator",
    "TwoPhaseSink",
    "UnionListState",
    "ValueState",
    "WatermarkGenerator",
    "Watermarks",
    "Window",
    "WindowAssigner",
    "WindowContext",
    "Windowed",
    "WindowedStream",
    "collect",
    "connect",
    "evictors",
    "run",
    "savepoint",
    "sinks",
    "sources",
    "triggers",
    "windows",
]

_HOMES = {
    "actorflow.api.keyed": ("KeyedStream",),
    "actorflow.api.pipeline": ("Pipeline",),
    "actorflow.api.retry": ("Retry",),
    "actorflow.api.stream": ("Stream",),
    "actorflow.api.tag": ("Tag",),
    "actorflow.api.windowed": ("WindowedStream",),
    "actorflow.cluster.client": ("Client", "ClusterInfo", "JobInfo", "connect"),
    "actorflow.cluster.job": ("Job",),
    "actorflow.cluster.job_news": ("JobResult",),
    "actorflow.cluster.local": ("LocalCluster",),
    "actorflow.cluster.running": ("collect", "run"),
    "actorflow.connectors.contracts": ("Sink", "Source", "TwoPhaseSink"),
    "actorflow.connectors.sinks": ("sinks",),
    "actorflow.connectors.sources": ("sources",),
    "actorflow.errors": ("ActorflowError", "ConfigError", "JobFailed", "PlanError"),
    "actorflow.operators.processing.actor": (
        "BroadcastContext",
        "BroadcastOperator",
        "OperatorActor",
        "OperatorContext",
        "TimerContext",
        "TwoInputOperator",
    ),
    "actorflow.operators.aggregate": ("Aggregate",),
    "actorflow.operators.joins.in_windows": ("CoGroup",),
    "actorflow.operators.windowing.evictor": ("Evictor",),
    "actorflow.operators.windowing.evictors": ("evictors",),
    "actorflow.operators.processing.supervise": ("DeadLetter", "Supervise"),
    "actorflow.operators.windowing.trigger": ("Trigger", "TriggerContext", "TriggerResult"),
    "actorflow.operators.windowing.triggers": ("triggers",),
    "actorflow.operators.event_time.watermarks": ("WatermarkGenerator", "Watermarks"),
    "actorflow.operators.windowing.window": ("Window", "WindowAssigner", "Windowed"),
    "actorflow.operators.windowing.window_function": ("WindowContext",),
    "actorflow.operators.windowing.windows": ("windows",),
    "actorflow.savepoint": ("savepoint",),
    "actorflow.state.descriptors": ("AggregatingState", "ListState", "MapState", "ReducingState", "ValueState"),
    "actorflow.state.operator_state": ("BroadcastState", "OperatorListState", "UnionListState"),
    "actorflow.state.ttl": ("Ttl",),
}
"""Where each public name is defined; a module that has its own name here is public as a whole."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'actorflow' has no attribute '{name}'", name=name, obj=sys.modules[__name__])
    from importlib import import_module

    module = import_module(home)
    value: object = module if home.endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
