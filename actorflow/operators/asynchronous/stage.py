"""Runs a coroutine function of the user for many records at the same time, on the worker's event loop.

    process ──► waiting ──capacity──► tasks on the loop's thread ──► done ──post──► results in order ──► next stage

A batch is taken whole; while more of it waits than the capacity allows, the stage is blocked. Results come back through
`SubtaskContext.post`, many at a time. A watermark stays behind the calls before it, and before the results of those after it: it is announced
between them. While a stage behind can take nothing (it is busy with a watermark), results wait here.

Calls whose results have not left belong to the snapshot: a subtask that takes over makes them again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from actorflow.operators.asynchronous.results import Call, OrderedResults, Results, UnorderedResults
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.contract import SubtaskContext
from actorflow.operators.failures import user_failure
from actorflow.operators.specs import MapAsyncSpec
from actorflow.operators.stage import Consumer, Kept, Stage
from actorflow.wire.batch import MIN_TIMESTAMP, Batch, ColumnBatch, ObjectBatch


class MapAsyncStage(Stage):
    """One `map_async`.

    Args:
        name: the operator's name.
        spec: function, order, capacity, time-out, retry.
        following: gets the results.
        context: the subtask, with its event loop.
        held: whether a stage behind it can take nothing now.
    """

    def __init__(
        self,
        name: str,
        spec: MapAsyncSpec,
        following: Consumer,
        context: SubtaskContext,
        held: Callable[[], bool] = bool,
    ) -> None:
        self._name = name
        self._spec = spec
        self._following = following
        self._context = context
        self._held = held
        self._announce: Callable[[int], None] = context.forward_watermark
        self._results: Results = OrderedResults() if spec.ordered else UnorderedResults()
        self._waiting: deque[Call] = deque()
        self._in_flight = 0
        self._marked = MIN_TIMESTAMP
        self._released = MIN_TIMESTAMP
        self._delayed = False
        self._restored: Sequence[tuple[Any, int | None]] = ()
        self._ended = False
        self._done: deque[Call] = deque()  # filled on the loop's thread, emptied on the subtask's
        self._announced = False
        self._tasks: set[asyncio.Task[None]] = set()  # used on the loop's thread only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._records_in = 0
        self._records_out = 0

    @property
    def blocked(self) -> bool:  # type: ignore[override]  # computed here, a constant for stages that never wait
        """Whether the capacity is used up, or results wait for a stage behind."""
        return self._delayed or bool(self._waiting) or self._in_flight >= self._spec.capacity

    def wire(self, announce: Callable[[int], None]) -> None:
        """Take the way on which watermarks go that have waited for results."""
        self._announce = announce

    def open(self) -> None:
        """Make the calls again that were in flight when the snapshot was taken."""
        self._start(self._restored)
        self._restored = ()

    def process(self, batch: Batch) -> None:
        """Start a call for each record, or have it wait for its turn."""
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        self._records_in += len(batch)
        stamps: Iterable[int | None] = itertools.repeat(None) if batch.timestamps is None else batch.timestamps
        self._start(zip(batch.records, stamps, strict=False))

    def _start(self, records: Iterable[tuple[Any, int | None]]) -> None:
        for record, timestamp in records:
            call = Call(record, timestamp)
            self._results.add(call)
            self._waiting.append(call)
        self._start_waiting()

    def _start_waiting(self) -> None:
        free = self._spec.capacity - self._in_flight
        calls = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        if not calls:
            return
        self._in_flight += len(calls)
        if self._loop is None:
            self._loop = self._context.event_loop()
        self._loop.call_soon_threadsafe(self._launch, calls)

    # --- on the loop's thread ---------------------------------------------------------------------------------------------

    def _launch(self, calls: list[Call]) -> None:
        for call in calls:
            task = asyncio.get_running_loop().create_task(self._run(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Call) -> None:
        """Make one call, and hand over what came of it. Whatever the user raises ends the operator, never the loop."""
        limit = asyncio.timeout(self._spec.timeout_ms / 1000)
        try:
            async with limit:
                call.result = await self._attempts(call.record)
        except BaseException as error:
            if self._ended:
                return
            late = limit.expired()
            call.error = TimeoutError(f"no result within {self._spec.timeout_ms:g} ms") if late else error
        self._done.append(call)
        if not self._announced:
            self._announced = True
            self._context.post(self._collect)

    async def _attempts(self, record: Any) -> Any:
        spec, retry = self._spec, self._spec.retry
        for attempt in itertools.count(1):
            last = retry is None or attempt >= retry.attempts_max
            try:
                result = await spec.fn(record)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if last or retry is None or not retry.wants_retry_after(error):
                    raise
            else:
                if last or retry is None or not retry.wants_better_than(result):
                    return result
            await asyncio.sleep(retry.delay_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    # --- on the subtask's thread ------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take what has come back, pass on what can leave, and start what waits.

        Raises:
            UserFunctionError: if a call failed for good, or its time was up.
        """
        self._announced = False
        while self._done and not self._ended:
            call = self._done.popleft()
            call.finished = True
            self._in_flight -= 1
            if call.error is not None:
                self._fail(call, call.error)
            self._results.settled(call)
        if self._ended:
            return
        self._start_waiting()
        self._release()
        self._context.wake()

    def _fail(self, call: Call, error: BaseException) -> None:
        self._end()
        timed_out = isinstance(error, TimeoutError) and error.__traceback__ is None
        raise user_failure(
            error,
            operator=self._name,
            subtask=str(self._context.subtask),
            function=self._spec.fn,
            record=call.record,
            hint="raise timeout, lower capacity, or handle slow answers in the function" if timed_out else "",
        ) from error

    def _release(self) -> None:
        """Pass on what can leave, and the watermarks between."""
        watermark: int | None = self._released
        while watermark is not None:
            self._delayed = self._held()
            if self._delayed:
                return
            ready, watermark = self._results.take()
            self._pass_on(ready)
            if watermark is not None:
                self._released = watermark
                self._announce(watermark)

    def _pass_on(self, ready: Iterable[Call]) -> None:
        for timed, calls in itertools.groupby(ready, lambda call: call.timestamp is not None):
            batch = list(calls)
            self._records_out += len(batch)
            stamps = [call.timestamp for call in batch if call.timestamp is not None]
            self._following.process(ObjectBatch([call.result for call in batch], stamps if timed else None))

    def advance_watermark(self, timestamp: int) -> int:
        """Keep a new watermark behind the calls in flight; return the last one that is past them."""
        if timestamp > self._marked:
            self._marked = timestamp
            self._results.mark(timestamp)
            self._release()
        elif self._delayed:
            self._release()
        return self._released

    def snapshot(self) -> Mapping[str, Kept]:
        """Return the records whose results have not left."""
        return {self._name: Kept(in_flight=[(call.record, call.timestamp) for call in self._results])}

    def restore(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        """Take this subtask's share of the records whose calls are to be made again."""
        shared = [pair for of_subtask in kept.get(self._name, ()) for pair in of_subtask.in_flight]
        index, parallelism = self._context.subtask.index, self._context.parallelism
        self._restored = shared[len(shared) * index // parallelism : len(shared) * (index + 1) // parallelism]

    def finish(self) -> bool:
        """Return whether all results have left."""
        return not len(self._results)

    def close(self) -> None:
        """Cancel what is in flight."""
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel)

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, calls in flight, and records that wait for one."""
        return {
            self._name: {
                "records_in": self._records_in,
                "records_out": self._records_out,
                "in_flight": self._in_flight,
                "waiting": len(self._waiting),
            }
        }
