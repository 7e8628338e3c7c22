"""What an operator that is a stage of its own is told of its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actorflow.operators.contract import SubtaskContext
from actorflow.operators.stage import Consumer
from actorflow.state.backend import KeyedBackend


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a chain an operator stands.

    Attributes:
        name: the operator's name.
        backend: returns where its keyed states and timers live; called at most once.
        following: gets what it emits.
        sides: get what it emits to side outputs, by tag.
        context: the subtask.
        held: whether a stage behind it can take nothing now.
    """

    name: str
    backend: Callable[[], KeyedBackend]
    following: Consumer
    sides: Mapping[str, Consumer]
    context: SubtaskContext
    held: Callable[[], bool] = bool
