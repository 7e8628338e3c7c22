"""Finding operators: from the path that people know, `/jobs/<job>/<operator>/<index>`, to the subtask actor that runs it now."""

from __future__ import annotations

from collections.abc import Mapping

from actorflow.errors import PlanError
from actorflow.ids import Address, SubtaskId
from actorflow.plan.topology import Topology
from actorflow.runtime.messages import UserMessage
from actorflow.wire import pickling

PREFIX = "/jobs/"
"""What the paths of operators start with."""


def subtask_name(subtask: SubtaskId) -> str:
    """Return the name of a subtask's actor, below its worker."""
    return f"{subtask.vertex}-{subtask.index}"


class Directory:
    """The operators of one deployment of a job.

    Args:
        topology: what runs.
        workers: for each subtask the worker that runs it.
    """

    def __init__(self, topology: Topology, workers: Mapping[SubtaskId, Address]) -> None:
        self._job = topology.name
        self._workers = workers
        self._vertices = {operator: vertex for vertex in topology.vertices for operator in vertex.operators}

    def find(self, path: str) -> tuple[Address, str]:
        """Return the address of the subtask that runs an operator, and the operator's name.

        Raises:
            PlanError: if the job has no such operator, or not so many subtasks of it.
        """
        job, _, rest = path.removeprefix(PREFIX).partition("/")
        operator, _, number = rest.rpartition("/")
        vertex = self._vertices.get(operator)
        if job != self._job or vertex is None or not number.isdecimal() or int(number) >= vertex.parallelism:
            known = ", ".join(f"{PREFIX}{self._job}/{name}/0..{v.parallelism - 1}" for name, v in self._vertices.items())
            raise PlanError(f"there is no operator at {path}", hint=f"there are {known}")
        subtask = SubtaskId(vertex.id, int(number))
        return Address(f"{self._workers[subtask]}/{subtask_name(subtask)}"), operator


def packed(operator: str, message: object) -> UserMessage:
    """Return a message of user code, as it travels to an operator or back."""
    return UserMessage(operator, pickling.dumps(message))
