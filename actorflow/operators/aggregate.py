"""Aggregations of the user's own: how records become one accumulator for each key, and what it says."""

from __future__ import annotations

import abc
from typing import Generic, TypeVar

In = TypeVar("In")
Acc = TypeVar("Acc")
Out = TypeVar("Out")


class Aggregate(abc.ABC, Generic[In, Acc, Out]):
    """An aggregation. It holds parameters only; what it has seen is in the accumulators, which the engine keeps and checkpoints."""

    @abc.abstractmethod
    def create(self) -> Acc:
        """Return the accumulator of a key (or window) that has seen nothing."""

    @abc.abstractmethod
    def add(self, acc: Acc, value: In) -> Acc:
        """Return the accumulator with `value` added: a new one, or `acc` itself after changing it."""

    @abc.abstractmethod
    def merge(self, a: Acc, b: Acc) -> Acc:
        """Return the accumulator of all that `a` and `b` have seen: a new one, or `a` itself after changing it, but not `b`.

        Used where parts are aggregated apart: in windows that overlap or merge. What `a` has seen came before, or is of earlier times.
        """

    @abc.abstractmethod
    def result(self, acc: Acc) -> Out:
        """Return what the accumulator says. Must not change it."""
