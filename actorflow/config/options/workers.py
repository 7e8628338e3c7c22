"""Slots, the worker processes behind them, and how long each step of their lives may take."""

from __future__ import annotations

from actorflow.config.kinds import duration, memory, optional, whole
from actorflow.config.option import Option

SLOTS = Option(
    "taskmanager.numberOfTaskSlots",
    optional(whole(1, 4096)),
    None,
    "Slots of a TaskManager. Each is a process, so more than the CPU cores rarely helps.",
    unset="the number of CPU cores this process may use",
)
TASKMANAGER_MEMORY = Option(
    "taskmanager.memory.process.size",
    optional(memory(1 << 20)),
    None,
    "Memory of all slot workers of a TaskManager together. Each may use an equal share; one that uses more is killed, and its job restarts or fails.",
    unset="nobody but the kernel looks",
)
SLOT_OFFER_INTERVAL = Option(
    "actorflow.slot.offer-interval",
    duration(0.01),
    5.0,
    "How often a TaskManager tells the ResourceManager anew which slots it has: an offer may be lost, and a new leader knows none.",
)
SLOT_REQUEST_TIMEOUT = Option(
    "slot.request.timeout",
    duration(),
    300.0,
    "How long a job waits for slots before it fails.",
)
WORKER_START_TIMEOUT = Option(
    "actorflow.worker.start-timeout",
    duration(0.1),
    30.0,
    "How long a slot worker process may take from its start to its first message.",
)
WORKER_STUCK_AFTER = Option(
    "actorflow.worker.stuck-after",
    duration(0.01),
    10.0,
    "How long user code may work on one batch before the log says where it stands.",
)
WORKER_REPORT_EVERY = Option(
    "actorflow.worker.report-interval",
    duration(0.001),
    0.5,
    "How often a slot worker tells how many records it has read and written.",
)
SUBTASK_START_TIMEOUT = Option(
    "actorflow.subtask.start-timeout",
    duration(0.1),
    300.0,
    "How long the subtasks of a slot may take to be built, and then each to start: its `on_start` may load a model.",
)
COMMIT_TIMEOUT = Option(
    "actorflow.commit.timeout",
    duration(0.1),
    300.0,
    "How long a slot worker may take to make its output visible at the end of a job, before it is killed and the JobManager does it.",
)
CANCELLATION_TIMEOUT = Option(
    "task.cancellation.timeout",
    duration(),
    5.0,
    "How long a slot worker may take to end its subtasks before its process is killed.",
)
