"""Runs a program of a user in a process of its own, with a hard time-out, and finds whatever it leaves behind."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEADLINE_S = 30
PREAMBLE = """\
import ctypes, os, signal, sys, threading, time
import actorflow as af

SLOTS = "inline" if os.environ["SLOTS"] == "inline" else int(os.environ["SLOTS"])
pipeline = af.Pipeline("script")


def numbers(count=100, **options):
    return pipeline.read(af.sources.collection(range(count)), **options)


def show_error(run):
    try:
        print("RESULT", run())
    except af.ActorflowError as error:
        print(f"{type(error).__name__}: {error}")


"""


@dataclass(frozen=True)
class Ended:
    """How a script ended: exit code (negative: signal) and what it wrote."""

    code: int
    out: str
    err: str


class Script:
    """A running script; `directory` is its place for temporary files."""

    def __init__(self, process, directory, mark):
        self.process = process
        self.directory = directory
        self._mark = mark

    def line(self):
        """Wait for its next line of output."""
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
        assert ready, "the script says nothing"
        return self.process.stdout.readline().decode().strip()

    def send(self, number):
        self.process.send_signal(number)

    def wait(self):
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return Ended(self.process.returncode, out.decode(), err.decode())

    def family(self):
        """Return the process ids of the script and of all that it has started, however they are related now."""
        needle = f"ACTORFLOW_TEST={self._mark}".encode()
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and needle in environment_of(entry)]

    def workers(self):
        """Return the process ids of its slot workers: the children of its fork server."""
        [server] = children_of(self.process.pid)
        return children_of(server)

    def check_nothing_is_left(self):
        """Wait until every process of the family is gone, and check that no file is left."""
        deadline = time.monotonic() + DEADLINE_S
        for pid in self.family():
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
                assert ready, f"left: {Path(f'/proc/{pid}/cmdline').read_bytes()}"
            finally:
                os.close(fd)
        assert [] == self.family()
        assert [] == sorted(self.directory.iterdir())


def environment_of(process):
    try:
        if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return b""
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def children_of(pid):
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def running(body, tmp_path, slots, *, prefix=(), temporary=None):
    """Start a script, whose beginning is `PREAMBLE`, and kill all of its family at the end."""
    path = tmp_path / "script.py"
    path.write_text(PREAMBLE + textwrap.dedent(body))
    directory = Path(temporary or tempfile.mkdtemp(prefix="af-"))
    directory.chmod(0o777)
    mark = uuid.uuid4().hex
    environment = {**os.environ, "SLOTS": str(slots), "TMPDIR": str(directory), "ACTORFLOW_TEST": mark}
    environment.pop("PYTHONUNBUFFERED", None)  # users do not set it: what is printed must not depend on it
    process = subprocess.Popen(
        [*prefix, sys.executable, str(path)], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    script = Script(process, directory, mark)
    try:
        yield script
    finally:
        for pid in script.family():
            with suppress(ProcessLookupError):  # it may end while the others are killed
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(directory)


def run_script(body, tmp_path, slots, **options):
    """Run a script to its end; check that it leaves nothing; return how it ended."""
    with running(body, tmp_path, slots, **options) as script:
        ended = script.wait()
        script.check_nothing_is_left()
        return ended
