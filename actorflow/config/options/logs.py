"""What processes log, and where it goes. `actorflow.cluster.logs` carries it out."""

from __future__ import annotations

from actorflow.config.kinds import TEXT, choice, levels, memory, optional, whole
from actorflow.config.option import Option

LOG_LEVEL = Option(
    "env.log.level",
    choice("debug", "info", "warn", "error"),
    "warn",
    "The least that is logged, by loggers of which `actorflow.log.levels` says nothing. Flink leaves it to a file of its own.",
)
LOG_LEVELS = Option(
    "actorflow.log.levels",
    optional(levels("debug", "info", "warn", "error")),
    None,
    "The least that single loggers log, and those below them: `actorflow.transport=debug, my.module=error`.",
    unset="all loggers have the level of `env.log.level`",
)
LOG_DIRECTORY = Option(
    "env.log.dir",
    optional(TEXT),
    None,
    "Directory of the log files. Each process writes one of its own, so that none waits for another, once it has something to say.",
    unset="logs go to the standard error output",
)
LOG_FILES_MAX = Option(
    "env.log.max",
    whole(1, 10_000),
    10,
    "Full log files that each process keeps beside the one it writes; older ones are removed.",
)
LOG_FILE_BYTES_MAX = Option(
    "actorflow.log.file-size-max",
    memory(4 << 10),
    100 << 20,
    "Size at which a log file counts as full: it is renamed to `.1`, and a new one begun.",
)
