"""Running a pipeline in virtual time.

It is the engine itself: the actors, machines and messages of an inline cluster, on a dispatcher that gives them their turns in a seeded order,
on a clock that moves on to the next timer when nobody has anything to do. A day of waiting takes as long as what happens in it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from actorflow.actor import ActorSystem, SimulatedDispatcher
from actorflow.api.pipeline import Pipeline
from actorflow.api.stream import Stream
from actorflow.clock import ManualClock
from actorflow.cluster.interrupt import Interruptible
from actorflow.cluster.job import Job
from actorflow.cluster.local import LocalCluster
from actorflow.config.values import Duration, duration_s
from actorflow.connectors.contracts import Sink, SinkSpec, SourceSpec
from actorflow.connectors.direct_sinks import CollectSink
from actorflow.errors import PlanError
from actorflow.ids import NodeId
from actorflow.plan.graph import LogicalGraph
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.machine import TimerFired
from actorflow.runtime.workers.slot_worker import SlotWorker
from actorflow.testing.arrivals import Received
from actorflow.testing.moments import Moment, moment_ms
from actorflow.testing.sink import TestSink
from actorflow.testing.source import TestSource
from actorflow.testing.stuck import TestStuck, shown, stuck
from actorflow.wire import pickling

_CALM = {"actorflow.worker.report-interval": "30d", "actorflow.slot.offer-interval": "30d"}
"""Options for virtual time, in which nobody looks at a progress line and no message is lost: what is done every few seconds takes steps."""

_LOOK_STEPS = 1024
"""Steps between two looks at the real clock."""


@dataclass(frozen=True, slots=True)
class TestRun:
    """How a test run went.

    Attributes:
        received: what each test sink and `collect` sink got, by the sink's operator name.
        ended: whether the job has finished; not if it was stopped after `run_for`.
        records_in: records read by the sources.
        records_out: records written by the sinks.
        attempts: deployments it took; 1 if nothing failed.
        duration_s: virtual time from start to end.
    """

    __test__: ClassVar[bool] = False

    received: Mapping[str, Received]
    ended: bool
    records_in: int
    records_out: int
    attempts: int
    duration_s: float
    _names: Mapping[int, str] = field(repr=False)

    def __getitem__(self, sink: Sink | str) -> Received:
        """Return what a sink got: the object that was given to `write`, or the operator's name."""
        name = sink if isinstance(sink, str) else self._names.get(id(sink), "")
        if name not in self.received:
            raise KeyError(f"{sink!r} is no sink of this run that shows what it got; there are: {', '.join(self.received)}")
        return self.received[name]

    @property
    def only(self) -> Received:
        """What the only sink got.

        Raises:
            PlanError: if there are several.
        """
        if len(self.received) != 1:
            names = ", ".join(f"'{name}'" for name in self.received) or "none"
            raise PlanError(f"this run has {len(self.received)} test sinks: {names}", hint="say which: run[sink]")
        return next(iter(self.received.values()))

    @property
    def records(self) -> list[Any]:
        """The records of the only sink."""
        return self.only.records

    @property
    def timed(self) -> list[tuple[Any, int | None]]:
        """The records of the only sink, each with its timestamp."""
        return self.only.timed

    @property
    def watermarks(self) -> list[int]:
        """The watermarks of the only sink."""
        return self.only.watermarks


def run_test(
    pipeline: Pipeline | Stream[Any] | LogicalGraph,
    *,
    parallelism: int = 1,
    seed: int = 0,
    start: Moment | None = None,
    run_for: Duration | None = None,
    horizon: Duration = "1d",
    timeout: Duration = "60s",
    config: Mapping[str, object] | None = None,
) -> TestRun:
    """Run a pipeline in virtual time, and return what its sinks got.

    Args:
        pipeline: what to run; of a stream, what is behind it.
        parallelism: subtasks of operators that do not say, in pipelines that do not say. Each slice runs in a worker of its own.
        seed: of the order in which subtasks get their turns. The same seed gives the same run.
        start: virtual time at the start; by default the earliest origin of the test sources, else the epoch.
        run_for: stop after so much virtual time, whether the pipeline has ended or not.
        horizon: how much virtual time it may take beyond the scripts of its test sources.
        timeout: how much real time it may take.
        config: options by name.

    Raises:
        PlanError: if the pipeline cannot run as it is written.
        JobFailed: if it failed; the text ends in the user's own traceback.
        TestStuck: if it does not end.
    """
    graph = _graph(pipeline)
    names = _sink_names(graph)
    scripts = _scripts(graph)
    start_ms = min((source.origin_ms for source in scripts), default=0) if start is None else moment_ms(start)
    if run_for is not None:
        limit_s = duration_s(run_for, "run_for")
    else:
        limit_s = max((source.ends_after_s(start_ms) for source in scripts), default=0.0) + duration_s(horizon, "horizon")
    dispatcher = SimulatedDispatcher(seed)
    system = ActorSystem(NodeId("test"), clock=ManualClock(0.0, start_ms), story_events_max=0, dispatcher=dispatcher)
    with LocalCluster(slots=_slots(graph, parallelism), system=system, config={**_CALM, **(config or {})}) as cluster:
        job = cluster.submit(_shown(graph), parallelism=parallelism)
        watch = _Watch(job, duration_s(timeout, "timeout"))
        with Interruptible() as keyboard:
            dispatcher.run_until(lambda: watch.over() or keyboard.interrupted, limit_s)
        status = job.status()
        if status.final and status is not JobStatus.FINISHED:
            job.result()  # which raises what went wrong
        if not status.final and (watch.late or run_for is None):
            raise _stuck(graph, dispatcher, watch, limit_s, system)
        if not status.final:
            _report_now(system, dispatcher)
        return _result(job, system.clock.now(), names)


class _Watch:
    """Says when to stop.

    Args:
        job: what runs.
        timeout_s: how long it may take, in real time.
    """

    def __init__(self, job: Job, timeout_s: float) -> None:
        self.late = False
        self.timeout_s = timeout_s
        self._job = job
        self._deadline = time.monotonic() + timeout_s
        self._steps = 0

    def over(self) -> bool:
        """Return whether the job has ended or time is up."""
        self._steps += 1
        if self._steps % _LOOK_STEPS == 0:
            self.late = time.monotonic() > self._deadline
        return self.late or self._job.status().final


def _graph(pipeline: Pipeline | Stream[Any] | LogicalGraph) -> LogicalGraph:
    if isinstance(pipeline, Stream):
        return pipeline.graph_into(TestSink())
    return pipeline.graph() if isinstance(pipeline, Pipeline) else pipeline


def _sink_names(graph: LogicalGraph) -> dict[int, str]:
    """Return the operator of each sink object.

    Raises:
        PlanError: if one test sink stands at two places.
    """
    names: dict[int, str] = {}
    for operator in graph.operators:
        if isinstance(operator.spec, SinkSpec):
            other = names.setdefault(id(operator.spec.sink), operator.name)
            if other != operator.name and isinstance(operator.spec.sink, TestSink):
                raise PlanError(f"'{other}' and '{operator.name}' are one test sink", hint="make a TestSink() for each stream")
    return names


def _shown(graph: LogicalGraph) -> LogicalGraph:
    """Return the graph with its `collect` sinks as test sinks, which keep timestamps."""
    operators = tuple(
        replace(operator, spec=SinkSpec(TestSink())) if isinstance(getattr(operator.spec, "sink", None), CollectSink) else operator
        for operator in graph.operators
    )
    return replace(graph, operators=operators)


def _scripts(graph: LogicalGraph) -> list[TestSource]:
    sources = [operator.spec.source for operator in graph.operators if isinstance(operator.spec, SourceSpec)]
    return [source for source in sources if isinstance(source, TestSource)]


def _stuck(graph: LogicalGraph, dispatcher: SimulatedDispatcher, watch: _Watch, limit_s: float, system: ActorSystem) -> TestStuck:
    sources = [(operator.name, operator.spec.source) for operator in graph.operators if isinstance(operator.spec, SourceSpec)]
    endless = [name for name, source in sources if not source.bounded]
    over = f"{watch.timeout_s:g} s of real time" if watch.late else f"{shown(limit_s)} of virtual time"
    message = f"job '{graph.name}' has not ended: {over} are over, and its actors last had something to do at {shown(dispatcher.acted_at)}"
    return stuck(message, f"'{endless[0]}' does not end: stop after some time with run_for=" if endless else "", system)


def _report_now(system: ActorSystem, dispatcher: SimulatedDispatcher) -> None:
    """Have the workers tell how far they are, which they do seldom here."""
    for row in system.tree():
        if row.kind == SlotWorker.__name__:
            system.resolve(row.path).tell_control(TimerFired("progress"))
    dispatcher.run_until_idle()


def _slots(graph: LogicalGraph, parallelism: int) -> int:
    """Return a number of slots that is enough for any plan of the graph: no more than these are looked after in each step."""
    groups = {operator.slot_group for operator in graph.operators}
    highest = max((operator.parallelism or graph.parallelism or parallelism for operator in graph.operators), default=1)
    return max(1, len(groups) * highest)


def _result(job: Job, duration_s: float, names: Mapping[int, str]) -> TestRun:
    received: dict[str, Received] = {}
    payloads = job.payloads()
    assert job.graph is not None, "it was submitted here"
    for vertex in job.graph.vertices:
        last = vertex.operators[-1]
        if isinstance(last.spec, SinkSpec) and isinstance(last.spec.sink, TestSink):
            mine = [payload for subtask in sorted(payloads) if subtask.vertex == vertex.id for payload in payloads[subtask]]
            received[last.name] = Received(element for payload in mine for element in pickling.loads(payload))
    records_in, records_out = job.progress()
    return TestRun(received, job.status().final, records_in, records_out, job.attempts, duration_s, names)
