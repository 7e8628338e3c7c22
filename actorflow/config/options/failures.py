"""What follows a failure, and when a node that is silent counts as lost."""

from __future__ import annotations

from actorflow.config.kinds import choice, duration, fraction, optional, whole
from actorflow.config.option import Option

RESTART_STRATEGY = Option(
    "restart-strategy.type",
    optional(choice("none", "fixed-delay", "failure-rate", "exponential-delay")),
    None,
    "What happens when a subtask fails: the job fails (`none`), or restarts within the limits below.",
    unset="`exponential-delay` for a job that goes on from checkpoints, else `none`",
)
FAILOVER_STRATEGY = Option(
    "jobmanager.execution.failover-strategy",
    choice("region", "full"),
    "region",
    "What restarts when a subtask fails: what exchanges join it to (`region`), or the whole job (`full`).",
)
FIXED_DELAY_ATTEMPTS = Option(
    "restart-strategy.fixed-delay.attempts",
    whole(0),
    1,
    "`fixed-delay`: restarts before the job fails.",
)
FIXED_DELAY = Option(
    "restart-strategy.fixed-delay.delay",
    duration(),
    1.0,
    "`fixed-delay`: time from a failure to the restart.",
)
FAILURE_RATE_MAX = Option(
    "restart-strategy.failure-rate.max-failures-per-interval",
    whole(1),
    1,
    "`failure-rate`: failures within the interval that the job survives.",
)
FAILURE_RATE_INTERVAL = Option(
    "restart-strategy.failure-rate.failure-rate-interval",
    duration(0.001),
    60.0,
    "`failure-rate`: the interval in which failures are counted.",
)
FAILURE_RATE_DELAY = Option(
    "restart-strategy.failure-rate.delay",
    duration(),
    1.0,
    "`failure-rate`: time from a failure to the restart.",
)
EXPONENTIAL_INITIAL_BACKOFF = Option(
    "restart-strategy.exponential-delay.initial-backoff",
    duration(0.001),
    1.0,
    "`exponential-delay`: time from the first failure to the restart.",
)
EXPONENTIAL_MAX_BACKOFF = Option(
    "restart-strategy.exponential-delay.max-backoff",
    duration(0.001),
    60.0,
    "`exponential-delay`: longest time from a failure to the restart.",
)
EXPONENTIAL_MULTIPLIER = Option(
    "restart-strategy.exponential-delay.backoff-multiplier",
    fraction(1.0, 100.0),
    1.5,
    "`exponential-delay`: growth of the time with each failure.",
)
EXPONENTIAL_RESET_THRESHOLD = Option(
    "restart-strategy.exponential-delay.reset-backoff-threshold",
    duration(0.001),
    3600.0,
    "`exponential-delay`: time without failure after which the time starts from the beginning.",
)
EXPONENTIAL_JITTER = Option(
    "restart-strategy.exponential-delay.jitter-factor",
    fraction(0.0, 1.0),
    0.1,
    "`exponential-delay`: random share added to or taken from the time, so that jobs do not restart in step.",
)
EXPONENTIAL_ATTEMPTS = Option(
    "restart-strategy.exponential-delay.attempts-before-reset-backoff",
    optional(whole(1)),
    None,
    "`exponential-delay`: restarts without a reset before the job fails.",
    unset="no limit",
)
HEARTBEAT_INTERVAL = Option(
    "heartbeat.interval",
    duration(0.01),
    10.0,
    "Time between two signs of life on a connection to another host.",
)
HEARTBEAT_TIMEOUT = Option(
    "heartbeat.timeout",
    duration(0.02),
    50.0,
    "Time without anybody where a node listens, after which it is lost. A connection to another host that is silent for half of it is cut. "
    "With the defaults a host that loses its power is cut off within 35 s (interval and half of the timeout), which fails the jobs that "
    "exchange data with it, and is lost within 85 s. A process that dies on this host is noticed at once.",
)
RECONNECT_TIMEOUT = Option(
    "actorflow.taskmanager.reconnect-timeout",
    duration(0.01),
    1.0,
    "How long a TaskManager whose connection to the JobManager broke may take to connect again, before its slots are lost.",
)
