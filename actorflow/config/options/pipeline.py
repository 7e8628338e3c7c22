"""What a pipeline is: its parallelism, its chains, its watermarks."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, choice, duration, optional, whole
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
BATCH_SHUFFLE_MODE = Option(
    "execution.batch-shuffle-mode",
    choice("all-exchanges-pipelined", "all-exchanges-blocking"),
    "all-exchanges-pipelined",
    "Batch mode: whether all subtasks run from the start and send each other records (`all-exchanges-pipelined`), or in stages, each of which "
    "writes to local disks what the next one reads (`all-exchanges-blocking`): after a failure finished stages do not run again. "
    "Blocking in Flink. Streaming pipelines are always pipelined.",
)

AUTO_WATERMARK_INTERVAL = Option(
    "pipeline.auto-watermark-interval",
    duration(),
    0.05,
    "How often watermarks are made while records come; 0 makes one behind every batch. Each sends the buffers that it passes. 200 ms in Flink.",
)
