"""Operators with two inputs: a user's operator with a method for each, one that is broadcast to, and plain functions side by side.

They share timers, watermarks and messages with operators that have one input; only what takes a batch depends on the port.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from actorflow.operators.compiled.codegen import FusedOperator
from actorflow.operators.compiled.fused import FusedStage
from actorflow.operators.place import Place
from actorflow.operators.processing.actor import BroadcastOperator, TwoInputOperator
from actorflow.operators.processing.process import OperatorStage, key_function
from actorflow.operators.processing.running_context import BroadcastRunningContext, RunningContext
from actorflow.operators.specs import BroadcastProcessSpec, CoFlatMapSpec, CoMapSpec, CoProcessSpec, FlatMapSpec, MapSpec
from actorflow.operators.stage import Consumer, Stage
from actorflow.wire.batch import Batch


class CoProcessStage(OperatorStage[TwoInputOperator]):
    """An operator with a left and a right input.

    Args:
        place: where it stands.
        spec: the operator, and the keys of both inputs.
    """

    def __init__(self, place: Place, spec: CoProcessSpec) -> None:
        super().__init__(place, spec.operator, keyed=spec.left_key is not None)
        self._left_key = key_function(spec.left_key)
        self._right_key = key_function(spec.right_key)

    def inputs(self) -> Sequence[Callable[[Batch], None]]:
        """Return what takes the left and the right batches."""
        return self._left, self._right

    def _left(self, batch: Batch) -> None:
        self._each(batch, self._left_key, self._operator.on_left)

    def _right(self, batch: Batch) -> None:
        self._each(batch, self._right_key, self._operator.on_right)


class BroadcastProcessStage(OperatorStage[BroadcastOperator]):
    """An operator with an input of its own, and one that all of its subtasks get.

    Args:
        place: where it stands.
        spec: the operator, and the key of the data.
    """

    _context_class: ClassVar[type[RunningContext]] = BroadcastRunningContext

    def __init__(self, place: Place, spec: BroadcastProcessSpec) -> None:
        super().__init__(place, spec.operator, keyed=spec.key is not None)
        self._key_of = key_function(spec.key)
        assert isinstance(self._ctx, BroadcastRunningContext), "made as the class says"
        self._shared = self._ctx

    def inputs(self) -> Sequence[Callable[[Batch], None]]:
        """Return what takes the batches of data, and those that are broadcast."""
        return self._data, self._broadcast

    def _data(self, batch: Batch) -> None:
        self._each(batch, self._key_of, self._operator.on_record)

    def _broadcast(self, batch: Batch) -> None:
        self._shared.broadcasting = True
        self._operator_states.set_writable(writable=True)
        try:
            self._each(batch, None, self._operator.on_broadcast)
        finally:
            self._operator_states.set_writable(writable=False)
            self._shared.broadcasting = False


class CoMapStage(Stage):
    """A function for each input; each runs in a generated loop.

    Args:
        name: the operator's name.
        spec: the functions.
        following: gets what both give.
        subtask: for reports.
    """

    def __init__(self, name: str, spec: CoMapSpec | CoFlatMapSpec, following: Consumer, *, subtask: str) -> None:
        one: type[MapSpec | FlatMapSpec] = MapSpec if isinstance(spec, CoMapSpec) else FlatMapSpec
        self._name = name
        self._sides = [
            FusedStage([FusedOperator(name, one(fn), None)], [[], []], following, subtask=subtask, origin="input")
            for fn in (spec.left, spec.right)
        ]

    def inputs(self) -> Sequence[Callable[[Batch], None]]:
        """Return what takes the left and the right batches."""
        return [side.process for side in self._sides]

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out of both sides together."""
        left, right = (cast("dict[str, int]", side.observe()[self._name]) for side in self._sides)
        return {self._name: {fact: left[fact] + right[fact] for fact in left}}
