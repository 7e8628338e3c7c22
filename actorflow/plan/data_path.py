"""In which form records travel along each edge, Python objects or columns, and where they are converted.

    producer gives ──► exchange carries ──► consumer takes

Records stay in the form in which they were made for as long as they can, because columns are smaller on the wire. They become objects
before an exchange only where spreading them calls a Python function on each record; else at the consumer, if it asks for the
other form.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.ids import OperatorId
from actorflow.plan.graph import DataPath, LogicalGraph, Partitioner, Partitioning


@dataclass(frozen=True, slots=True)
class EdgePath:
    """The forms along one edge. `ANY` stands for: some batches in one form, some in the other.

    Attributes:
        given: by the producer.
        carried: by the exchange, or the call inside a chain.
        taken: by the consumer.
    """

    given: DataPath
    carried: DataPath
    taken: DataPath

    @property
    def converted_by_producer(self) -> bool:
        """Whether records change their form before they are spread."""
        return self.given is not self.carried

    @property
    def converted_by_consumer(self) -> bool:
        """Whether records change their form when they arrive."""
        return self.carried is not self.taken


def edge_paths(graph: LogicalGraph) -> tuple[EdgePath, ...]:
    """Return the forms along each edge, in the order of `graph.edges`."""
    given: dict[OperatorId, DataPath] = {}
    paths: dict[int, EdgePath] = {}
    inputs: dict[OperatorId, list[int]] = {operator.id: [] for operator in graph.operators}
    for number, edge in enumerate(graph.edges):
        inputs[edge.target].append(number)
    for operator in graph.operators:
        taken: list[DataPath] = []
        for number in inputs[operator.id]:
            edge = graph.edges[number]
            source_gives = given[edge.source]
            carried = DataPath.OBJECTS if needs_objects(edge.partitioner) else source_gives
            takes = carried if operator.spec.takes is DataPath.ANY else operator.spec.takes
            paths[number] = EdgePath(source_gives, carried, takes)
            taken.append(takes)
        given[operator.id] = _merged(taken) if operator.spec.gives is DataPath.ANY else operator.spec.gives
    return tuple(paths[number] for number in range(len(graph.edges)))


def needs_objects(partitioner: Partitioner | None) -> bool:
    """Return whether spreading records this way calls a Python function on each."""
    if partitioner is None:
        return False
    by_function = partitioner.kind in {Partitioning.HASH, Partitioning.CUSTOM}
    return by_function and not (partitioner.kind is Partitioning.HASH and partitioner.key_column is not None)


def _merged(forms: list[DataPath]) -> DataPath:
    return forms[0] if forms and all(form is forms[0] for form in forms) else DataPath.ANY
