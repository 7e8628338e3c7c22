"""What fails is reported by name, restarted if the strategy says so, and never doubles or loses what was written."""

import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from cluster_options import REPORT_SOON
from visible_output import committed, lines_of

import actorflow as af

SLOW = pytest.mark.slow
RESTARTING = {"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "10ms"}


def restarting(attempts):
    return {**RESTARTING, "restart-strategy.fixed-delay.attempts": attempts}


@pytest.fixture
def pipeline():
    return af.Pipeline("failures")


def numbers(pipeline, count=1000, **options):
    return pipeline.read(af.sources.collection(range(count)), **options)


def fails_until(path, attempts, record, action):
    """Return a function that does something bad at one record, in the first attempts."""

    def function(n):
        if n == record and len(list(Path(path).iterdir())) < attempts:
            Path(path, os.urandom(8).hex()).touch()
            action()
        return n

    return function


def raise_error():
    raise ValueError("not yet")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    import ctypes

    ctypes.string_at(0)


@pytest.fixture
def tries(tmp_path):
    path = tmp_path / "tries"
    path.mkdir()
    return path


# --- workers that die ---------------------------------------------------------------------------------------------------------


DEATHS = [
    (kill, "was killed by SIGKILL"),
    (crash, "crashed with SIGSEGV"),
    (lambda: os._exit(3), "exited with code 3"),
]


@SLOW
@pytest.mark.parametrize(("action", "words"), DEATHS, ids=["SIGKILL", "SIGSEGV", "exit"])
def test_a_worker_that_dies_fails_the_job_by_name_and_signal(action, words, pipeline, tries):
    stream = numbers(pipeline).map(fails_until(tries, 1, 0, action)).key_by(lambda n: n % 10).count()
    with pytest.raises(af.JobFailed) as caught:
        af.collect(stream, slots=2)
    assert re.search(rf"slot worker [01] of local-\w+/task-manager-1 \(lease \S+\) \(process \d+\) {words}", str(caught.value))
    assert "Traceback" not in str(caught.value)


@SLOW
@pytest.mark.parametrize(("action", "words"), DEATHS, ids=["SIGKILL", "SIGSEGV", "exit"])
def test_a_job_whose_worker_dies_restarts_and_gives_the_right_result_once(action, words, pipeline, tries, tmp_path):
    counted = numbers(pipeline).map(fails_until(tries, 2, 777, action)).key_by(lambda n: n % 10).count()
    counted.write(af.sinks.json_lines(tmp_path / "out"))
    result = af.run(pipeline, slots=2, config=restarting(2))
    assert (3, 1000) == (result.attempts, result.records_out)
    assert sorted([key, count] for key in range(10) for count in range(1, 101)) == sorted(committed(tmp_path / "out"))
    assert [] == [path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("part-")]


@SLOW
def test_what_a_killed_worker_had_begun_is_removed_and_what_others_write_there_is_not(pipeline, tries, tmp_path):
    (tmp_path / "out").mkdir()
    other = tmp_path / "out" / ".part-0123456789ab-1-0-f00d.inprogress"
    other.touch()
    numbers(pipeline).map(fails_until(tries, 1, 990, kill)).write(af.sinks.text(tmp_path / "out"))
    with pytest.raises(af.JobFailed, match="was killed by SIGKILL"):
        af.run(pipeline, slots=2, parallelism=2)
    assert [other] == list((tmp_path / "out").iterdir())


@SLOW
def test_a_worker_that_is_killed_from_outside_is_noticed_at_once(pipeline):
    pipeline.read(af.sources.generator()).key_by(lambda n: n % 10).count().write(af.sinks.discard())
    others = children_of(os.getpid())  # servers of tests
    with af.LocalCluster(slots=2) as cluster:
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.progress()[0] > 0, 20)
        [server] = set(children_of(os.getpid())).difference(others)
        os.kill(children_of(server)[1], signal.SIGKILL)
        with pytest.raises(af.JobFailed, match="was killed by SIGKILL"):
            job.wait(timeout="20s")


def children_of(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(text) for task in tasks for text in (task / "children").read_text().split())


# --- functions that raise --------------------------------------------------------------------------------------------------------


def test_a_function_that_fails_twice_and_then_works_doubles_nothing_collected(slots, pipeline, tries):
    stream = numbers(pipeline).map(fails_until(tries, 2, 900, raise_error))
    assert list(range(1000)) == sorted(af.collect(stream, slots=slots, config=restarting(2)))
    assert 2 == len(list(tries.iterdir()))


@pytest.mark.parametrize("sink", ["text", "csv", "json_lines", "parquet"])
def test_a_restart_doubles_nothing_in_files(slots, sink, pipeline, tries, tmp_path):
    rows = numbers(pipeline).map(fails_until(tries, 2, 900, raise_error)).map(lambda n: {"n": n})
    rows.write(getattr(af.sinks, sink)(tmp_path / "out"))
    result = af.run(pipeline, slots=slots, config=restarting(2))
    assert (3, 1000) == (result.attempts, result.records_out)
    assert 1000 == sum(map(rows_of, (tmp_path / "out").glob("part-*")))
    assert [] == list((tmp_path / "out").glob(".*"))


def rows_of(file):
    if file.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_metadata(file).num_rows
    return len(file.read_text().splitlines()) - (file.suffix == ".csv")


def test_a_job_fails_with_its_last_error_when_its_restarts_are_used_up(slots, pipeline, tries):
    stream = numbers(pipeline).map(fails_until(tries, 5, 900, raise_error), name="divide")
    with pytest.raises(af.JobFailed, match="ValueError: not yet") as caught:
        af.collect(stream, slots=slots, config=restarting(2))
    assert 3 == len(list(tries.iterdir()))
    assert ("divide", "900") == (caught.value.error.context["operator"], caught.value.error.context["record"])


def test_an_operator_is_told_which_attempt_it_is_in(slots, pipeline):
    class FirstAttemptFails(af.OperatorActor):
        def on_record(self, record, ctx):
            if ctx.attempt == 1:
                raise ValueError("first")
            ctx.emit(ctx.attempt)

    stream = numbers(pipeline, 3).process(FirstAttemptFails())
    assert [2, 2, 2] == af.collect(stream, slots=slots, config=restarting(1))


def test_state_starts_anew_with_a_restart(slots, pipeline, tries):
    counts = numbers(pipeline, 100).map(fails_until(tries, 1, 90, raise_error)).key_by(lambda n: n % 3).count()
    assert Counter({0: 34, 1: 33, 2: 33}) == Counter(dict(af.collect(counts, slots=slots, config=restarting(1))))


# --- every place where user code runs ---------------------------------------------------------------------------------------------


class BadOperator(af.OperatorActor):
    def __init__(self, where):
        self.where = where

    def on_start(self, ctx):
        self.fail("on_start")

    def on_record(self, record, ctx):
        self.fail("on_record")
        ctx.emit(record)

    def on_stop(self, ctx):
        self.fail("on_stop")

    def fail(self, where):
        if self.where == where:
            raise RuntimeError(f"no {where} today")


class BadSource(af.Source):
    def __init__(self, where):
        self.where = where

    def splits(self, parallelism):
        self.fail("splits")
        return range(4)

    def open(self, split, position):
        self.fail("open")
        return self

    position = None

    def read(self, records_max):
        self.fail("read")
        from actorflow.connectors.contracts import END_OF_SPLIT

        return END_OF_SPLIT

    def close(self):
        self.fail("close")

    fail = BadOperator.fail


class BadSink(af.TwoPhaseSink):
    def __init__(self, where):
        self.where = where

    def open(self, ctx):
        self.fail("open")
        return self

    def write(self, batch):
        self.fail("write")

    def flush(self):
        self.fail("flush")

    def prepare(self):
        self.fail("prepare")
        return "prepared"

    def close(self):
        self.fail("close")

    def commit(self, committables):
        self.fail("commit")

    def abort(self, committables):
        self.fail("abort")

    fail = BadOperator.fail


def bad_operator(pipeline, where):
    return numbers(pipeline).process(BadOperator(where), name="culprit")


def bad_source(pipeline, where):
    return pipeline.read(BadSource(where), name="culprit")


PLACES = [
    *((bad_operator, where) for where in ("on_start", "on_record", "on_stop")),
    *((bad_source, where) for where in ("splits", "open", "read", "close")),
]


@pytest.mark.parametrize(("make", "where"), PLACES)
def test_a_failure_anywhere_in_user_code_ends_in_the_users_line(make, where, slots, pipeline):
    with pytest.raises(af.JobFailed) as caught:
        af.collect(make(pipeline, where), slots=slots)
    assert_blames_the_user(caught.value, where)


@pytest.mark.parametrize("where", ["open", "write", "flush", "prepare", "close", "commit"])
def test_a_failure_anywhere_in_a_sink_ends_in_the_users_line(where, slots, pipeline):
    numbers(pipeline).write(BadSink(where), name="culprit")
    with pytest.raises(af.JobFailed) as caught:
        af.run(pipeline, slots=slots)
    assert_blames_the_user(caught.value, where)


def assert_blames_the_user(failure, where):
    assert "culprit" == failure.error.context["operator"]
    assert f"RuntimeError: no {where} today" == str(failure).splitlines()[-1]
    assert 'raise RuntimeError(f"no {where} today")' in str(failure)
    assert f"{os.sep}actorflow{os.sep}" not in str(failure)


def test_a_sink_that_cannot_abort_does_not_hide_why_the_job_failed(slots, pipeline):
    numbers(pipeline).map(lambda n: 1 // (n - 999)).write(BadSink("abort"))
    with pytest.raises(af.JobFailed, match="ZeroDivisionError"):
        af.run(pipeline, slots=slots)


# --- several jobs, and ends on request ---------------------------------------------------------------------------------------------


@SLOW
def test_a_job_that_crashes_again_and_again_does_not_touch_another(tries, tmp_path):
    good, bad = af.Pipeline("good"), af.Pipeline("bad", config=restarting(3))
    numbers(good, 20_000).key_by(lambda n: n % 10).count().write(af.sinks.json_lines(tmp_path / "good"))
    numbers(bad).map(fails_until(tries, 99, 0, crash)).write(af.sinks.discard())
    with af.LocalCluster(slots=4) as cluster:
        failing, working = (cluster.submit(job, parallelism=2) for job in (bad, good))
        assert 1 == working.wait(timeout="20s").attempts
        with pytest.raises(af.JobFailed, match="SIGSEGV"):
            failing.wait(timeout="20s")
    assert 4 == len(list(tries.iterdir()))
    assert 20_000 == len(lines_of(tmp_path / "good"))


@SLOW
def test_a_slot_is_free_again_when_its_job_has_ended():
    with af.LocalCluster(slots=1) as cluster:
        for _ in range(3):
            pipeline = af.Pipeline("one")
            numbers(pipeline).write(af.sinks.collect())
            assert 1000 == len(cluster.submit(pipeline).wait(timeout="20s").results)


@pytest.mark.parametrize("sink", ["text", "json_lines", "csv", "parquet"])
def test_a_cancelled_job_leaves_no_file(slots, sink, tmp_path):
    pipeline = af.Pipeline("cancelled")
    rows = pipeline.read(af.sources.generator()).map(lambda n: {"n": n})
    rows.write(getattr(af.sinks, sink)(tmp_path / "out"))
    with af.LocalCluster(slots=slots, config=REPORT_SOON) as cluster:
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.progress()[1] > 5000, 20)
        job.cancel()
        with pytest.raises(af.ActorflowError, match="job 'cancelled' was cancelled"):
            job.wait(timeout="20s")
        assert [] == list((tmp_path / "out").iterdir())


def test_a_cluster_that_is_closed_cancels_its_jobs(slots, tmp_path):
    pipeline = af.Pipeline("endless")
    pipeline.read(af.sources.generator()).write(af.sinks.text(tmp_path / "out"))
    with af.LocalCluster(slots=slots, config=REPORT_SOON) as cluster:
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.progress()[1] > 5000, 20)
    assert "cancelled" == job.status().value
    assert [] == list((tmp_path / "out").iterdir())


@SLOW
def test_a_function_that_never_returns_can_be_cancelled(tmp_path):
    pipeline = af.Pipeline("stuck", config={"task.cancellation.timeout": "300ms"})
    numbers(pipeline).map(lambda n: time.sleep(3600)).write(af.sinks.discard())
    with af.LocalCluster(slots=2) as cluster:
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.status().value == "running", 20)
        job.cancel()
        with pytest.raises(af.ActorflowError, match="job 'stuck' was cancelled"):
            job.wait(timeout="20s")


def test_a_job_that_has_not_ended_in_time_goes_on(slots):
    pipeline = af.Pipeline("endless")
    pipeline.read(af.sources.generator()).write(af.sinks.discard())
    with af.LocalCluster(slots=slots) as cluster:
        job = cluster.submit(pipeline)
        with pytest.raises(TimeoutError, match="job 'endless' has not ended within 300ms: it is "):
            job.wait(timeout="300ms")
        assert job.wait_until(lambda: job.status().value == "running", 20)
