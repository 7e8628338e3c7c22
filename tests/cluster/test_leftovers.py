"""Whatever ends a run, nothing is left of it: no process, no socket, no temporary file, no thread that keeps the program alive."""

import signal
import threading
from pathlib import Path

import pytest
from script_harness import run_script, running

import actorflow as af

pytestmark = pytest.mark.slow

ENDLESS = """
    def show(n):
        if n == 0:
            print("running", flush=True)
        return n

    pipeline.read(af.sources.generator()).map(show).key_by(lambda n: n % 10).count().write(af.sinks.text("out"))
"""
STUCK = """
    def stuck(n):
        print("running", flush=True)
        while True:
            pass

    numbers(1).map(stuck).write(af.sinks.text("out"))
"""
WITH_EVERYTHING = """
    async def later(n):
        return n

    stream = numbers().map(str, dispatcher="pinned").map_async(later).key_by(lambda n: n).count()
"""


def test_nothing_is_left_after_success(slots, tmp_path):
    ended = run_script(WITH_EVERYTHING + "    print(len(af.collect(stream, slots=SLOTS)))", tmp_path, slots)
    assert (0, "100\n", "") == (ended.code, ended.out, ended.err)


def test_a_temporary_directory_with_a_long_path_is_no_place_for_sockets_and_none_is_left(tmp_path):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    ended = run_script("print(af.collect(numbers(3).map(str), slots=1))", tmp_path, 1, temporary=long)
    assert (0, "['0', '1', '2']\n", "") == (ended.code, ended.out, ended.err)


def test_nothing_is_left_after_a_failure(slots, tmp_path):
    script = WITH_EVERYTHING + "    show_error(lambda: af.collect(stream.map(lambda pair: 1 / 0), slots=SLOTS))"
    ended = run_script(script, tmp_path, slots)
    assert (0, "JobFailed: job 'script' failed: ZeroDivisionError: division by zero") == (ended.code, ended.out.splitlines()[0])


def test_nothing_is_left_after_a_failure_that_nobody_catches(slots, tmp_path):
    ended = run_script("af.collect(numbers().map(lambda n: 1 / 0), slots=SLOTS)", tmp_path, slots)
    assert (1, "ZeroDivisionError: division by zero") == (ended.code, ended.err.splitlines()[-1])


def test_nothing_is_left_after_a_cancel(slots, tmp_path):
    script = (
        ENDLESS
        + """
    cluster = af.LocalCluster(slots=SLOTS, config={"parallelism.default": 1})
    with cluster:
        job = cluster.submit(pipeline)
        job.wait_until(lambda: job.progress()[0] > 10_000, 20)
        job.cancel()
        show_error(job.wait)
        print(sorted(os.listdir("out")))
    """
    )
    ended = run_script(script, tmp_path, slots)
    assert ["JobCancelled: job 'script' was cancelled", "[]"] == [line for line in ended.out.splitlines() if line != "running"]


def test_nothing_is_left_of_a_cluster_that_nobody_closes(slots, tmp_path):
    script = (
        ENDLESS + "    job = af.LocalCluster(slots=SLOTS).submit(pipeline)\n    job.wait_until(lambda: job.progress()[0] > 0, 20)"
    )
    assert 0 == run_script(script, tmp_path, slots).code


@pytest.mark.parametrize("job", [ENDLESS, STUCK], ids=["endless", "stuck"])
def test_nothing_is_left_after_ctrl_c(slots, job, tmp_path):
    with running(job + "    af.run(pipeline, slots=SLOTS, parallelism=1)", tmp_path, slots) as script:
        assert "running" == script.line()
        script.send(signal.SIGINT)
        ended = script.wait()
        script.check_nothing_is_left()
    assert (-signal.SIGINT, "KeyboardInterrupt") == (ended.code, ended.err.splitlines()[-1])
    # A worker that had to be killed could not remove what it had begun to write; it stays hidden.
    assert [] == [path.name for path in (tmp_path / "out").glob("*" if job is STUCK else ".*")]


@pytest.mark.parametrize("job", [ENDLESS, STUCK], ids=["endless", "stuck"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_after_the_program_is_killed(end, job, tmp_path):
    with running(job + "    af.run(pipeline, slots=2)", tmp_path, 2) as script:
        assert "running" == script.line()
        script.send(end)
        assert -end == script.wait().code
        script.check_nothing_is_left()


def test_ctrl_c_twice_does_not_wait_for_a_job_that_does_not_end(tmp_path):
    with running(STUCK + "    af.run(pipeline, slots=1)", tmp_path, 1) as script:
        assert "running" == script.line()
        script.send(signal.SIGINT)
        script.send(signal.SIGINT)
        assert -signal.SIGINT == script.wait().code
        script.check_nothing_is_left()


@pytest.mark.parametrize(("number", "times"), [("inline", 20), (1, 5)])
def test_many_runs_leak_neither_descriptors_nor_threads(number, times):
    def run():
        stream = af.Pipeline("leak").read(af.sources.collection(range(10))).map(str, dispatcher="pinned")
        assert 10 == len(af.collect(stream.key_by(lambda text: text).count(), slots=number))

    run()
    before = open_descriptors(), threading.active_count()
    for _ in range(times):
        run()
    assert before == (open_descriptors(), threading.active_count())


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))
