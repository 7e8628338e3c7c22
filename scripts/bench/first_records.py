"""A sink that notes when each process was given its first record: from it benchmarks know when a job goes on, and in which process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from actorflow.connectors.contracts import Sink, Writer, WriterContext
from actorflow.wire.batch import ObjectBatch


class FirstRecord(NamedTuple):
    """When a process was given its first record, on the monotonic clock of the host."""

    pid: int
    at: float


@dataclass(frozen=True)
class FirstRecords(Sink):
    """Notes the first record of every writer, in the order in which they come.

    Attributes:
        notes: a file for them.
    """

    notes: Path

    def open(self, _: WriterContext) -> Writer:
        """Return a writer."""
        return _FirstRecordsWriter(self.notes)

    def noted(self) -> list[FirstRecord]:
        """Return what has been noted until now."""
        lines = self.notes.read_text(encoding="ascii").splitlines() if self.notes.exists() else []
        return [FirstRecord(int(pid), float(at)) for pid, at in map(str.split, lines)]


class _FirstRecordsWriter:
    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._seen = False

    def write(self, _: ObjectBatch) -> None:
        if not self._seen:
            self._seen = True
            with self._notes.open("a", encoding="ascii") as notes:
                notes.write(f"{os.getpid()} {time.monotonic()}\n")

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
