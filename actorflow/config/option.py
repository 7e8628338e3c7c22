"""What an option is: a named, typed value that users can set. `options` declares them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from actorflow.config.kinds import Kind

T = TypeVar("T")

HIDDEN = "******"
"""Stands for the value of a secret."""


@dataclass(frozen=True, slots=True, eq=False)
class Option(Generic[T]):
    """A named, typed value that users can set.

    Attributes:
        name: its full name, such as `heartbeat.timeout`.
        kind: reads, checks and shows its values.
        default: its value when nobody sets it.
        text: what it is for, in one line.
        unset: for an option without a default value: what happens then.
        secret: whether its value must not be shown.
        since: the first version that has it.
    """

    name: str
    kind: Kind[T]
    default: T
    text: str
    unset: str = ""
    secret: bool = False
    since: str = "0.1"

    def shown(self, value: T) -> str:
        """Return a value as people may see it: a secret is hidden. Empty if it is unset."""
        return HIDDEN if self.secret and value is not None else self.kind.show(value)

    def __repr__(self) -> str:
        return f"Option({self.name!r})"
