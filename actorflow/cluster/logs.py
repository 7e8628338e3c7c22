"""Where the log of a process of ours goes, as the options say: to standard error, or to a file of its own that is rotated.

    2026-03-01 12:00:00,250 WARNING 4711 actorflow.actor: actor /worker/source-0 has failed: …
    time (this host's)      level   pid  logger           message

Each process has files of its own, named after it, because two processes cannot rotate one file. Only processes that are ours are set up:
slot workers, and that of `actorflow run`. A program that calls `af.run` itself keeps the logging that it has.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from actorflow.config import Config, options
from actorflow.errors import ConfigError

_FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def logging_is_set(config: Config) -> bool:
    """Return whether anybody has set an option of logging."""
    return config.is_set(options.LOG_LEVEL) or config.is_set(options.LOG_LEVELS) or config.is_set(options.LOG_DIRECTORY)


def start_logging(config: Config, process: str) -> None:
    """Set up the logging of this process, in place of what it had.

    Args:
        config: its options.
        process: its name, which becomes that of its log file.

    Raises:
        ConfigError: if the directory of the log files cannot be made or written to.
    """
    handler = log_handler(config, process)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(_LEVELS[config[options.LOG_LEVEL]])
    for logger, level in config[options.LOG_LEVELS] or ():
        logging.getLogger(logger).setLevel(_LEVELS[level])


def log_handler(config: Config, process: str) -> logging.Handler:
    """Return what writes the log of a process; see `start_logging`."""
    directory = config[options.LOG_DIRECTORY]
    handler = logging.StreamHandler(sys.stderr) if directory is None else _rotated_file(config, Path(directory), process)
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler


def _rotated_file(config: Config, directory: Path, process: str) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(config, directory, error.strerror or str(error)) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _unusable(config, directory, "this user may not write there")
    return RotatingFileHandler(
        directory / f"{process}.log",
        maxBytes=config[options.LOG_FILE_BYTES_MAX],
        backupCount=config[options.LOG_FILES_MAX],
        encoding="utf-8",
        delay=True,  # a worker that has nothing to say leaves no empty file behind
    )


def _unusable(config: Config, directory: Path, reason: str) -> ConfigError:
    option = options.LOG_DIRECTORY
    return ConfigError(f"{config.origin(option)}: {option.name}: cannot log to directory '{directory}': {reason}")
