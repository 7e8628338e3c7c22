"""What runs leave hidden: files they have begun, and output they have prepared and not committed. Decides when somebody may remove which.

Where there are checkpoints, one of them may refer to what was prepared: the next run commits it, if the checkpoint was completed. So nothing of a
run is removed before a later one has been built, or none will follow.
"""

from __future__ import annotations

from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.checkpoints.commit import RemoveBegun
from actorflow.protocol.machine import Effect, Start


def runs_before(earlier: EarlierLife, number: int) -> tuple[int, ...]:
    """Return the numbers of all runs of the job before one, under leaders before this one too."""
    return (*earlier.runs, *range(earlier.last_number + 1, number))


def remove(runs: tuple[int, ...], *, at_end: bool = False) -> list[Effect]:
    """Remove what these runs have left; see `RemoveBegun`."""
    return [Start(RemoveBegun(runs, at_end))] if runs else []


def left_with_checkpoints(
    earlier: EarlierLife, latest: int, *, over: bool, committing: bool, finished: bool, killed: bool
) -> tuple[int, ...]:
    """Return what may be removed when a run of a job with checkpoints, or a savepoint, gives back its slots.

    Args:
        earlier: what the job has done under leaders before this one.
        latest: the highest number of the run.
        over: whether no run will follow.
        committing: whether output was being made visible.
        finished: whether all of it is visible.
        killed: whether a worker ended that was not told to.
    """
    if not over or (committing and not finished):
        return ()
    runs = runs_before(earlier, latest + 1)
    return () if finished and not killed and len(runs) == 1 else runs
