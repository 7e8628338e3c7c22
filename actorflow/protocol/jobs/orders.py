"""What a JobMaster tells workers. None of it may be lost, so it goes through a `ReliableMachine`; what workers answer does too."""

from __future__ import annotations

from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAborted, CheckpointCompleted, TriggerCheckpoint
from actorflow.protocol.event_time.alignment import WatermarkAllowed
from actorflow.protocol.jobs.deployment import CancelSubtask
from actorflow.protocol.jobs.job_messages import CommitOutput, DeploySubtask, OpenDeployment, ResultTaken
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned

TO_WORKERS = (
    OpenDeployment,
    DeploySubtask,
    CancelSubtask,
    CommitOutput,
    SplitAssigned,
    NoMoreSplits,
    ResultTaken,
    WatermarkAllowed,
    TriggerCheckpoint,
    CheckpointCompleted,
    CheckpointAborted,
)
"""The types of these messages."""
