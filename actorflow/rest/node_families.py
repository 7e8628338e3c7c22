"""What nodes say of themselves, as families of metrics for Prometheus: under Flink's names where Flink has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from actorflow.runtime.nodes.node_figures import CONNECTIONS, PROCESS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Kind = Literal["jobmanager", "taskmanager"]


def node_families(kind: Kind, told: Mapping[tuple[str, ...], Mapping[str, float]], labels: Sequence[str] = ()) -> Iterator[Metric]:
    """Yield a family for each figure that any of the nodes has.

    Args:
        kind: of the nodes; part of the names.
        told: the figures of each node by name, under the values of its labels.
        labels: names of the labels.
    """
    from prometheus_client.core import GaugeMetricFamily

    for prefix, known in ((f"flink_{kind}_", PROCESS), (f"actorflow_{kind}_", CONNECTIONS)):
        for name, (text, _) in known.items():
            family = GaugeMetricFamily(prefix + name.replace(".", "_"), text, labels=labels)
            for values, figures in told.items():
                if name in figures:
                    family.add_metric(values, figures[name])
            if family.samples:
                yield family
