"""Asynchronous maps: order, capacity, time-out, retries, watermarks, and the end."""

import asyncio
import threading

import pytest
from chain_harness import DEADLINE_S, Subtask, chain_of

from actorflow.errors import UserFunctionError
from actorflow.operators.asynchronous.retry import RetryPolicy
from actorflow.operators.specs import CountSpec, MapAsyncSpec, MapSpec
from actorflow.wire.batch import MIN_TIMESTAMP, ObjectBatch


class Gates:
    """Coroutines that wait until the test lets their record through."""

    def __init__(self, loop):
        self.loop = loop
        self.running = []
        self.running_max = 0
        self.opened = {}
        self.changed = threading.Condition()

    def _gate(self, record):
        return self.opened.setdefault(record, asyncio.Event())

    async def __call__(self, record):
        with self.changed:
            self.running.append(record)
            self.running_max = max(self.running_max, len(self.running))
            self.changed.notify_all()
        await self._gate(record).wait()
        with self.changed:
            self.running.remove(record)
            self.changed.notify_all()
        return record * 10

    def open(self, *records):
        for record in records:
            self.loop.call_soon_threadsafe(lambda record=record: self._gate(record).set())

    def wait_running(self, records):
        with self.changed:
            assert self.changed.wait_for(lambda: sorted(self.running) == sorted(records), DEADLINE_S)


@pytest.fixture
def context():
    subtask = Subtask()
    yield subtask
    subtask.stop()


def started(context, *, after=(), **options):
    gates = Gates(context.event_loop())
    chain, output = chain_of(MapAsyncSpec(gates, **options), *after, context=context)
    chain.open()
    return chain, output, gates


async def tenfold(record):
    return record * 10


def test_ordered_results_keep_the_order_and_the_event_times_of_their_records(context):
    chain, output, gates = started(context)
    chain.process(ObjectBatch([1, 2, 3], [7, 8, 9]))
    gates.open(3, 2)
    gates.wait_running([1])
    gates.open(1)
    assert not chain.finish()
    context.run_posted_until(chain.finish)
    assert [(10, 7), (20, 8), (30, 9)] == output.stamped
    assert 1 <= context.wakes
    chain.close()


def test_unordered_results_leave_as_they_come(context):
    chain, output, gates = started(context, ordered=False)
    chain.process(ObjectBatch([1, 2]))
    gates.open(2)
    context.run_posted_until(lambda: output.records)
    assert [20] == output.records
    gates.open(1)
    context.run_posted_until(chain.finish)
    assert [20, 10] == output.records
    chain.close()


def test_results_go_on_through_the_rest_of_the_chain(context):
    chain, output = chain_of(MapSpec(abs), MapAsyncSpec(tenfold), CountSpec(lambda n: n), context=context)
    chain.process(ObjectBatch([1, -1, 2]))
    context.run_posted_until(chain.finish)
    assert [(10, 1), (10, 2), (20, 1)] == output.records
    chain.close()


def test_no_more_than_the_capacity_is_in_flight_and_the_chain_is_blocked_meanwhile(context):
    chain, output, gates = started(context, capacity=2)
    assert not chain.blocked
    chain.process(ObjectBatch([1, 2, 3, 4]))
    assert chain.blocked
    gates.wait_running([1, 2])
    assert {"records_in": 4, "records_out": 0, "in_flight": 2, "waiting": 2} == chain.observe()["map_async-0"]
    gates.open(1)
    context.run_posted_until(lambda: len(output.records) == 1)
    gates.wait_running([2, 3])
    assert chain.blocked
    gates.open(2, 3, 4)
    context.run_posted_until(chain.finish)
    assert not chain.blocked
    assert ([10, 20, 30, 40], 2) == (output.records, gates.running_max)
    chain.close()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_watermark_waits_for_the_calls_before_it(context, ordered):
    chain, output, gates = started(context, ordered=ordered)
    assert 4 == chain.advance_watermark(4)
    chain.process(ObjectBatch([1], [5]))
    assert 4 == chain.advance_watermark(5)
    chain.process(ObjectBatch([2], [6]))
    assert 4 == chain.advance_watermark(5)
    gates.open(2)
    gates.wait_running([1])
    assert [] == output.records
    gates.open(1)
    context.run_posted_until(chain.finish)
    assert [10, 20] == output.records
    assert 5 == chain.advance_watermark(5)
    assert 9 == chain.advance_watermark(9)
    chain.close()


def test_a_watermark_before_any_record_is_free_at_once_and_none_is_made_up(context):
    chain, _, gates = started(context)
    chain.process(ObjectBatch([1]))
    assert MIN_TIMESTAMP == chain.advance_watermark(3)
    gates.open(1)
    context.run_posted_until(chain.finish)
    assert 3 == chain.advance_watermark(3)
    chain.close()


def test_a_call_that_takes_too_long_fails_the_job_and_names_the_record(context):
    chain, _, _ = started(context, timeout_ms=1)
    chain.process(ObjectBatch(["slow"]))
    with pytest.raises(UserFunctionError, match="no result within 1 ms") as caught:
        context.run_posted_until(lambda: False)
    error = caught.value.error
    assert ("TimeoutError", "map_async-0", "'slow'") == (error.kind, error.context["operator"], error.context["record"])
    assert "raise timeout" in error.hint
    chain.close()


def test_the_time_out_covers_all_attempts(context):
    async def fail(record):
        raise ConnectionError("down")

    retry = RetryPolicy.fixed(attempts_max=1000, delay_ms=60_000)
    chain, _ = chain_of(MapAsyncSpec(fail, timeout_ms=5, retry=retry), context=context)
    chain.process(ObjectBatch([1]))
    with pytest.raises(UserFunctionError, match="TimeoutError"):
        context.run_posted_until(lambda: False)
    chain.close()


def test_a_failure_shows_the_users_line(context):
    async def fail(record):
        raise ValueError(f"no {record}")

    chain, _ = chain_of(MapAsyncSpec(fail), context=context)
    chain.process(ObjectBatch(["x"]))
    with pytest.raises(UserFunctionError) as caught:
        context.run_posted_until(lambda: False)
    error = caught.value.error
    assert ("ValueError", "no x", "'x'") == (error.kind, error.message, error.context["record"])
    assert 'raise ValueError(f"no {record}")' in error.traceback
    assert "asynchronous.py" not in error.traceback
    chain.close()


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt])
def test_leaving_the_process_is_a_failure_and_the_loop_goes_on(context, ending):
    async def leave(record):
        raise ending

    chain, _ = chain_of(MapAsyncSpec(leave), context=context)
    chain.process(ObjectBatch([1]))
    with pytest.raises(UserFunctionError) as caught:
        context.run_posted_until(lambda: False)
    assert ending.__name__ == caught.value.error.kind
    assert 20 == asyncio.run_coroutine_threadsafe(tenfold(2), context.event_loop()).result(DEADLINE_S)
    chain.close()


def test_a_call_is_repeated_as_the_policy_says(context):
    attempts = []

    async def flaky(record):
        attempts.append(record)
        if len(attempts) < 3:
            raise ConnectionError("down")
        return None if len(attempts) < 4 else len(attempts)

    retry = RetryPolicy.fixed(attempts_max=5, delay_ms=0, retry_on=ConnectionError, retry_if=lambda result: result is None)
    chain, output = chain_of(MapAsyncSpec(flaky, retry=retry), context=context)
    chain.process(ObjectBatch(["x"]))
    context.run_posted_until(chain.finish)
    assert ([4], ["x"] * 4) == (output.records, attempts)
    chain.close()


def test_the_last_attempt_counts_whatever_it_gives(context):
    attempts = []

    async def never(record):
        attempts.append(record)

    retry = RetryPolicy.fixed(attempts_max=2, delay_ms=0, retry_if=lambda result: result is None)
    chain, output = chain_of(MapAsyncSpec(never, retry=retry), context=context)
    chain.process(ObjectBatch(["x"]))
    context.run_posted_until(chain.finish)
    assert ([None], 2) == (output.records, len(attempts))
    chain.close()


def test_an_error_that_the_policy_does_not_name_fails_at_once(context):
    attempts = []

    async def fail(record):
        attempts.append(record)
        raise ValueError("no")

    chain, _ = chain_of(MapAsyncSpec(fail, retry=RetryPolicy.fixed(delay_ms=0, retry_on=ConnectionError)), context=context)
    chain.process(ObjectBatch(["x"]))
    with pytest.raises(UserFunctionError, match="ValueError"):
        context.run_posted_until(lambda: False)
    assert ["x"] == attempts
    chain.close()


def test_closing_cancels_what_is_in_flight(context):
    cancelled = threading.Event()

    async def wait(record):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    chain, output = chain_of(MapAsyncSpec(wait), context=context)
    chain.process(ObjectBatch([1]))
    asyncio.run_coroutine_threadsafe(tenfold(1), context.event_loop()).result(DEADLINE_S)
    chain.close()
    assert cancelled.wait(DEADLINE_S)
    assert (True, []) == (context.posted.empty(), output.records)
