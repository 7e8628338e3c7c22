"""The decision to commit a run, as it is written down for the next leader: what has to become visible, and what is known of the run."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.ids import SubtaskId


@dataclass(frozen=True, slots=True)
class KeptEnd:
    """A run whose subtasks have all finished, and whose results their reader has. It is not run again: what it has prepared is committed.

    Attributes:
        run: its number.
        prepared: by which subtask, and what, as `SubtaskFinished` has it.
        records_in: records that its sources have read.
        records_out: records that its sinks have written.
    """

    run: int
    prepared: tuple[tuple[SubtaskId, bytes], ...]
    records_in: int = 0
    records_out: int = 0
