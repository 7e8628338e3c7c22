"""Event time through whole jobs: timestamps and watermarks travel with the records."""

from __future__ import annotations

import actorflow as af


class Seen(af.OperatorActor):
    """Emits each record with what the operator knows of event time."""

    def on_record(self, record, ctx):
        ctx.emit((record, ctx.timestamp, ctx.watermark))


def test_records_meet_no_watermark_that_they_could_be_behind(slots):
    pipeline = af.Pipeline("event-time", parallelism=2, config={"pipeline.auto-watermark-interval": 0})
    events = [{"time": 10 * n + n % 7, "key": n % 3} for n in range(5000)]
    seen = (
        pipeline.read(af.sources.collection(events))
        .with_timestamps("time", af.Watermarks.bounded(100))
        .map(lambda event: event)
        .key_by("key")
        .process(Seen())
    )

    results = af.collect(seen, slots=slots)

    assert sorted(record["time"] for record, _, _ in results) == sorted(event["time"] for event in events)
    assert all(timestamp == record["time"] for record, timestamp, _ in results)
    assert all(timestamp > watermark for _, timestamp, watermark in results)
    assert len({watermark for _, _, watermark in results}) > 1, "event time advances while records come"


class Lead(af.OperatorActor):
    """Emits how far the fast source was ahead of the slow one at each of its records."""

    def on_start(self, ctx):
        self.slow = 0

    def on_record(self, record, ctx):
        name, time = record
        if name == "slow":
            self.slow = time
        ctx.emit((name, time - self.slow))


def test_a_fast_source_goes_in_step_with_a_slow_one(slots):
    config = {"pipeline.auto-watermark-interval": 0, "execution.batch-records.max": 16}
    pipeline = af.Pipeline("in step", parallelism=1, config=config)
    watermarks = af.Watermarks.monotonous().aligned("both", max_drift=200, update="20ms")
    slow = pipeline.read(af.sources.generator(lambda n: ("slow", 20 * n), rate=400, count=200), slot_group="apart")
    fast = pipeline.read(af.sources.generator(lambda n: ("fast", n), count=4000))
    apart = slow.with_timestamps(lambda record: record[1], watermarks, slot_group="apart")
    both = fast.with_timestamps(lambda record: record[1], watermarks).union(apart)

    leads = af.collect(both.process(Lead()), slots=slots)

    assert len(leads) == 4200
    assert max(lead for name, lead in leads if name == "fast") < 2000, "of 4000: it was not read to its end at once"
