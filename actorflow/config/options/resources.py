"""Which TaskManagers a cluster has: who starts them, how many there may be, and how long idle ones stay."""

from __future__ import annotations

from actorflow.config.kinds import TEXT, choice, duration, optional, whole
from actorflow.config.option import Option

RESOURCE_DRIVER = Option(
    "actorflow.resourcemanager.driver",
    TEXT,
    "standalone",
    "Who starts TaskManagers. `standalone`: you do. `process`: the leading JobManager, on its host, when jobs lack slots. "
    "Else the name of an entry point of group `actorflow.resource_drivers`, or `module:factory`.",
)
SLOTS_MAX = Option(
    "slotmanager.number-of-slots.max",
    optional(whole(1)),
    None,
    "The most slots that the ResourceManager has TaskManagers started for.",
    unset="an error, with any driver but `standalone`",
)
SLOTS_MIN = Option(
    "slotmanager.number-of-slots.min",
    whole(0),
    0,
    "How many slots a driver keeps, also while no job needs them.",
)
REDUNDANT_TASK_MANAGERS = Option(
    "slotmanager.redundant-taskmanager-num",
    whole(0),
    0,
    "TaskManagers whose slots a driver keeps free while jobs run, so that they need not wait when another one is lost.",
)
TASK_MANAGER_IDLE_TIMEOUT = Option(
    "resourcemanager.taskmanager-timeout",
    duration(),
    30.0,
    "How long a TaskManager that a driver has started may be without any job before it is ended.",
)
TASK_MANAGER_START_TIMEOUT = Option(
    "resourcemanager.taskmanager-registration.timeout",
    duration(0.1),
    300.0,
    "How long a TaskManager may take from its start by a driver to its first offer of slots, before another one is started instead.",
)
START_RETRY_INTERVAL = Option(
    "resourcemanager.start-worker.retry-interval",
    duration(0.01),
    3.0,
    "How long a driver pauses after a start that failed. It doubles with every failure in a row, up to a minute.",
)
RESOURCE_ID = Option(
    "taskmanager.resource-id",
    optional(TEXT),
    None,
    "The id of a TaskManager, which drivers set: by it they know whom they have started. It must be unique.",
    unset="the cluster's name, and a random number",
)
REGISTRATION_TIMEOUT = Option(
    "taskmanager.registration.timeout",
    optional(duration(0.1)),
    None,
    "How long a TaskManager may be without a JobManager that takes its slots before it ends itself.",
    unset="it tries for as long as it runs; 1 min for those that driver `process` starts, so that none is left behind",
)
LOAD_BALANCE = Option(
    "taskmanager.load-balance.mode",
    choice("slots", "none"),
    "slots",
    "How a job is placed. `slots`: its slots, and the subtasks in them, are spread over all TaskManagers evenly. "
    "`none`: TaskManagers are filled one after the other, so that others stay idle.",
)
