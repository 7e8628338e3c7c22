"""Pipelines in virtual time: the script is followed to the millisecond, runs repeat, and what goes wrong is said."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import actorflow as af
from actorflow.connectors.contracts import Pause
from actorflow.testing import TestSink, TestSource, TestStuck, run_test
from actorflow.wire.batch import MAX_TIMESTAMP, Active, Idle, Watermark

DAY_MS = 86_400_000


def passing(source):
    """Return a stream of what a source gives."""
    return af.Pipeline("passing").read(source).map(lambda record: record)


def test_records_arrive_with_their_timestamps_between_the_watermarks():
    run = run_test(passing(TestSource().at("00:00:01", "a", "b").watermark("00:00:01").at("2s", "c")))

    assert run.only.story == ["a", "b", Watermark(1000), "c", Watermark(MAX_TIMESTAMP)]
    assert run.timed == [("a", 1000), ("b", 1000), ("c", 2000)]
    assert (run.records_in, run.records_out, run.attempts, run.ended) == (3, 3, 1, True)


def test_processing_time_passes_as_the_script_says():
    source = TestSource().records("now").advance("1h").records("later").advance("23h").records("next day")

    run = run_test(passing(source), start=5)

    assert [(arrival.record, arrival.at_ms) for arrival in run.only.arrivals] == [
        ("now", 5),
        ("later", 3_600_005),
        ("next day", DAY_MS + 5),
    ]


def test_time_passes_for_all_sources_at_once():
    pipeline = af.Pipeline("two")
    left = pipeline.read(TestSource().advance("1h").records("left at 1").advance("2h").records("left at 3"))
    right = pipeline.read(TestSource().advance("2h").records("right at 2"))

    run = run_test(left.union(right))

    assert run.records == ["left at 1", "right at 2", "left at 3"]
    assert run.duration_s == pytest.approx(10800, abs=1)


def test_idleness_passes_and_ends_with_the_next_record():
    run = run_test(passing(TestSource().idle().records("a").idle().active()))

    assert run.only.story == [Idle(), Active(), "a", Idle(), Active(), Watermark(MAX_TIMESTAMP)]


def test_an_idle_source_holds_no_watermark_back():
    pipeline = af.Pipeline("idle")
    quiet = pipeline.read(TestSource().idle().advance("1h").active().watermark(30))
    busy = pipeline.read(TestSource().advance("1min").watermark(10).advance("2h").watermark(20))

    run = run_test(quiet.union(busy))

    assert run.watermarks == [10, 20, MAX_TIMESTAMP]


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_timestamps_and_watermarks_travel_between_workers(parallelism):
    pipeline = af.Pipeline("counts")
    source = TestSource().stamped((word, time) for time, word in enumerate("abcabcaab")).watermark(8).advance("1h").at("1h", "a")
    counts = pipeline.read(source).key_by(lambda word: word).count()

    run = run_test(counts, parallelism=parallelism)

    expected = [
        (("a", 1), 0), (("b", 1), 1), (("c", 1), 2), (("a", 2), 3), (("b", 2), 4), (("c", 2), 5), (("a", 3), 6), (("a", 4), 7), (("b", 3), 8),
        (("a", 5), 3_600_000),
    ]  # fmt: skip
    assert sorted(run.timed, key=lambda timed: timed[1]) == expected
    assert run.watermarks == [8] * parallelism + [MAX_TIMESTAMP] * parallelism


def test_each_partition_is_read_by_a_subtask_of_its_own():
    class Reader(af.OperatorActor):
        def on_record(self, record, ctx):
            ctx.emit((ctx.parallel_index, record))

    parts = [TestSource().records(name, name).advance("1s").records(name) for name in "abc"]
    stream = af.Pipeline("parts", parallelism=3).read(TestSource.partitions(*parts)).process(Reader())

    for seed in range(5):
        records = run_test(stream, seed=seed).records
        assert sorted(name for _, name in records) == sorted("abc" * 3)
        assert len(set(records)) == 3


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_partitions_are_read_at_the_same_time_by_however_many_subtasks(parallelism):
    parts = [TestSource().records(f"{name}0").advance("23h").records(f"{name}1").watermark(time) for time, name in enumerate("abc")]

    run = run_test(passing(TestSource.partitions(*parts)), parallelism=parallelism)

    arrived = sorted((arrival.at_ms // 3_600_000, arrival.record) for arrival in run.only.arrivals)
    assert arrived == [(0, "a0"), (0, "b0"), (0, "c0"), (23, "a1"), (23, "b1"), (23, "c1")]


def test_each_sink_shows_what_it_got():
    pipeline = af.Pipeline("sinks")
    numbers = pipeline.read(TestSource().records(1, 2, 3))
    odd, even = TestSink(), TestSink()
    numbers.filter(lambda n: n % 2).write(odd)
    numbers.filter(lambda n: n % 2 == 0).write(even)
    numbers.write(af.sinks.collect(), name="all")

    run = run_test(pipeline)

    assert (run[odd].records, run[even].records, run["all"].records) == ([1, 3], [2], [1, 2, 3])
    with pytest.raises(af.PlanError, match="3 test sinks"):
        _ = run.records
    with pytest.raises(KeyError, match="no sink of this run"):
        _ = run[TestSink()]


def test_the_same_seed_is_the_same_run():
    pipeline = af.Pipeline("merge")
    sources = [pipeline.read(TestSource(batch=1).records(*[f"{name}{number}" for number in range(5)])) for name in "ab"]
    merged = sources[0].union(sources[1])

    runs = [tuple(run_test(merged, seed=seed).records) for seed in range(10)]

    assert runs == [tuple(run_test(merged, seed=seed).records) for seed in range(10)]
    assert len(set(runs)) > 1
    assert {tuple(sorted(run)) for run in runs} == {tuple(f"{name}{number}" for name in "ab" for number in range(5))}


def test_a_failing_function_fails_the_run_as_it_fails_a_job():
    with pytest.raises(af.JobFailed, match="ZeroDivisionError"):
        run_test(af.Pipeline("fails").read(TestSource().records(1, 0)).map(lambda n: 1 // n))


def test_an_aborted_reader_fails_the_run():
    with pytest.raises(af.JobFailed, match="the disk is gone"):
        run_test(passing(TestSource().records("a").abort("the disk is gone")))


def test_a_restarted_job_reads_again_after_the_time_that_the_strategy_says():
    source = TestSource().records("a").advance("1h").abort(attempts=2).records("b")

    run = run_test(
        passing(source), config={"restart-strategy": {"type": "fixed-delay", "fixed-delay": {"attempts": 2, "delay": "10min"}}}
    )

    assert run.attempts == 3
    assert [(arrival.record, arrival.at_ms / 3_600_000) for arrival in run.only.arrivals] == [("a", 2 + 1 / 3), ("b", 3 + 1 / 3)]


def test_a_run_can_be_stopped_after_some_time():
    source = af.sources.generator(rate=1)

    run = run_test(passing(source), run_for="10min")

    assert (run.ended, run.records) == (False, list(range(601)))
    assert (run.records_in, run.records_out, run.duration_s) == (601, 601, 600)


def test_points_in_time_order_what_several_sources_give():
    pipeline = af.Pipeline("two")
    left = pipeline.read(
        TestSource().until("10s").records("left 1").until("5s").records("left 2").until("00:01:00").records("left 3")
    )
    right = pipeline.read(TestSource().until("20s").records("right"))

    run = run_test(left.union(right))

    assert run.records == ["left 1", "left 2", "right", "left 3"]
    assert [arrival.at_ms for arrival in run.only.arrivals] == [10_000, 10_000, 20_000, 60_000]


def test_time_begins_where_the_source_begins():
    day = datetime(2024, 3, 1, tzinfo=UTC)
    day_ms = 1_709_251_200_000

    run = run_test(passing(TestSource(origin=day).at("00:00:01", "a").until("1h").at("2h", "b").at(day_ms, "c")))

    assert run.timed == [("a", day_ms + 1000), ("b", day_ms + 7_200_000), ("c", day_ms)]
    assert [arrival.at_ms - day_ms for arrival in run.only.arrivals] == [0, 3_600_000, 3_600_000]


def test_asynchronous_calls_take_virtual_time():
    async def slow(hours):
        await asyncio.sleep(3600 * hours)
        return hours

    stream = af.Pipeline("slow").read(TestSource().records(3, 1, 2))

    ordered = run_test(stream.map_async(slow, timeout="1d"))
    unordered = run_test(stream.map_async(slow, timeout="1d", ordered=False))

    assert [(arrival.record, arrival.at_ms / 3_600_000) for arrival in ordered.only.arrivals] == [(3, 3), (1, 3), (2, 3)]
    assert [(arrival.record, arrival.at_ms / 3_600_000) for arrival in unordered.only.arrivals] == [(1, 1), (2, 2), (3, 3)]


def test_an_asynchronous_call_times_out_in_virtual_time():
    async def never(record):
        await asyncio.Event().wait()

    with pytest.raises(af.JobFailed, match="no result within 10000 ms"):
        run_test(af.Pipeline("never").read(TestSource().records(1)).map_async(never))


def test_a_pipeline_runs_in_virtual_time_inside_a_running_event_loop():
    async def double(record):
        await asyncio.sleep(60)
        return record * 2

    async def main():
        return run_test(af.Pipeline("inside").read(TestSource().records(1, 2)).map_async(double, timeout="2min")).records

    assert asyncio.run(main()) == [2, 4]


# --- what does not end ----------------------------------------------------------------------------------------------------------


class Quiet(af.Source):
    """Has nothing, and says so each time for so long."""

    bounded = False

    def __init__(self, seconds):
        self.seconds = seconds

    def splits(self, parallelism):
        return [0]

    def open(self, split, position):
        return self

    position = 0

    def read(self, records_max):
        return Pause(self.seconds)

    def close(self):
        pass


def test_a_source_that_stays_open_is_stopped_at_the_horizon_and_all_say_what_they_wait_for():
    stream = af.Pipeline("open").read(TestSource().records("a").advance("1h").stay_open()).key_by(lambda word: word).count()

    with pytest.raises(TestStuck) as caught:
        run_test(stream, parallelism=2, horizon="2h")

    assert "job 'open' has not ended: 3:00:00 of virtual time are over" in caught.value.message
    assert "'source' does not end" in caught.value.hint
    waits = {view.name: view.waits_for for view in caught.value.views if "over" not in view.waits_for}
    assert sorted(set(waits.values())) == ["input: 1 of 2 channels have not ended", "its reader, which has nothing any more"]
    assert "count -> sink (2/2): waits for input" in str(caught.value)


def test_a_source_that_stays_open_can_be_looked_at_for_a_while():
    run = run_test(passing(TestSource().records("a").watermark(5).stay_open()), run_for="1h")

    assert (run.ended, run.only.story, run.duration_s) == (False, ["a", Watermark(5)], 3600)


def test_a_source_that_asks_again_and_again_meets_the_horizon():
    with pytest.raises(TestStuck, match=r"0:10:00 of virtual time .*\n.*has nothing for 7 s"):
        run_test(passing(Quiet(7.0)), horizon="10min")


@pytest.mark.parametrize("source", [Quiet(0.0), af.sources.generator()], ids=["empty", "flooding"])
def test_a_source_for_which_no_time_passes_meets_the_time_limit(source):
    with pytest.raises(TestStuck, match=r"0\.05 s of real time are over"):
        run_test(passing(source), timeout="50ms")


def test_a_call_that_does_not_return_is_named():
    async def never(record):
        await asyncio.Event().wait()

    with pytest.raises(TestStuck, match="waits for calls of its operators, which are under way"):
        run_test(af.Pipeline("never").read(TestSource().records(1)).map_async(never, timeout="10d"))


HISTORY = """
import actorflow as af
from actorflow.testing import TestSource, run_test

pipeline = af.Pipeline("history", parallelism=3)
sources = [pipeline.read(TestSource(batch=1).records(*[f"{name}{number}" for number in range(9)])) for name in "ab"]
counts = sources[0].union(sources[1]).key_by(lambda text: text[0]).count().shuffle().map(lambda pair: pair)
print(run_test(counts, seed=5).only.elements)
"""


@pytest.mark.slow
def test_a_run_is_the_same_in_another_process():
    runs = {
        subprocess.run(
            [sys.executable, "-c", HISTORY],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2", "3")
    }

    assert len(runs) == 1
    assert "Arrival(record=" in runs.pop()


def test_operators_on_threads_of_their_own_and_files_run_in_virtual_time(tmp_path):
    (tmp_path / "words.txt").write_text("b\na\nb\n")
    words = af.Pipeline("files").read(af.sources.text(tmp_path / "words.txt")).map(str.upper, dispatcher="pinned", chain="never")

    assert run_test(words.key_by(lambda word: word).count(dispatcher="pinned")).records == [("B", 1), ("A", 1), ("B", 2)]


def test_sockets_have_no_place_in_virtual_time():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(af.JobFailed, match="is simulated and waits for no file descriptor"),
    ):
        run_test(passing(af.sources.socket(*server.getsockname())))


def test_who_waits_for_credit_and_who_for_a_call_is_told_apart():
    async def never(record):
        await asyncio.Event().wait()

    stream = af.Pipeline("full").read(TestSource(batch=1).records(*range(100)), parallelism=1)
    calls = stream.map_async(never, capacity=1, timeout="10d", parallelism=2, name="call")

    with pytest.raises(TestStuck) as caught:
        run_test(calls, config={"execution.batch-records.max": 1}, horizon="1h")

    waits = {view.name.split()[0]: view.waits_for for view in caught.value.views}
    assert waits == {
        "source": "credit of consumers: 2 channels are full",
        "call": "calls of its operators, which are under way",
        "sink": "input: 2 of 2 channels have not ended",
    }
