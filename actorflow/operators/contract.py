"""What the runtime gives a chain of operators, and what it asks of it.

A subtask runs one *chain*: the transforms between its input gate (or its source reader) and its outputs (or its sink writer).
`operators.chain.compile_chain` turns the operators of a vertex into a `Chain`. The runtime calls it on one thread, once a batch:

    (restore →) open → (process | advance_watermark | message)* → finish (until True) → close

In batch mode the first operator of a chain may be keyed; then its input comes sorted by key, and `finish_keys` (until True) is called
wherever the records of all keys so far are complete.

A chain never blocks. What it cannot take now it says by `blocked`, and the runtime gives it nothing until it calls
`SubtaskContext.wake`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actorflow.config import Config
from actorflow.ids import Address, SubtaskId
from actorflow.protocol.jobs.quarantine import Quarantined
from actorflow.state.backend import KeyedBackend
from actorflow.wire.batch import Batch

if TYPE_CHECKING:
    import asyncio

    from actorflow.operators.stage import Kept


class Output(Protocol):
    """Where a chain's records go: an exchange, or a sink's writer."""

    def emit(self, batch: Batch) -> None:
        """Take over a batch (the caller does not touch it again). Never blocks; an exhausted output is noticed between batches."""
        ...


@dataclass(frozen=True, slots=True)
class OutputPort:
    """One output of a chain.

    Attributes:
        position: index of the operator in the chain whose output it is; -1 is the chain's own input.
        tag: the side output, or None for the main output.
        output: takes the batches.
    """

    position: int
    tag: str | None
    output: Output


class Alarm(Protocol):
    """A call that waits for its time."""

    def cancel(self) -> None:
        """Forget it; nothing happens if it was made already."""
        ...


class SubtaskContext(Protocol):
    """The subtask, as its operators see it.

    Attributes:
        job_name: name of the pipeline.
        subtask: vertex and index.
        parallelism: number of subtasks of the vertex.
        max_parallelism: number of key groups.
        attempt: 1 for the first deployment, one more after each restart.
        log: a logger named after the subtask.
        config: the job's options.
        batch: whether the job runs in batch mode: final results only, and event time stands still until the input ends.
        quarantined: records that operators are to put aside, because they have failed again and again.
    """

    job_name: str
    subtask: SubtaskId
    parallelism: int
    max_parallelism: int
    attempt: int
    log: logging.Logger
    config: Config
    batch: bool
    quarantined: Sequence[Quarantined]

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the subtask's thread between two batches. May be called from any thread."""
        ...

    def wake(self) -> None:
        """Make the runtime look again at `blocked` and `finish`. May be called from any thread."""
        ...

    def processing_time(self) -> int:
        """Return the wall clock, in ms since the Unix epoch, UTC. Tests run on a clock of their own."""
        ...

    def held_up_ms(self) -> int:
        """Return for how long, in ms, the subtask has taken no input because its outputs or its operators could take no more."""
        ...

    def call_at(self, timestamp: int, callback: Callable[[], None]) -> Alarm:
        """Run `callback` on the subtask's thread once processing time has reached `timestamp` (ms), between two batches.

        Like a batch it waits while the chain is blocked or its outputs are exhausted. What is pending when the input ends is
        dropped: an operator that wants it does it in `finish`.
        """
        ...

    def forward_watermark(self, timestamp: int) -> None:
        """Pass a watermark (ms) that was made inside the chain on to the subtask's consumers, behind all that was emitted so far."""
        ...

    def forward_idleness(self, *, idle: bool) -> None:
        """Tell the subtask's consumers that it holds back no watermark for now, or that it counts again."""
        ...

    def report_watermark(self, operator: str, *, number: int, watermark: int, idle: bool, max_drift_ms: int) -> None:
        """Tell the JobMaster how far this subtask is in event time, which calls `Chain.allow` in answer (see `protocol.event_time.alignment`).

        Args:
            operator: name of the operator that makes the watermarks.
            number: 1 for the first report, and one more for each next.
            watermark: in ms; `MIN_TIMESTAMP` if there is none.
            idle: whether nobody needs to wait for it now.
            max_drift_ms: how far ahead of the slowest it may be.
        """
        ...

    def keyed_backend(self, operator: str) -> KeyedBackend:
        """Return a new backend for the keyed states of one operator of this subtask, of the kind that the job is configured with."""
        ...

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the asyncio loop of this worker (it runs on a thread of its own, started on first use)."""
        ...

    def tell(self, to: Address | str, message: object) -> None:
        """Send a message to any actor: an address, or a path on this node."""
        ...

    def cached_file(self, name: str) -> str:
        """Return the local path of a distributed-cache file.

        Raises:
            KeyError: if the pipeline registered no file of this name.
        """
        ...


class Chain(Protocol):
    """A compiled chain of operators. See the module's text for the order of calls."""

    @property
    def blocked(self) -> bool:
        """True while the chain can take no batch (an async operator at capacity)."""
        ...

    @property
    def takes_frames(self) -> bool:
        """True if what it does first with columns is to compute with polars, so that polars frames are what suits it best."""
        ...

    def open(self) -> None:
        """Call `on_start` of the operators, last one first, so that each finds its consumer ready."""
        ...

    def process(self, batch: Batch, port: int = 0) -> None:
        """Take one batch through the chain and into the outputs.

        Raises:
            UserFunctionError: if a user function raised; it names operator, record and key, and chains the original.
        """
        ...

    @property
    def own_time(self) -> bool:
        """True if watermarks are made inside: those that come in, and idleness, end there. Only the last one, at the end of input, passes."""
        ...

    @property
    def held_back(self) -> bool:
        """True while an operator has not let the latest watermark through: `advance_watermark` is to be called again after other work."""
        ...

    @property
    def in_flight(self) -> bool:
        """True while something that it has taken has still to come out: the result of an asynchronous call, what a watermark brings about."""
        ...

    def advance_watermark(self, timestamp: int) -> int:
        """Tell the operators that event time has reached `timestamp` (ms); return the watermark to forward."""
        ...

    def reading(self, split: int) -> None:
        """Note that the batches that follow, until the next such call, are of this split of the source at the head of the chain."""
        ...

    def split_ended(self, split: int) -> None:
        """Note that no batch of this split follows."""
        ...

    def nothing_from(self, split: int | None) -> int | None:
        """Note that the reader of a split was asked and had nothing, or (None) that the subtask as a whole has no input now.

        Returns:
            after how many ms it should be asked again at the latest; None if that does not matter.
        """
        ...

    def may_read(self, split: int) -> bool:
        """Return whether a split may be read now; if not, it may after the next `allow`."""
        ...

    def allow(self, operator: str, number: int, watermark: int, lead_ms: int | None) -> None:
        """Take the answer to `SubtaskContext.report_watermark`.

        Args:
            operator: for whom.
            number: counts the answers; an older one than the last is void.
            watermark: splits up to here may be read, in ms.
            lead_ms: how far the subtask is ahead of the slowest that it is aligned with; None if that is not known.
        """
        ...

    def message(self, operator: str, message: object, reply: Callable[[object], None]) -> None:
        """Hand a message of another actor to `on_message` of the operator with this name."""
        ...

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return, by operator name, where keyed states and timers live: a checkpoint has each take its own snapshot, by key group."""
        ...

    def complete(self) -> None:
        """Finish what a snapshot cannot cut in two, such as the results of a window. Called before a barrier is passed on."""
        ...

    def snapshot(self) -> Mapping[str, Kept]:
        """Return, by operator name, what else a checkpoint has to hold: operator states and records in flight. Called between two batches."""
        ...

    def restore(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        """Take this subtask's share of what the subtasks of an earlier run kept, by operator name, in their order.

        Called before `open`, if at all; the keyed backends are restored then, too. Whatever was in flight starts again when the chain opens.
        """
        ...

    def finish_keys(self) -> bool:
        """Say that no record will follow of the keys of the batches since the last call. Called turn after turn until it returns True."""
        ...

    def finish(self) -> bool:
        """Say that no batch will follow. Returns True once nothing is in flight any more; until then it is called again after `wake`."""
        ...

    def close(self) -> None:
        """Call `on_stop` of the operators, first one first. Called once, also after a failure."""
        ...

    def observe(self) -> Mapping[str, object]:
        """Return facts by operator name: records in and out, keys in state, requests in flight."""
        ...

    def state(self, operator: str, key: object) -> Mapping[str, object]:
        """Return the values of an operator's keyed states for one key, by state name."""
        ...
