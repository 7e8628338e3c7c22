"""Timers through whole jobs: slices, end of input, back-pressure, and messages meanwhile."""

from __future__ import annotations

import pytest

import actorflow as af
from actorflow.testing import TestSource, run_test


class Timeout(af.OperatorActor):
    """Tells of users who have not been seen for a minute, by the event's time or by the clock."""

    last = af.ValueState(int, default=-1)

    def __init__(self, domain):
        self.domain = domain

    def on_record(self, record, ctx):
        now = ctx.timestamp if self.domain == "event" else ctx.processing_time()
        if self.last.get() >= 0:
            ctx.timers.delete(self.last.get() + 60_000, processing=self.domain == "processing")
        self.last.set(now)
        getattr(ctx.timers, self.domain)(now + 60_000)

    def on_timer(self, timestamp, ctx):
        assert timestamp == self.last.get() + 60_000
        ctx.emit((ctx.key, timestamp, ctx.time_domain))
        self.last.clear()


def by_user(record):
    return record


@pytest.mark.parametrize("parallelism", [1, 2])
def test_event_time_timers_fire_before_the_watermark_that_reaches_them(parallelism):
    clicks = TestSource().at(0, "ann", "bob").at("50s", "ann").watermark("59s").watermark("60s").at("2min", "bob").watermark("110s")
    pipeline = af.Pipeline("timeouts", parallelism=parallelism)
    run = run_test(pipeline.read(clicks).key_by(by_user).process(Timeout("event")))
    fired = {(("bob", 60_000, "event"), 60_000), (("ann", 110_000, "event"), 110_000), (("bob", 180_000, "event"), 180_000)}
    assert fired == set(run.timed)
    assert 3 == len(run.timed)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_processing_time_timers_fire_when_the_clock_says_and_the_last_at_the_end(parallelism):
    clicks = TestSource().records("ann", "bob").advance("50s").records("ann").advance("5min").records("bob")
    pipeline = af.Pipeline("timeouts", parallelism=parallelism)
    run = run_test(pipeline.read(clicks).key_by(by_user).process(Timeout("processing")))
    fired = {("bob", 60_000): 60_000, ("ann", 110_000): 110_000, ("bob", 410_000): 350_000}
    at_ms = {(arrival.record[0], arrival.record[1]): arrival.at_ms for arrival in run.only.arrivals}
    assert fired == at_ms


class Restless(af.OperatorActor):
    """Sets a timer for as long as nobody tells it to stop: after the end of input, that is at one and the same watermark."""

    def on_start(self, ctx):
        self.fired = 0
        self.stopped = False

    def on_record(self, record, ctx):
        ctx.timers.event(record)

    def on_timer(self, timestamp, ctx):
        self.fired += 1
        if self.stopped:
            ctx.emit("stopped")
        else:
            ctx.timers.event(timestamp + 1)

    def on_message(self, message, ctx):
        self.stopped = message == "stop"
        ctx.reply((self.fired, ctx.watermark))


def test_an_operator_answers_while_timers_fire_and_can_be_told_to_stop_them(slots):
    pipeline = af.Pipeline("restless", parallelism=1)
    stream = pipeline.read(af.sources.collection([0, 1, 2])).key_by(by_user).process(Restless(), name="restless")
    with af.LocalCluster(slots=slots) as cluster:
        stream.write(af.sinks.collect())
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.progress()[0] == 3, 20)
        operator = job.operator("restless")
        assert job.wait_until(lambda: operator.ask("how many?")[0] > 3, 20), "timers fire"
        first, second = operator.ask("how many?"), operator.ask("how many?")
        assert first[0] <= second[0]
        assert 2**63 - 1 == second[1], "the watermark of the end of input"
        operator.ask("stop")
        assert ["stopped"] * 3 == job.wait("20s").results


class AtOnce(af.OperatorActor):
    """A timer for each record, all for one time."""

    def on_record(self, record, ctx):
        ctx.timers.event(1_000_000)

    def on_timer(self, timestamp, ctx):
        ctx.emit(ctx.key)


def test_many_timers_that_are_due_at_once_wait_for_room_in_the_outputs():
    config = {"taskmanager.network.memory.buffers-per-channel": 1, "execution.batch-records.max": 16}
    pipeline = af.Pipeline("at-once", parallelism=2, config=config)
    keys = pipeline.read(af.sources.collection(range(20_000))).key_by(by_user).process(AtOnce())
    assert list(range(20_000)) == sorted(af.collect(keys.rebalance().map(lambda key: key), slots="inline"))
