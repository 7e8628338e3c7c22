"""A checkpoint on its way, as the coordinator keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from actorflow.ids import SubtaskId
from actorflow.protocol.checkpoint_events import Phase
from actorflow.protocol.checkpoint_messages import CheckpointRequested, SubtaskTimes
from actorflow.wire.batch import SavepointOrder


@dataclass(slots=True)
class UnderWay:
    """A checkpoint that is not complete yet. `waiting` are the subtasks that have not acknowledged it, `states` what the others said."""

    checkpoint: int
    began_at: float
    timestamp: int
    periodic: bool
    request: CheckpointRequested | None
    waiting: dict[SubtaskId, None]
    states: dict[SubtaskId, bytes]
    times: dict[SubtaskId, SubtaskTimes] = field(default_factory=dict)
    phase: Phase = Phase.PENDING

    @property
    def savepoint(self) -> SavepointOrder | None:
        """What is to be done if it is a savepoint."""
        return self.request.savepoint if self.request is not None else None

    @property
    def stops(self) -> bool:
        """Whether the job stops with it."""
        return bool(self.savepoint and self.savepoint.stops)
