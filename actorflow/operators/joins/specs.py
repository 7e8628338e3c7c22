"""Joins that are an operator of their own, as values: operators of two keyed inputs that are known by the name of their verb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from actorflow.operators.specs import CoProcessSpec


@dataclass(frozen=True)
class JoinSpec(CoProcessSpec):
    """A join of two keyed streams."""

    kind: ClassVar[str] = "join"

    def functions(self) -> Mapping[str, object]:
        """The keys that are functions: the operator itself is the engine's."""
        return {name: function for name, function in super().functions().items() if name != "operator"}


@dataclass(frozen=True)
class IntervalJoinSpec(JoinSpec):
    """A join by event times that are near each other."""

    kind: ClassVar[str] = "interval_join"
    needs_timestamps: ClassVar[bool] = True


@dataclass(frozen=True)
class AsOfJoinSpec(JoinSpec):
    """A join with the latest record of the right stream."""

    kind: ClassVar[str] = "as_of_join"
    needs_timestamps: ClassVar[bool] = True
