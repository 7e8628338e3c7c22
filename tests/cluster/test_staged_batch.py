"""Batch jobs with blocking exchanges: the results of pipelined ones, and after a failure only what had not finished, or was lost, runs again."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import actorflow as af

BLOCKING = {"execution.batch-shuffle-mode": "ALL_EXCHANGES_BLOCKING"}
AGAIN = {
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 5,
    "restart-strategy.fixed-delay.delay": "1ms",
}


# --- the same results ----------------------------------------------------------------------------------------------------------


class Marking(af.BroadcastOperator):
    """Marks the records whose keys were broadcast, once all is there."""

    keys = af.BroadcastState(int, int)
    count = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.count.set(self.count.get() + 1)
        ctx.timers.event(10**15)

    def on_broadcast(self, record, ctx):
        self.keys.put(tens(record), 1)

    def on_timer(self, timestamp, ctx):
        ctx.emit((ctx.key, self.count.get() * self.keys.get(ctx.key, -1)))


def tens(record):
    return record[0] % 10


def same(record):
    return record


VERBS = {
    "sum": lambda stream: stream.key_by(tens).sum(1),
    "count": lambda stream: stream.key_by(tens).count(),
    "rebalance": lambda stream: stream.rebalance().map(lambda record: (record[0] + 1, record[1]), parallelism=3),
    "rescale": lambda stream: stream.rescale().map(same, parallelism=2),
    "shuffle": lambda stream: stream.shuffle().filter(lambda record: record[0] % 3, parallelism=2),
    "global": lambda stream: stream.global_().map(same, parallelism=2),
    "broadcast": lambda stream: stream.broadcast().map(same, parallelism=2),
    "forward": lambda stream: stream.map(same, parallelism=2).forward().map(same, parallelism=2, chain="never"),
    "marks": lambda stream: stream.key_by(tens).connect(stream.filter(lambda r: r[1] > 0).broadcast_state()).process(Marking()),
    "union": lambda stream: stream.union(stream.map(lambda record: (record[0], -record[1]))),
}


def results(records, verbs, config, slots="inline"):
    stream = af.Pipeline("staged", mode="batch", config=config).read(af.sources.collection(records), parallelism=2)
    for verb in verbs:
        stream = VERBS[verb](stream)
    return Counter(map(str, af.collect(stream, slots=slots)))


RECORDS = st.lists(st.tuples(st.integers(0, 30), st.integers(-5, 5)), max_size=60)


@given(RECORDS, st.lists(st.sampled_from(sorted(VERBS)), max_size=4))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_blocking_exchanges_give_what_pipelined_ones_give(records, verbs):
    assert results(records, verbs, {}) == results(records, verbs, BLOCKING)


@pytest.mark.slow
@given(RECORDS, st.lists(st.sampled_from(sorted(VERBS)), max_size=4))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_blocking_exchanges_give_what_pipelined_ones_give_for_many_programs(records, verbs):
    assert results(records, verbs, {}) == results(records, verbs, BLOCKING)


def test_columns_are_written_and_read_as_columns():
    def counted(config):
        stream = af.Pipeline("columns", mode="batch", parallelism=2, config=config).read(
            af.sources.collection([{"n": n} for n in range(5_000)])
        )
        return (
            stream.map_batches(lambda frame: frame)
            .rebalance()
            .map_batches(lambda frame: frame.with_columns(k=frame["n"] % 7))
            .key_by("k")
            .sum("n")
        )

    expected = sorted(af.collect(counted({}), slots="inline"))
    assert expected == sorted(af.collect(counted(BLOCKING), slots="inline"))
    assert sum(range(5_000)) == sum(total for _, total in expected)


def test_more_slot_groups_than_slots_take_turns():
    pipeline = af.Pipeline("groups", mode="batch", config=BLOCKING)
    stream = pipeline.read(af.sources.collection(range(10)), slot_group="a")
    counted = stream.key_by(lambda n: n % 2).count(slot_group="b").key_by(lambda pair: pair[1]).count(slot_group="c")
    assert [(5, 2)] == af.collect(counted, slots="inline", parallelism=1)


def test_a_stream_cannot_ask_for_stages_and_does_not_mind_a_cluster_that_has_them():
    def stream(config):
        return af.Pipeline("endless", config=config).read(af.sources.collection([1, 2]))

    with pytest.raises(af.ConfigError, match=r"pipeline 'endless' sets 'execution\.batch-shuffle-mode', and its mode is 'auto'"):
        af.collect(stream(BLOCKING), slots="inline")
    assert [1, 2] == af.collect(stream({}), slots="inline", config=BLOCKING)


def test_the_plan_shows_the_stages():
    pipeline = af.Pipeline("shown", mode="batch", config=BLOCKING)
    pipeline.read(af.sources.collection([1])).key_by(lambda n: n).count().rebalance().write(af.sinks.discard())
    text = pipeline.explain(parallelism=1)
    assert "\nstages: chain 1; chain 2 after 1; chain 3 after 2\n" in text
    assert "hash, sorted, blocking" in text


# --- failures --------------------------------------------------------------------------------------------------------------------


class Noting:
    """Functions of the stages of a job, which note in files how often they were called, and fail once in their own way."""

    def __init__(self, directory, harm):
        self.directory, self.harm = str(directory), harm

    def first(self, record):
        self.note("first")
        return record

    def second(self, record):
        self.note("second")
        return record

    def last(self, record):
        failed = Path(self.directory, "failed")
        if not failed.exists():
            failed.touch()
            self.harm(Path(self.directory, "tmp"))
        return record

    def note(self, name):
        with Path(self.directory, name).open("a") as calls:
            calls.write(".")

    def calls(self):
        return tuple(Path(self.directory, name).stat().st_size for name in ("first", "second"))


def run(directory, harm, *, attempts=2, slots="inline", parallelism=1):
    """Run a job of three stages that counts 200 records by 10 keys, and these by their counts; return its functions."""
    (directory / "tmp").mkdir()
    noting = Noting(directory, harm)
    config = {**BLOCKING, **AGAIN, "io.tmp.dirs": str(directory / "tmp")}
    pipeline = af.Pipeline("three", mode="batch", parallelism=parallelism, config=config)
    counted = pipeline.read(af.sources.collection(range(200))).map(noting.first).key_by(lambda n: n % 10).count()
    again = counted.map(noting.second).key_by(lambda pair: pair[1]).count()
    again.map(noting.last).write(af.sinks.text(str(directory / "out")))
    result = af.run(pipeline, slots=slots, progress=False)
    assert (200, 1, attempts) == (result.records_in, result.records_out, result.attempts)
    written = "".join(path.read_text() for path in sorted((directory / "out").iterdir()))
    assert written == "(20, 10)\n"
    assert [] == list((directory / "tmp").iterdir())
    return noting


def fail(directory):
    raise ValueError("bad record")


def kill(directory):
    os.kill(os.getpid(), signal.SIGKILL)


def partitions(directory, deployment_and_vertex):
    found = [path for path in directory.rglob(f"partitions/{deployment_and_vertex}-*") if path.suffix != ".inprogress"]
    assert found, "there is something to harm"
    return found


def flip_a_bit(directory):
    for path in partitions(directory, "1-1"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    fail(directory)


def lose(directory):
    for path in partitions(directory, "1-1"):
        path.unlink()
    fail(directory)


def lose_all(directory):
    for path in [*partitions(directory, "1-0"), *partitions(directory, "1-1")]:
        path.unlink()
    fail(directory)


def test_a_subtask_that_fails_in_the_last_stage_runs_again_alone_in_the_same_run(tmp_path):
    assert (200, 10) == run(tmp_path, fail, attempts=1).calls()


@pytest.mark.parametrize("harm", [flip_a_bit, lose])
def test_a_partition_that_is_damaged_or_gone_is_written_again_by_its_stage_alone(tmp_path, harm):
    assert (200, 20) == run(tmp_path, harm, attempts=3).calls()


def test_if_what_that_stage_reads_is_gone_too_it_is_written_first(tmp_path):
    assert (400, 20) == run(tmp_path, lose_all, attempts=4).calls()


@pytest.mark.slow
@pytest.mark.parametrize("parallelism", [1, 2])
def test_after_the_death_of_a_worker_in_the_last_stage_finished_stages_do_not_run_again(tmp_path, parallelism):
    assert (200, 10) == run(tmp_path, kill, slots=parallelism, parallelism=parallelism).calls()
