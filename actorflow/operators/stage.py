"""The parts of a chain: each takes batches and gives them to the next.

FusedStage → ProcessStage → FusedStage → outputs
                  │ side output
                  └──────────► FusedStage → outputs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from actorflow.state.backend import KeyedBackend
from actorflow.state.operator_state import OperatorSnapshot
from actorflow.wire.batch import Batch

Lookup = Callable[[Any], Mapping[str, object]]
"""From a key to the values of its states, by state name."""

Receiver = Callable[[object, Callable[[object], None]], None]
"""Takes a message, and the function that replies to it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one operator of one subtask keeps from batch to batch, besides its keyed states. A checkpoint holds it; later changes do not show.

    Attributes:
        states: its operator states.
        in_flight: records that it has taken and nobody behind it has seen anything of, oldest first, each with its event time or None.
        under_way: whether it had not done yet all that its latest watermark brings about.
        put_aside: how many records it has put aside, by their digests.
    """

    states: OperatorSnapshot = field(default_factory=lambda: OperatorSnapshot({}, {}, {}))
    in_flight: Sequence[tuple[Any, int | None]] = ()
    under_way: bool = False
    put_aside: Mapping[str, int] = field(default_factory=dict)


class Consumer(Protocol):
    """What a stage gives its batches to."""

    def process(self, batch: Batch) -> None:
        """Take over a batch."""
        ...


class Stage:
    """A part of a chain. The defaults are those of a stage that holds nothing back between batches.

    Attributes:
        blocked: whether it can take no batch now.
        takes_frames: whether it computes with polars on what it is given in columns, so that frames need no conversion.
        immediate: whether all that it gives on follows from the batch that it is being given, and nothing comes later.
        makes_watermarks: whether the watermarks behind it are its own, whatever it is told.
    """

    blocked: bool = False
    takes_frames: bool = False
    immediate: ClassVar[bool] = False
    makes_watermarks: ClassVar[bool] = False

    def wire(self, announce: Callable[[int], None]) -> None:
        """Take what a stage that makes or delays watermarks needs: `announce(timestamp)` tells the stages behind it and the subtask's consumers.

        Called once, before `open`. A watermark so announced comes behind all that the stage has given on.
        """

    def open(self) -> None:
        """Get ready."""

    def process(self, batch: Batch) -> None:
        """Take one batch."""
        raise NotImplementedError

    def inputs(self) -> Sequence[Callable[[Batch], None]]:
        """Return what takes the batches of each input port. A stage with several stands first in its chain."""
        return (self.process,)

    def advance_watermark(self, timestamp: int) -> int:
        """Take a watermark (ms), or the latest one again; return the one that now holds behind this stage.

        A stage with much to do for it (a million timers) does a part, is `blocked`, returns the watermark before, and asks for the next
        call by `SubtaskContext.wake`. So messages are answered in between, and the watermark still comes behind what it brought about.
        """
        return timestamp

    def reading(self, split: int) -> None:
        """Note that the batches that follow are of this split, read by the source at the head of the chain. See `Chain.reading`."""

    def split_ended(self, split: int) -> None:
        """Note that no batch of this split follows."""

    def nothing_from(self, split: int | None) -> int | None:  # noqa: ARG002 - for stages that care
        """Note that there was nothing to read; return after how many ms to hear of it again. See `Chain.nothing_from`."""
        return None

    def may_read(self, split: int) -> bool:  # noqa: ARG002 - for stages that care
        """Return whether a split may be read now. See `Chain.may_read`."""
        return True

    def allow(self, operator: str, number: int, watermark: int, lead_ms: int | None) -> None:
        """Take the answer to a report. See `Chain.allow`."""

    def receivers(self) -> Mapping[str, Receiver]:
        """Return, by operator name, what takes messages."""
        return {}

    def finish_keys(self) -> bool:
        """In batch mode: be done with the keys of the batches since the last call, of which no record will follow.

        Whatever waits for their end happens now (timers and windows fire, final results are given on), and their state is dropped.

        Returns:
            True once that is done. A stage with much to do (a million timers) does a part, returns False, and is called again in a later
            turn, before any other batch.
        """
        return True

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return, by operator name, where keyed states and timers live. They are taken and restored by the backends themselves."""
        return {}

    def complete(self) -> None:
        """Finish what a snapshot cannot cut in two, and give it on. Called between two batches, also while a watermark is under way."""

    def snapshot(self) -> Mapping[str, Kept]:
        """Return, by operator name, what else has to outlast this subtask. Called between two batches, also while a watermark is under way."""
        return {}

    def restore(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        """Take this subtask's share of what the subtasks of an earlier run kept, in their order. Called before `open`, if at all."""

    def finish(self) -> bool:
        """Return whether nothing is in flight any more."""
        return True

    def close(self) -> None:
        """Free what it holds."""

    def observe(self) -> dict[str, dict[str, object]]:
        """Return facts by operator name."""
        return {}

    def lookups(self) -> Mapping[str, Lookup]:
        """Return, by operator name, how to read the keyed states of one key."""
        return {}
