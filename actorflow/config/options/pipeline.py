"""What a pipeline is: its parallelism, its chains, its watermarks."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, duration, optional, whole
from actorflow.config.option import Option

PARALLELISM_DEFAULT = Option(
    "parallelism.default",
    optional(whole(1, 32768)),
    None,
    "Subtasks of an operator when neither the operator, the pipeline nor the client says.",
    unset="the number of slots",
)
OPERATOR_CHAINING = Option(
    "pipeline.operator-chaining.enabled",
    FLAG,
    True,
    "Run neighbouring operators as one subtask, compiled into one loop. Off helps to see which operator is slow.",
)

AUTO_WATERMARK_INTERVAL = Option(
    "pipeline.auto-watermark-interval",
    duration(),
    0.05,
    "How often watermarks are made while records come; 0 makes one behind every batch. Each sends the buffers that it passes. 200 ms in Flink.",
)
