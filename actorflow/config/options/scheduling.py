"""How wide jobs run, where there are fewer slots than they want, or more than they have."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, choice, duration, duration_or_never, optional
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
SLOTS_WAIT_TIMEOUT = Option(
    "jobmanager.adaptive-scheduler.submission.resource-wait-timeout",
    optional(duration_or_never()),
    None,
    "How long an adaptive job waits, at its start and after a failure, before it runs with the slots there are, or fails if they are too few.",
    unset="5 minutes; with `scheduler-mode: reactive` as long as it takes, which is also what a negative duration means",
)
SLOTS_SETTLE_TIMEOUT = Option(
    "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout",
    optional(duration()),
    None,
    "How long an adaptive job waits for all slots that it wants, from when there are enough to run at all.",
    unset="10 seconds; with `scheduler-mode: reactive` not at all",
)
SLOTS_STABLE_TIMEOUT = Option(
    "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout",
    optional(duration()),
    None,
    "How long slots that were added are not used by an adaptive job that runs, in case more come. All that it wants are used at once.",
    unset="a minute; with `scheduler-mode: reactive` not at all",
)
RESCALING_COOLDOWN = Option(
    "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling",
    duration(),
    30.0,
    "How long an adaptive job runs, since it started, was restarted or rescaled, before it is widened.",
)
WIDEN_FROM_SCRATCH = Option(
    "actorflow.adaptive-scheduler.widen-from-scratch",
    FLAG,
    default=False,
    text="Whether an adaptive job that takes no checkpoints is widened all the same: it begins anew, and what it has done is done again.",
)
