"""Letting go of several things, each of them whatever the others do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from actorflow.errors import describe

log = logging.getLogger(__name__)


def close_all(owner: str, parts: Iterable[Callable[[], None]]) -> None:
    """Call each part. What it raises, user code may have raised, is logged: the error that led here counts."""
    for part in parts:
        try:
            part()
        except BaseException as error:
            log.warning("%s could not be closed cleanly: %s", owner, describe(error))
