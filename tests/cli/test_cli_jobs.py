"""Scripts that run real jobs on slot processes through the command, as a user would call it."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0


@pytest.fixture
def started(tmp_path):
    """Return a function that starts `actorflow run job.py` on a script, in a directory of its own."""

    def start(code, *options):
        (tmp_path / "job.py").write_text(textwrap.dedent(code))
        command = [sys.executable, "-m", "actorflow.cli.main", "run", *options, "job.py"]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def descendants(root):
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        found += children
        pending += children
    return found


def test_a_script_runs_its_job_with_the_parallelism_of_the_command_line(started):
    job = started(
        """
        import os
        import actorflow as af
        pipeline = af.Pipeline("processes")
        processes = pipeline.read(af.sources.collection(range(1000))).rebalance().map(lambda n: os.getpid())
        print(len(set(af.collect(processes))))
        """,
        "-p",
        "3",
    )
    out, err = job.communicate(timeout=DEADLINE_S)
    assert (job.returncode, out, err) == (0, "3\n", "")


def test_a_failing_function_shows_its_own_line_and_nothing_of_the_engine(started):
    job = started(
        """
        import actorflow as af
        pipeline = af.Pipeline("inverse")
        numbers = pipeline.read(af.sources.collection([2, 1, 0]))
        numbers.map(lambda n: 1 / n).write(af.sinks.discard())
        af.run(pipeline)
        """
    )
    out, err = job.communicate(timeout=DEADLINE_S)
    assert (job.returncode, out) == (1, "")
    assert err.startswith("error: job 'inverse' failed: ZeroDivisionError: division by zero\n")
    assert "numbers.map(lambda n: 1 / n)" in err
    assert [line for line in err.splitlines() if "actorflow/" in line] == []


def test_ctrl_c_ends_the_job_and_leaves_no_process(started):
    job = started(
        """
        import actorflow as af
        pipeline = af.Pipeline("endless", parallelism=2)
        first = af.sources.generator(lambda n: n, rate=100)
        pipeline.read(first).key_by(lambda n: n).count().map(lambda pair: print("running", flush=True)).write(af.sinks.discard())
        af.run(pipeline)
        """
    )
    with job:
        assert job.stdout.readline().startswith("running")  # both workers write here, their lines may mix
        pidfds = [os.pidfd_open(pid) for pid in descendants(job.pid)]
        job.send_signal(signal.SIGINT)
        deadline = time.monotonic() + DEADLINE_S
        for pidfd in pidfds:
            assert select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0] == [pidfd]
            os.close(pidfd)
        _, err = job.communicate(timeout=DEADLINE_S)
    assert (job.returncode, err, len(pidfds)) == (130, "interrupted\n", 3)
