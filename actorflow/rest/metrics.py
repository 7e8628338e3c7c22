"""Metrics for Prometheus, under the names that Flink's reporter gives them: dashboards made for Flink work.

They are asked of the subtasks when they are scraped, on their control lanes; nothing is counted for them in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from actorflow.ids import split_address
from actorflow.inspection.cluster_view import ClusterView
from actorflow.inspection.facts import JobFacts
from actorflow.inspection.node_view import facts_of_nodes
from actorflow.operators.processing.metrics import QUANTILES, quantile_name
from actorflow.rest.answers import checkpoints
from actorflow.rest.node_families import node_families
from actorflow.runtime.nodes.node_figures import node_figures
from actorflow.runtime.subtasks.subtask_contract import SubtaskView
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

TASK: Mapping[str, tuple[str, Callable[[SubtaskView], float]]] = {
    "numRecordsIn": ("records taken", lambda view: view.metrics.records_in),
    "numRecordsOut": ("records given", lambda view: view.metrics.records_out),
    "numRecordsInPerSecond": ("records taken in the last second", lambda view: view.metrics.records_in_per_second),
    "numRecordsOutPerSecond": ("records given in the last second", lambda view: view.metrics.records_out_per_second),
    "numBytesIn": ("encoded bytes from other nodes", lambda view: view.metrics.bytes_in),
    "numBytesOut": ("encoded bytes to other nodes", lambda view: view.metrics.bytes_out),
    "busyTimeMsPerSecond": ("share of the last second", lambda view: view.metrics.busy_ms_per_second),
    "idleTimeMsPerSecond": ("share of the last second", lambda view: view.metrics.idle_ms_per_second),
    "backPressuredTimeMsPerSecond": ("share of the last second", lambda view: view.metrics.back_pressured_ms_per_second),
    "isBackPressured": ("whether its outputs hold it up now", lambda view: view.activity == "back_pressured"),
    "inputQueueLength": ("elements that wait in input channels", lambda view: view.queued_in),
    "outputQueueLength": ("buffers that wait for credit", lambda view: sum(view.queued_out)),
}
"""Of each subtask, by Flink's name: what it is, and how to read it."""

JOB: Mapping[str, str] = {
    "numRestarts": "deployments after the first",
    "totalNumberOfCheckpoints": "checkpoints that were begun",
    "numberOfInProgressCheckpoints": "checkpoints under way",
    "numberOfCompletedCheckpoints": "checkpoints that can be restored, or could",
    "numberOfFailedCheckpoints": "checkpoints that were given up",
    "lastCheckpointDuration": "ms from trigger to manifest",
    "lastCheckpointSize": "bytes that the last checkpoint has stored",
    "lastCheckpointFullSize": "bytes of the state that it refers to",
}
"""Of each job, by Flink's name."""

CLUSTER: Mapping[str, str] = {
    "numRegisteredTaskManagers": "TaskManagers that are there",
    "taskSlotsTotal": "slots that they have",
    "taskSlotsAvailable": "slots that are free",
    "numRunningJobs": "jobs that are not over",
}
"""Of the cluster, by Flink's name."""

_OPERATOR_PREFIX = "flink_taskmanager_job_task_operator_"
_WATERMARK = "currentInputWatermark"
_TASK_LABELS = ("job_id", "job_name", "task_id", "task_name", "subtask_index")


def exposition(view: ClusterView) -> bytes:
    """Return all metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(view))
    text: bytes = generate_latest(registry)
    return text


class _Collector:
    """Asks the cluster when it is asked itself. See `prometheus_client.registry.Collector`."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        jobs = self._view.under_way()
        for name, figure in of_cluster(self._view).items():
            yield GaugeMetricFamily(f"flink_jobmanager_{name}", CLUSTER[name], value=figure)
        yield from node_families("jobmanager", {(): node_figures(self._view.system)})
        yield from self._of_task_managers()
        of_jobs = {
            name: GaugeMetricFamily(f"flink_jobmanager_job_{name}", text, labels=("job_id", "job_name"))
            for name, text in JOB.items()
        }
        texts = {**{name: text for name, (text, _) in TASK.items()}, _WATERMARK: "ms; absent before the first"}
        of_tasks = {
            name: GaugeMetricFamily(f"flink_taskmanager_job_task_{name}", text, labels=_TASK_LABELS) for name, text in texts.items()
        }
        own = _OwnMetrics()
        for facts in jobs:
            for name, value in of_job(facts).items():
                of_jobs[name].add_metric([facts.job, facts.name], value)
            for subtask, seen in self._view.views(facts).items():
                labels = [facts.job, facts.name, subtask.vertex, facts.topology.vertex(subtask.vertex).name, str(subtask.index)]
                if seen is not None:
                    for name, value in of_task(seen).items():
                        of_tasks[name].add_metric(labels, value)
                    own.add(labels, seen)
        yield from (*of_jobs.values(), *of_tasks.values(), *own.families.values())

    def _of_task_managers(self) -> Iterator[Metric]:
        """Yield what the nodes of the TaskManagers say of themselves, labelled as Flink does; not what is in the JobManager's process."""
        home = self._view.system.node
        nodes = dict.fromkeys(split_address(each.address)[0] for each in self._view.task_managers())
        told = facts_of_nodes(self._view, [node for node in nodes if node != home])
        yield from node_families("taskmanager", {(node,): facts.figures for node, facts in told.items()}, ("tm_id",))


class _OwnMetrics:
    """What operators have made by `ctx.metrics`: counters, gauges that are numbers, and histograms as summaries with Flink's quantiles.

    A name is one thing to Prometheus: if two operators give it to metrics of different kinds, only those of the first kind are there.
    """

    def __init__(self) -> None:
        self.families: dict[str, Metric] = {}

    def add(self, labels: list[str], view: SubtaskView) -> None:
        """Take the metrics of a subtask's operators in."""
        for operator, facts in view.operators.items():
            metrics = facts.get("metrics") if isinstance(facts, Mapping) else None
            for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
                self._add(
                    f"{_OPERATOR_PREFIX}{name}",
                    dict(zip((*_TASK_LABELS, "operator_name"), (*labels, operator), strict=True)),
                    value,
                )

    def _add(self, name: str, labels: dict[str, str], value: object) -> None:
        from prometheus_client.core import Metric

        histogram = isinstance(value, Mapping) and isinstance(value.get("count"), int)
        if not histogram and not isinstance(value, int | float):
            return
        kind = "summary" if histogram else "gauge"
        family = self.families.setdefault(name, Metric(name, "made by an operator", kind))
        if family.type != kind:
            return
        if isinstance(value, int | float):
            family.add_sample(name, labels, value)
        elif isinstance(value, Mapping):
            family.add_sample(f"{name}_count", labels, value["count"])
            for quantile in QUANTILES:
                if (read := value.get(quantile_name(quantile))) is not None:
                    family.add_sample(name, {**labels, "quantile": str(quantile)}, read)


def of_cluster(view: ClusterView) -> dict[str, float]:
    """Return the metrics of the cluster by their names."""
    managers = view.task_managers()
    running = sum(not summary.status.final for summary in view.jobs().values())
    figures = (len(managers), sum(each.slots for each in managers), sum(each.free for each in managers), running)
    return dict(zip(CLUSTER, figures, strict=True))


def of_task(view: SubtaskView) -> dict[str, float]:
    """Return the metrics of a subtask by their names; its watermark once it has reached one."""
    read = {name: float(value(view)) for name, (_, value) in TASK.items()}
    return {**read, _WATERMARK: view.watermark} if MIN_TIMESTAMP < view.watermark < MAX_TIMESTAMP else read


def of_job(facts: JobFacts) -> dict[str, float]:
    """Return the metrics of a job by their names."""
    seen = checkpoints(facts)
    counts, last = seen["counts"], seen["latest"]["completed"]
    figures: dict[str, float] = {
        "numRestarts": facts.restarts,
        "totalNumberOfCheckpoints": counts["total"],
        "numberOfInProgressCheckpoints": counts["in_progress"],
        "numberOfCompletedCheckpoints": counts["completed"],
        "numberOfFailedCheckpoints": counts["failed"],
    }
    if last is not None:
        figures["lastCheckpointDuration"] = last["end_to_end_duration"]
        figures["lastCheckpointSize"] = last["checkpointed_size"]
        figures["lastCheckpointFullSize"] = last["state_size"]
    return figures
