"""How a job takes checkpoints, and where a run goes on from: one of them, or the beginning."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from actorflow.ids import VertexId
from actorflow.protocol.checkpoints.checkpoint_events import CompletedCheckpoint
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.protocol.jobs.splits import ResetSplits


class Retention(enum.Enum):
    """What becomes of checkpoints when the job is cancelled or fails. When it finishes, none is needed any more."""

    DELETE_ON_CANCELLATION = "delete-on-cancellation"
    RETAIN_ON_CANCELLATION = "retain-on-cancellation"


@dataclass(frozen=True, slots=True)
class CheckpointPlan:
    """How a job takes checkpoints.

    Attributes:
        rules: see `CheckpointRules`.
        retention: see `Retention`.
        possible: whether its runs can go on from one.
        wall_offset_ms: wall clock minus the machine's clock, in ms: timestamps of checkpoints are for people, and for start delays.
    """

    rules: CheckpointRules = field(default_factory=CheckpointRules)
    retention: Retention = Retention.DELETE_ON_CANCELLATION
    possible: bool = True
    wall_offset_ms: float = 0.0

    @property
    def active(self) -> bool:
        """Whether runs go on from checkpoints."""
        return self.possible and self.rules.interval_s is not None


@dataclass(frozen=True, slots=True)
class EarlierLife:
    """What a job has done under leaders before this one.

    Attributes:
        completed: its completed checkpoints, oldest first.
        runs: numbers of its runs, as far as they are known: they may have left something hidden.
        last_number: the highest number that a run or a checkpoint may have had. A leader that was deposed and does not know it yet goes on
            counting, and must not meet the numbers of another one: each epoch has numbers of its own.
        ended: its last run, if one of them had decided to commit that: then nothing is left to run.
    """

    completed: tuple[CompletedCheckpoint, ...] = ()
    runs: tuple[int, ...] = ()
    last_number: int = 0
    ended: KeptEnd | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """Where a run goes on from.

    Attributes:
        checkpoint: number of the checkpoint; 0 for the beginning.
        parts: for each vertex the parts of its subtasks, in their order.
        splits: for each source what its readers had read.
        listed: for each source all of its splits, as they were listed; finished ones may be empty.
        listed_for: for sources whose splits are to be listed again: for how many subtasks they were listed.
        claimed: of another job's savepoint or checkpoint that belongs to this job from now on: its directory.
    """

    checkpoint: int = 0
    parts: Mapping[VertexId, tuple[bytes, ...]] = field(default_factory=dict)
    splits: Mapping[VertexId, ResetSplits] = field(default_factory=dict)
    listed: Mapping[VertexId, tuple[bytes, ...]] = field(default_factory=dict)
    listed_for: Mapping[VertexId, int] = field(default_factory=dict)
    claimed: str = ""
