"""Savepoints: the state of a job as open files, which belong to who asked for them.

For users, as `af.savepoint`: `read` opens one as tables, `create` makes one from nothing, `diff` compares two.

declared.py       which states an operator declares
inference.py      the type of values whose type nobody has declared
arrow_types.py    types as Arrow columns
columns.py        values as columns, and back
layouts.py        states as tables, and back: what a row is
files.py          Parquet files and the manifest
opening.py        savepoints and retained checkpoints
matching.py       what belongs to which operator of another job
tables.py         savepoints as tables for people
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actorflow.savepoint.tables import Difference, SavepointTables, create, diff, read

__all__ = ["Difference", "SavepointTables", "create", "diff", "read"]


def __getattr__(name: str) -> object:
    """Import a name for users when it is first used: the engine imports the modules by themselves."""
    if name not in __all__:
        raise AttributeError(f"module 'actorflow.savepoint' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module("actorflow.savepoint.tables"), name)
