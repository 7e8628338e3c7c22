"""Event time through whole jobs, in virtual time: what the consumer hears of it, and when."""

from __future__ import annotations

import asyncio

import pytest

import actorflow as af
from actorflow.testing import TestSource, run_test
from actorflow.wire.batch import MAX_TIMESTAMP, Active, Idle, Watermark

INTERVAL_0 = {"pipeline.auto-watermark-interval": 0}


def heard(source, watermarks, *, parallelism=1, config=INTERVAL_0, before=lambda stream: stream, **options):
    """Return records and events as the sink gets them, behind an exchange."""
    stream = before(af.Pipeline("event time").read(source)).with_timestamps(lambda record: record, watermarks)
    return run_test(stream.map(lambda record: record, chain="never"), parallelism=parallelism, config=config, **options).only


def test_the_last_watermark_gets_out_while_records_pause():
    source = TestSource().records(10).advance("50ms").records(20).advance("1h").records(30)

    story = heard(source, af.Watermarks.monotonous(), config={"pipeline.auto-watermark-interval": "200ms"})

    assert [(event.event.timestamp, event.at_ms) for event in story.elements if hasattr(event, "event")] == [
        (9, 0),
        (19, 200),
        (29, 3_600_050),
        (MAX_TIMESTAMP, 3_600_050),
    ]


def test_what_the_source_says_of_event_time_gives_way_to_with_timestamps():
    source = TestSource().at(1000, 5).watermark(1000).idle().advance("1s").at(2000, 7).watermark(3000)

    assert heard(source, af.Watermarks.monotonous()).story == [5, Watermark(4), 7, Watermark(6), Watermark(MAX_TIMESTAMP)]


def test_a_quiet_source_is_idle_until_its_next_record():
    source = TestSource().records(10).advance("29s").records(11).advance("31s").records(12).advance("29s")

    story = heard(source, af.Watermarks.monotonous(idle_after="30s"))

    assert story.story == [10, Watermark(9), 11, Watermark(10), Idle(), Active(), 12, Watermark(11), Watermark(MAX_TIMESTAMP)]
    assert [event.at_ms for event in story.elements if getattr(event, "event", None) == Idle()] == [59_000]


def test_a_subtask_behind_an_exchange_is_idle_when_nothing_comes_through():
    source = TestSource().records(10).advance("40s").records(11)

    story = heard(source, af.Watermarks.monotonous(idle_after="30s"), before=lambda stream: stream.rebalance())

    assert story.story == [10, Watermark(9), Idle(), Active(), 11, Watermark(10), Watermark(MAX_TIMESTAMP)]


async def in_20_s(record):
    await asyncio.sleep(20)
    return record


def test_that_a_subtask_is_idle_is_said_behind_what_it_still_has_under_way():
    source = TestSource().records(10).advance("40s").records(11)
    timed = af.Pipeline("idle").read(source).with_timestamps(lambda record: record, af.Watermarks.monotonous(idle_after="1s"))

    story = run_test(timed.map_async(in_20_s, timeout="1h").map(lambda record: record, chain="never"), config=INTERVAL_0).only

    assert [(getattr(element, "record", None) or element.event, element.at_ms) for element in story.elements] == [
        (10, 20_000),
        (Watermark(9), 20_000),
        (Idle(), 20_000),
        (Active(), 40_000),
        (11, 60_000),
        (Watermark(10), 60_000),
        (Watermark(MAX_TIMESTAMP), 60_000),
    ]


def test_a_source_that_ends_while_the_other_is_idle_does_not_end_time():
    pipeline = af.Pipeline("union")
    quiet = pipeline.read(TestSource().records(10).advance("1min").records(12))
    short = pipeline.read(TestSource().records(50).advance("45s"))
    timed = [stream.with_timestamps(lambda record: record, af.Watermarks.monotonous(idle_after="30s")) for stream in (quiet, short)]

    story = run_test(timed[0].union(timed[1]), config=INTERVAL_0).only

    assert story.watermarks[-1] == MAX_TIMESTAMP
    before_the_end = [
        event.event.timestamp
        for event in story.elements
        if hasattr(event, "event") and event.at_ms < 60_000 and isinstance(event.event, Watermark)
    ]
    assert before_the_end == [9, 49]


def test_a_reader_without_a_split_does_not_hold_the_watermark_back():
    story = heard(TestSource().records(10).advance("1s").records(20), af.Watermarks.monotonous(), parallelism=2)

    assert story.records == [10, 20]
    assert 19 in story.watermarks


# --- partitions ----------------------------------------------------------------------------------------------------------


def test_partitions_of_one_reader_at_different_speeds_make_no_record_late():
    fast = TestSource(batch=1).records(*range(0, 2000, 10))
    slow = TestSource(batch=1)
    for time in range(5, 2000, 20):
        slow = slow.records(time).advance("1s")

    story = heard(TestSource.partitions(fast, slow), af.Watermarks.monotonous()).story

    watermark = -1
    for element in story:
        if isinstance(element, Watermark):
            watermark = element.timestamp
        else:
            assert element > watermark, "a record came behind a watermark that its own partition had not reached"
    assert len([element for element in story if isinstance(element, int)]) == 300
    assert len([element for element in story if isinstance(element, Watermark)]) > 90


def test_a_quiet_partition_holds_the_others_back_until_it_is_idle():
    quiet = TestSource().records(10).advance("1h").records(12)
    busy = TestSource()
    for time in (20, 30, 40):
        busy = busy.records(time).advance("20s")

    story = heard(TestSource.partitions(quiet, busy), af.Watermarks.monotonous(idle_after="30s"))

    times = [
        (event.event.timestamp, event.at_ms // 1000)
        for event in story.elements
        if hasattr(event, "event") and isinstance(event.event, Watermark)
    ]
    assert times == [(9, 0), (29, 30), (39, 40), (MAX_TIMESTAMP, 3600)]


async def slowly(record):
    await asyncio.sleep(5)
    return record


ONE_BY_ONE = {
    **INTERVAL_0,
    "execution.batch-records.max": 1,
    "taskmanager.network.memory.buffers-per-channel": 1,
    "taskmanager.network.memory.floating-buffers-per-gate": 0,
    "taskmanager.network.memory.max-buffers-per-channel": 1,
    "taskmanager.network.memory.max-overdraft-buffers-per-gate": 0,
}


def test_a_partition_of_a_reader_that_is_held_up_is_not_idle_however_long_it_has_given_nothing():
    quiet = TestSource().records(10).advance("200s").records(11)
    busy = TestSource().records(*range(100, 160))
    timed = (
        af.Pipeline("back-pressure")
        .read(TestSource.partitions(quiet, busy))
        .with_timestamps(lambda record: record, af.Watermarks.monotonous(idle_after="30s"))
    )

    story = run_test(timed.rebalance().map_async(slowly, capacity=1, timeout="1h"), config=ONE_BY_ONE).only

    until_then = [event for event in story.elements if event.at_ms < 200_000]
    assert len([element for element in until_then if hasattr(element, "record")]) > 30, "its reader was held up nearly all the time"
    assert [element.event for element in until_then if hasattr(element, "event")] == [Watermark(9)]


@pytest.mark.parametrize("watermarks", [(), (2000,)], ids=["no watermark", "a watermark"])
def test_idleness_does_not_overtake_what_is_still_on_its_way(watermarks):
    pipeline = af.Pipeline("idle with calls in flight")
    idle = TestSource().at(1000, "early")
    for watermark in watermarks:
        idle = idle.watermark(watermark)
    asked = pipeline.read(idle.idle().advance("1h")).map_async(slowly)
    others = pipeline.read(TestSource().at(50_000, "other").watermark(50_000).advance("1h"))

    counts = run_test(asked.union(others).key_by(lambda record: record).window(af.windows.tumbling("1s")).count())

    assert sorted(count.key for count in counts.records) == ["early", "other"]


def test_a_subtask_that_is_active_before_what_held_back_its_idleness_is_through_was_never_idle():
    source = TestSource().at(1000, "a").idle().advance("1s").at(2000, "b").advance("1h")
    stream = af.Pipeline("not idle").read(source).map_async(slowly).map(str.upper, chain="never")

    assert run_test(stream).only.story == ["A", "B", Watermark(MAX_TIMESTAMP)]


# --- alignment -----------------------------------------------------------------------------------------------------------


def in_step(slow, fast, max_drift, *, config=None):
    """Run two sources of event times in step; return what arrived of both, in the order of arrival."""
    pipeline = af.Pipeline("in step")
    watermarks = af.Watermarks.monotonous(idle_after="30s").aligned("both", max_drift, update="100ms")
    sources = [pipeline.read(source).with_timestamps(lambda record: record, watermarks) for source in (slow, fast)]
    return run_test(sources[0].union(sources[1]), config={**INTERVAL_0, **(config or {})}).only


def live(until, step):
    """A source whose event time is its processing time."""
    source = TestSource(batch=1)
    for time in range(0, until, step):
        source = source.records(time).advance(f"{step}ms")
    return source


def test_a_backlog_is_not_read_far_ahead_of_a_live_source():
    story = in_step(live(10_000, 100), TestSource(batch=10).records(*range(1, 100_000, 100)), "1s")

    ahead = [arrival.record - arrival.at_ms for arrival in story.arrivals if arrival.record % 100 == 1 and arrival.at_ms < 10_000]
    assert max(ahead) <= 1000 + 10 * 100, "the drift, and a batch"
    assert max(ahead) > 1000
    assert len(story.arrivals) == 1100


def test_only_the_partitions_that_are_ahead_are_held():
    backlog, also_live = TestSource(batch=1).records(*range(1, 10_000, 100)), live(5000, 100)

    story = in_step(live(5000, 100), TestSource.partitions(backlog, also_live), "500ms")

    late = [arrival.at_ms - arrival.record for arrival in story.arrivals if arrival.record % 100 == 0]
    assert max(late) == 0, "the partition that is not ahead is read as it comes"
    assert len(story.arrivals) == 200


def test_a_source_that_falls_idle_or_ends_holds_nobody_back():
    quiet = TestSource().records(0).advance("100s").records(100_000).advance("10s")

    story = in_step(quiet, TestSource(batch=1).records(*range(1, 300_000, 1000)), "10s")

    held = [arrival.record for arrival in story.arrivals if arrival.record % 1000 == 1 and arrival.at_ms < 30_000]
    assert max(held) == 10_001
    assert len(story.arrivals) == 302


def test_alignment_begins_anew_with_each_attempt():
    slow, fast = live(3000, 100).abort("once more"), TestSource(batch=1).records(*range(1, 20_000, 100))
    restarting = {"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "1s"}

    story = in_step(slow, fast, "1s", config=restarting)

    arrivals = story.arrivals
    assert len(arrivals) == 230, "what an attempt gave before it failed is void"
    begun_ms = arrivals[0].at_ms
    assert begun_ms >= 4000
    ahead = [
        arrival.record - (arrival.at_ms - begun_ms)
        for arrival in arrivals
        if arrival.record % 100 == 1 and arrival.at_ms < begun_ms + 3000
    ]
    assert 1000 < max(ahead) <= 1200


def test_in_batch_mode_there_is_one_watermark_and_nobody_waits():
    pipeline = af.Pipeline("batch", mode="batch")
    watermarks = af.Watermarks.monotonous(idle_after="1s").aligned("both", "1ms")
    sources = [TestSource().records(1000).advance("10s").records(2000), TestSource().records(1, 2, 3)]
    timed = [pipeline.read(source).with_timestamps(lambda record: record, watermarks) for source in sources]

    story = run_test(timed[0].union(timed[1]), config=INTERVAL_0).only

    assert sorted(story.timed) == [(record, record) for record in (1, 2, 3, 1000, 2000)]
    assert [element for element in story.story if not isinstance(element, int)] == [Watermark(MAX_TIMESTAMP)]
