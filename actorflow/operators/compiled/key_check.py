"""Keys of an operator's only subtask: no exchange hashes them, so that they are looked at here.

A key without a stable hash (see `wire.stable_hash`) is refused with any number of subtasks, or a job would fail on the day that it gets a second
one, or never find its state again. Looking costs nothing per record: a table shows which keys are new, and the type of most is enough; where
there is no table, the last key of each batch stands for the others.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from actorflow.operators.failures import refused
from actorflow.wire.stable_hash import UnstableKey, stable_hash

if TYPE_CHECKING:
    from actorflow.operators.contract import SubtaskContext

_STABLE: Final = frozenset({str, int, bool, bytes, type(None), dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID})
"""Types all of whose values have a stable hash."""


class KeyCheck:
    """Refuses the unstable keys of one operator.

    Args:
        operator: its name, for the report.
        subtask: its only one, for the report.
    """

    def __init__(self, operator: str, subtask: str) -> None:
        self._operator = operator
        self._subtask = subtask

    def key(self, key: Any) -> None:
        """Look at a key.

        Raises:
            UserFunctionError: if it has no stable hash.
        """
        if type(key) in _STABLE:
            return
        try:
            stable_hash(key)
        except UnstableKey as error:
            raise refused(error, operator=f"the key of '{self._operator}'", subtask=self._subtask, key=key) from error


class TableCheck:
    """Looks at the keys that have come into a table, each once.

    Args:
        table: from key to anything. It only grows, or is cleared.
        check: looks at a key.
    """

    def __init__(self, table: Mapping[Any, object], check: KeyCheck) -> None:
        self._table = table
        self._check = check
        self._seen = len(table)

    def look(self) -> None:
        """Look at what is new since the last time.

        Raises:
            UserFunctionError: if a key has no stable hash.
        """
        grown = len(self._table) - self._seen
        if grown:
            self._seen += grown
            if grown > 0 and not set(map(type, islice(reversed(self._table), grown))) <= _STABLE:
                for key in list(islice(reversed(self._table), grown)):
                    self._check.key(key)


def key_check(operator: str, context: SubtaskContext) -> KeyCheck | None:
    """Return what looks at the keys of an operator, if nobody else does."""
    return KeyCheck(operator, str(context.subtask)) if context.parallelism == 1 else None
