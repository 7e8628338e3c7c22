"""What a job starts from: nothing, or the savepoint or retained checkpoint that its options name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from actorflow.config import Config, options

if TYPE_CHECKING:
    from actorflow.plan.execution import ExecutionGraph
    from actorflow.protocol.checkpoints.checkpoint_plan import Restored

ClaimMode = Literal["no-claim", "claim"]


def starting(from_savepoint: str | os.PathLike[str] | None, *, allow_non_restored_state: bool, claim_mode: ClaimMode) -> Config:
    """Return as options what a caller said about where a job goes on from; nothing, if nothing was said.

    Raises:
        ConfigError: if the claim mode is unknown.
    """
    said: dict[str, object] = {}
    if from_savepoint is not None:
        said[options.RECOVERY_PATH.name] = os.fspath(from_savepoint)
    if allow_non_restored_state:
        said[options.RECOVERY_IGNORE_UNCLAIMED.name] = True
    if claim_mode != "no-claim":
        said[options.RECOVERY_CLAIM_MODE.name] = claim_mode
    return Config.of(said, "arguments")


def restored_state(graph: ExecutionGraph, config: Config) -> Restored:
    """Return what a job's first run goes on from.

    Raises:
        CheckpointError: if it cannot go on from there.
        IncompatibleState: if the type of a state has changed in a way that it cannot be read.
        PlanError: if it runs in batch mode.
    """
    from actorflow.protocol.checkpoints.checkpoint_plan import Restored

    path = config[options.RECOVERY_PATH]
    if path is None:
        return Restored()
    from actorflow.savepoint.matching import restored_from  # few jobs start from a savepoint

    mode: ClaimMode = "claim" if config[options.RECOVERY_CLAIM_MODE] == "claim" else "no-claim"
    return restored_from(path, graph, allow_non_restored_state=config[options.RECOVERY_IGNORE_UNCLAIMED], claim_mode=mode)
