"""Event time through whole jobs: timestamps and watermarks travel with the records."""

from __future__ import annotations

import pytest

import actorflow as af


class Seen(af.OperatorActor):
    """Emits each record with what the operator knows of event time."""

    def on_record(self, record, ctx):
        ctx.emit((record, ctx.timestamp, ctx.watermark))


@pytest.mark.parametrize("slots", ["inline", 2])
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
