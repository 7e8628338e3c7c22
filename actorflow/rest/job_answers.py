"""From the options of a job to what the server answers of them: pure functions, under Flink's names. See `answers`."""

from __future__ import annotations

from actorflow.config import Config, options
from actorflow.config.options import BY_NAME
from actorflow.inspection.facts import JobFacts
from actorflow.rest import job_shapes as shapes

_RESTARTS = {
    "none": "Restart deactivated.",
    "fixed-delay": "Restart with fixed delay ({delay}). #{attempts} restart attempts.",
    "failure-rate": "Failure rate restart with maximum of {most} failures within interval {interval} and fixed delay {pause}.",
    "exponential-delay": "Restart with exponential delay, from {initial} to {highest}.",
}
"""How Flink tells them, by name."""


def job_config(facts: JobFacts) -> shapes.JobConfig:
    """Return what a job was told."""
    told = Config.of(facts.options, "job")
    shown = {name: BY_NAME[name].shown(setting.value) for name, setting in told.settings.items()}
    return {
        "jid": facts.job,
        "name": facts.name,
        "execution-config": {
            "restart-strategy": _restarts(told, goes_on=told[options.CHECKPOINT_INTERVAL] is not None),
            "job-parallelism": facts.parallelism,
            "object-reuse-mode": True,  # within a host batches are handed on as they are
            "user-config": shown,
        },
    }


def _restarts(told: Config, *, goes_on: bool) -> str:
    strategy = told[options.RESTART_STRATEGY] or ("exponential-delay" if goes_on else "none")
    seconds = {
        "delay": told[options.FIXED_DELAY],
        "interval": told[options.FAILURE_RATE_INTERVAL],
        "pause": told[options.FAILURE_RATE_DELAY],
        "initial": told[options.EXPONENTIAL_INITIAL_BACKOFF],
        "highest": told[options.EXPONENTIAL_MAX_BACKOFF],
    }
    counts = {"attempts": told[options.FIXED_DELAY_ATTEMPTS], "most": told[options.FAILURE_RATE_MAX]}
    return _RESTARTS[strategy].format(**{name: f"{value:g} s" for name, value in seconds.items()}, **counts)


def checkpoint_config(facts: JobFacts) -> shapes.CheckpointConfig | None:
    """Return how a job takes checkpoints; None if it takes none by itself."""
    told = Config.of(facts.options, "job")
    interval_s = told[options.CHECKPOINT_INTERVAL]
    if interval_s is None:
        return None
    return {
        "mode": told[options.CHECKPOINT_MODE].replace("-", "_"),
        "interval": _ms(interval_s),
        "timeout": _ms(told[options.CHECKPOINT_TIMEOUT]),
        "min_pause": _ms(told[options.CHECKPOINT_MIN_PAUSE]),
        "max_concurrent": told[options.CHECKPOINTS_CONCURRENT],
        "externalization": {
            "enabled": True,
            "delete_on_cancellation": told[options.CHECKPOINT_RETENTION] == "delete-on-cancellation",
        },
        "state_backend": told[options.STATE_BACKEND],
        "checkpoint_storage": "JobManagerCheckpointStorage"
        if told[options.CHECKPOINT_DIRECTORY] is None
        else "FileSystemCheckpointStorage",
        "unaligned_checkpoints": told[options.CHECKPOINT_UNALIGNED],
        "tolerable_failed_checkpoints": told[options.CHECKPOINT_FAILURES],
        "aligned_checkpoint_timeout": _ms(told[options.CHECKPOINT_ALIGNED_TIMEOUT]),
        "checkpoints_after_tasks_finish": True,
        "state_changelog_enabled": False,
    }


def no_accumulators() -> shapes.JobAccumulators:
    """Return the accumulators of a job: none, what operators count are metrics."""
    return {"job-accumulators": [], "user-task-accumulators": [], "serialized-user-task-accumulators": {}}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
