"""The shell as a user runs it, with its prompt fed from a file."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import actorflow as af


class Visits(af.OperatorActor):
    count = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.count.set(self.count.get() + 1)
        ctx.emit((record, self.count.get()))

    def on_message(self, message, ctx):
        ctx.reply(f"{message} yourself")


if __name__ == "__main__":
    pipeline = af.Pipeline("visits")
    numbers = pipeline.read(af.sources.generator(rate=1000)).map(lambda n: n % 3, name="digit").key_by(lambda n: n)
    numbers.process(Visits(), name="visits").write(af.sinks.discard())
    af.run(pipeline, parallelism=1)
"""

WAIT = """
def wait():
    while "visits: running" not in jobs().values():
        pass

wait()
"""


def run(tmp_path, prompt, *options):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "actorflow.cli.main", "shell", *options, str(script)]
    done = subprocess.run(
        command, input=WAIT + prompt, capture_output=True, text=True, timeout=60, check=False, env=_environment(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    return done


def _environment(tmp_path):
    return {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "NO_COLOR": "1"}


@pytest.mark.slow
def test_a_running_job_is_looked_at_and_not_touched(tmp_path):
    done = run(
        tmp_path,
        'print("tail", len(actor("/jobs/visits/visits/0").tail(2, wait="10s")))\n'
        'print("state", actor("/jobs/visits/visits").state(1)["count"] > 0)\n'
        'print("completed", get_ipython().complete(None, \'actor("/jobs/visits/vi\', 22)[1])\n'
        'actor("/jobs/visits/visits/0").ask("hello")\n'
        'print("submits", "cluster" in globals(), pipeline.name)\n',
    )
    for line in ("state True", "tail 2", "completed ['/jobs/visits/visits/0']", "submits False visits"):
        assert line in done.stdout
    assert "error: cannot ask /jobs/visits/visits/0: this view only looks (hint: start the shell with --allow-write)" in done.stderr


@pytest.mark.slow
def test_with_leave_operators_are_asked(tmp_path):
    done = run(tmp_path, 'print(actor("/jobs/visits/visits/0").ask("hello"), "cluster" in globals())\n', "--allow-write")

    assert "hello yourself True" in done.stdout
