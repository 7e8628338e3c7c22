"""Where an actor is in its life, and what it is made from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from actorflow.actor.actor import Actor, LightActor


A = TypeVar("A", bound="Actor | LightActor")


class State(enum.Enum):
    """Where an actor is in its life; the diagram is in `cell`."""

    STARTING = "starting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Recipe(Generic[A]):
    """What an instance is made from, and made again after a failure. Shared by actors that are made alike."""

    cls: type[A]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
