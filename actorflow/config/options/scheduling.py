"""How wide jobs run, where there are fewer slots than they want, or more than they have."""

from __future__ import annotations

from actorflow.config.kinds import choice, duration, whole
from actorflow.config.option import Option

SCHEDULER = Option(
    "jobmanager.scheduler",
    choice("default", "adaptive"),
    "default",
    "`default`: a job waits for all slots that it wants. `adaptive`: it runs with the slots there are, and is widened when more come.",
)
SCHEDULER_MODE = Option(
    "scheduler-mode",
    choice("as-submitted", "reactive"),
    "as-submitted",
    "`reactive`: jobs are adaptive, and want as many slots as their operators have key groups: they take whatever slots there are.",
)
SLOTS_SETTLE_TIMEOUT = Option(
    "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout",
    duration(),
    10.0,
    "How long an adaptive job waits for all slots that it wants, from when there are enough to run at all.",
)
RESCALING_COOLDOWN = Option(
    "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling",
    duration(),
    30.0,
    "How long an adaptive job runs, since it started, was restarted or rescaled, before it is widened.",
)
PARALLELISM_INCREASE_MIN = Option(
    "jobmanager.adaptive-scheduler.min-parallelism-increase",
    whole(1),
    1,
    "By how many subtasks of its widest operator an adaptive job is widened, at least.",
)
