"""READ FIRST in this package. From the operators of a vertex to something that takes batches.

Runs of operators that a generated loop can hold become one `FusedStage`; every other operator is a stage of its own. A fused stage
(maybe without operators) stands behind each of those, and spreads their records over the outputs. A keyed aggregation whose values are
not all in memory is the first of its fused stage, which loads the values of a batch's keys before its loop:

    map, filter, process, map, key by      FusedStage(map, filter) → ProcessStage → FusedStage(map; outputs)
                                                                         └─ side ──► FusedStage(; outputs)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from actorflow.errors import PlanError
from actorflow.operators.compiled.codegen import FUSABLE, FusedOperator
from actorflow.operators.compiled.fused import FusedStage
from actorflow.operators.contract import Chain, OutputPort, SubtaskContext
from actorflow.operators.place import Place
from actorflow.operators.specs import KeyedSpec
from actorflow.operators.stage import Kept, Stage
from actorflow.plan.graph import LogicalOperator
from actorflow.state.backend import KeyedBackend
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Batch


def compile_chain(operators: Sequence[LogicalOperator], ports: Sequence[OutputPort], context: SubtaskContext) -> Chain:
    """Return the chain that runs these operators.

    Args:
        operators: transforms only, first to last; a source's reader or a sink's writer stands outside the chain. May be empty.
        ports: where records leave, at any position; several at one position each get all of its records.
        context: the subtask.

    Raises:
        PlanError: if an operator is not a transform that can run here, or a port is at a position that does not exist.
    """
    for port in ports:
        if not -1 <= port.position < len(operators):
            raise PlanError(f"an output leaves position {port.position} of a chain of {len(operators)} operators")
    builder = _Builder(operators, ports, context)
    try:
        return CompiledChain(builder.stages(), context, builder.backends, builder.head())
    except BaseException:
        for backend in builder.backends:
            backend.close()
        raise


class _Builder:
    """Makes the stages, from the last to the first, because each is given the one behind it.

    Attributes:
        backends: all that were made.
    """

    def __init__(self, operators: Sequence[LogicalOperator], ports: Sequence[OutputPort], context: SubtaskContext) -> None:
        self._operators = operators
        self._ports = ports
        self._context = context
        self._subtask = str(context.subtask)
        self.backends: list[KeyedBackend] = []
        self._aggregations = {
            position: self._backend(position) for position, operator in enumerate(operators) if isinstance(operator.spec, KeyedSpec)
        }

    def stages(self) -> list[Stage]:
        """Return all stages of the main path, first to last."""
        stages: list[Stage] = []
        stop = len(self._operators)
        while True:
            start = stop
            while self._fusable(start - 1) and not (start < stop and self._loads(start)):
                start -= 1
            stages.insert(0, self._fused(start, stop, stages[0] if stages else None))
            if start == 0:
                return stages
            stop = start
            if self._fusable(start - 1):
                continue
            stop = start - 1
            stages.insert(0, self._single(stop, stages))
            if len(self._operators[stop].spec.ports) > 1:
                assert stop == 0, "an operator with several inputs is not chained to a producer"
                return stages

    def head(self) -> int | None:
        """Return the position of the first operator's stage, if that operator has one to itself."""
        if not self._operators or self._fusable(0):
            return None
        return 1 if len(self._operators[0].spec.ports) == 1 else 0

    def _backend(self, position: int) -> KeyedBackend:
        """Return a new backend for an operator."""
        made = self._context.keyed_backend(self._operators[position].name)
        self.backends.append(made)
        return made

    def _fusable(self, position: int) -> bool:
        """Return whether an operator can stand in a loop with others: in batch mode, aggregations wait for the end of their keys."""
        if position < 0:
            return False
        return isinstance(self._operators[position].spec, FUSABLE) and not (self._context.batch and position in self._aggregations)

    def _loads(self, position: int) -> bool:
        """Return whether an operator's values must be loaded before its loop: the loop begins with it, so that the keys are known."""
        return position in self._aggregations and not self._aggregations[position].resident

    def _fused(self, start: int, stop: int, following: Stage | None) -> FusedStage:
        fused = [
            FusedOperator(self._operators[position].name, self._operators[position].spec, self._aggregations.get(position))
            for position in range(start, stop)
        ]
        ports = [self._leaving(position, None) for position in range(start - 1, stop)]
        if self._fusable(start - 1):
            ports[0] = []  # the fused stage before this one spreads what it makes itself
        alone = self._context.parallelism == 1
        return FusedStage(fused, ports, following, subtask=self._subtask, origin=self._name(start - 1), alone=alone)

    def _single(self, position: int, behind: Sequence[Stage]) -> Stage:
        from actorflow.operators.lone_stages import lone_stage  # brings windows, timers and more, which many chains do without

        place = Place(
            name=self._operators[position].name,
            backend=lambda: self._aggregations.get(position) or self._backend(position),
            following=behind[0],
            sides=self._sides(position),
            context=self._context,
            held=_held_by(behind),
        )
        return lone_stage(self._operators[position].spec, place)

    def _sides(self, position: int) -> dict[str, FusedStage]:
        tags = dict.fromkeys(port.tag for port in self._ports if port.position == position and port.tag is not None)
        origin = self._name(position)
        return {tag: FusedStage([], [self._leaving(position, tag)], None, subtask=self._subtask, origin=origin) for tag in tags}

    def _leaving(self, position: int, tag: str | None) -> list[OutputPort]:
        return [port for port in self._ports if port.position == position and port.tag == tag]

    def _name(self, position: int) -> str:
        return self._operators[position].name if position >= 0 else "input"


def _held_by(behind: Sequence[Stage]) -> Callable[[], bool]:
    """Return what tells whether any of these stages can take nothing now."""
    behind = tuple(behind)  # the builder goes on and puts others before them
    return lambda: any(stage.blocked for stage in behind)


class CompiledChain:
    """Stages in a row. See `operators.contract.Chain`."""

    def __init__(
        self, stages: Sequence[Stage], context: SubtaskContext, backends: Iterable[KeyedBackend], head: int | None
    ) -> None:
        self._stages = tuple(stages)
        self._head = head
        self._backends = tuple(backends)
        self._context = context
        self._receivers = {name: receiver for stage in stages for name, receiver in stage.receivers().items()}
        self._lookups = {name: lookup for stage in stages for name, lookup in stage.lookups().items()}
        self._inputs = tuple(stages[0].inputs())
        self._holding = [False] * len(stages)
        self._near_source = tuple(itertools.takewhile(lambda stage: stage.immediate, self._stages))
        self._own_time = any(stage.makes_watermarks for stage in stages)
        for position, stage in enumerate(self._stages):
            stage.wire(self._announcer(position + 1))

    def _announcer(self, behind: int) -> Callable[[int], None]:
        """Return how a stage tells those from position `behind` on of a watermark that it made."""
        return lambda timestamp: self._context.forward_watermark(self._advance(behind, timestamp))

    def _advance(self, start: int, timestamp: int) -> int:
        """Tell the stages from position `start` on, and note which of them hold the watermark back.

        In batch mode event time stands still until the input ends.
        """
        if self._context.batch and timestamp < MAX_TIMESTAMP:
            return MIN_TIMESTAMP
        for position in range(start, len(self._stages)):
            stage = self._stages[position]
            behind = stage.advance_watermark(timestamp)
            self._holding[position] = behind < timestamp and not stage.makes_watermarks
            timestamp = behind
        return timestamp

    @property
    def blocked(self) -> bool:
        """True while an operator is at capacity, or busy with a watermark."""
        return any(stage.blocked for stage in self._stages)

    @property
    def takes_frames(self) -> bool:
        """True if the first operator computes with polars."""
        return self._stages[0].takes_frames

    @property
    def own_time(self) -> bool:
        """True if an operator gives records their event times here."""
        return self._own_time

    @property
    def held_back(self) -> bool:
        """True while an operator has not let the latest watermark through."""
        return any(self._holding)

    @property
    def in_flight(self) -> bool:
        """True while something that it has taken has still to come out."""
        return self.held_back or not self.finish()

    def open(self) -> None:
        """Start the operators, last one first."""
        for stage in reversed(self._stages):
            stage.open()

    def process(self, batch: Batch, port: int = 0) -> None:
        """Take one batch through the chain and into the outputs."""
        if len(batch):
            self._inputs[port](batch)

    def advance_watermark(self, timestamp: int) -> int:
        """Tell the operators of the watermark, first one first. After a wake, call it again with the latest one: more may be free."""
        busy = [stage for stage in self._stages if stage.blocked]
        behind = self._advance(0, timestamp)
        if not all(stage.blocked for stage in busy):
            self._context.wake()  # a stage before it may have waited for it
        return behind

    def reading(self, split: int) -> None:
        """Tell the stages that know which split a batch is of."""
        for stage in self._near_source:
            stage.reading(split)

    def split_ended(self, split: int) -> None:
        """Tell the stages that know which split a batch is of."""
        for stage in self._near_source:
            stage.split_ended(split)

    def nothing_from(self, split: int | None) -> int | None:
        """Tell the stages; return what the most impatient of them wants."""
        stages = self._stages if split is None else self._near_source
        return min((within for stage in stages if (within := stage.nothing_from(split)) is not None), default=None)

    def may_read(self, split: int) -> bool:
        """Return whether all stages agree."""
        return all(stage.may_read(split) for stage in self._near_source)

    def allow(self, operator: str, number: int, watermark: int, lead_ms: int | None) -> None:
        """Tell the stage."""
        for stage in self._near_source:
            stage.allow(operator, number, watermark, lead_ms)

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return the keyed backends by operator name."""
        return {name: backend for stage in self._stages for name, backend in stage.backends().items()}

    def complete(self) -> None:
        """Finish what a snapshot cannot cut in two, first one first: what it gives may be more of that for those behind."""
        for stage in self._stages:
            stage.complete()

    def snapshot(self) -> Mapping[str, Kept]:
        """Return what operators keep besides keyed states, by name."""
        return {name: kept for stage in self._stages for name, kept in stage.snapshot().items()}

    def restore(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        """Give every operator its share of what those of an earlier run kept."""
        for stage in self._stages:
            stage.restore(kept)

    def message(self, operator: str, message: object, reply: Callable[[object], None]) -> None:
        """Hand a message to an operator.

        Raises:
            PlanError: if there is no operator of this name that takes messages.
        """
        receiver = self._receivers.get(operator)
        if receiver is None:
            takers = ", ".join(sorted(self._receivers)) or "none"
            raise PlanError(f"no operator '{operator}' takes messages in {self._context.subtask}", hint=f"those that do: {takers}")
        receiver(message, reply)

    def finish_keys(self) -> bool:
        """Let the first operator, whose input is sorted, be done with the keys it has had. For those behind it, nothing has ended."""
        return self._head is None or self._stages[self._head].finish_keys()

    def finish(self) -> bool:
        """Return whether nothing is in flight any more."""
        return all(stage.finish() for stage in self._stages)

    def close(self) -> None:
        """Stop the operators, first one first; all of them, even if one fails to. Then free their state.

        Raises:
            UserFunctionError: the first failure of an `on_stop`.
        """
        failure: BaseException | None = None
        parts: list[Stage | KeyedBackend] = [*self._stages, *self._backends]
        for part in parts:
            try:
                part.close()
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def observe(self) -> Mapping[str, object]:
        """Return facts by operator name."""
        return {name: facts for stage in self._stages for name, facts in stage.observe().items()}

    def state(self, operator: str, key: object) -> Mapping[str, object]:
        """Return the values of an operator's keyed states for one key; empty if there are none."""
        lookup = self._lookups.get(operator)
        return lookup(key) if lookup is not None else {}
