"""The options of savepoints: where they go, and which one a job starts from."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, TEXT, choice, optional
from actorflow.config.option import Option

SAVEPOINT_DIRECTORY = Option(
    "execution.checkpointing.savepoint-dir",
    optional(TEXT),
    None,
    "Where savepoints go if whoever asks for one does not say: a directory, or a URI, that every node can reach.",
    unset="whoever asks has to say it",
)
RECOVERY_PATH = Option(
    "execution.state-recovery.path",
    optional(TEXT),
    None,
    "The savepoint or retained checkpoint that a job goes on from: its directory.",
    unset="jobs begin at their beginning",
)
RECOVERY_IGNORE_UNCLAIMED = Option(
    "execution.state-recovery.ignore-unclaimed-state",
    FLAG,
    False,
    "Whether state in a savepoint that no operator of the job takes is left behind; else the job is refused.",
)
RECOVERY_FROM_LOCAL = Option(
    "execution.state-recovery.from-local",
    FLAG,
    False,
    "Whether a restart reads the copies of state that its host has, as far as they are there and whole.",
)
RECOVERY_CLAIM_MODE = Option(
    "execution.state-recovery.claim-mode",
    choice("no-claim", "claim"),
    "no-claim",
    "Whose the savepoint is that a job goes on from: its owner's, or the job's, which removes it after its first own checkpoint.",
)
