"""The fork server with real processes: what starts, what ends and how it is told, and that nobody outlives its parent."""

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from actorflow.cluster.fork_server import Exited, ForkServer, ServerLost, SpawnFailed, Started
from actorflow.errors import SlotLost

pytestmark = pytest.mark.slow

DEADLINE_S = 20.0

WORKERS = """
import ctypes, json, os, random, signal, subprocess, sys, time

def end(): pass
def write(path, text): open(path, "w").write(text)
def exit_with(code): sys.exit(code)
def fail(): raise ValueError("the entry failed")
def crash(): ctypes.string_at(0)
def wait():
    while True: signal.pause()
def start_another(path):
    other = subprocess.Popen(["sleep", "1000"])
    with open(path, "w") as out: out.write(str(other.pid))
    wait()
def report(path):
    facts = {
        "fds": [fd for fd in range(3, 100) if os.path.exists(f"/proc/self/fd/{fd}")],
        "stdin": os.path.realpath("/proc/self/fd/0"),
        "sigint_ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "own_group": os.getpgrp() == os.getpid(),
        "directory": os.getcwd(),
        "random": random.random(),
        "threads": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")},
    }
    with open(path, "w") as out: json.dump(facts, out)
"""


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Put the workers' module where only the parent's present `sys.path` finds it; return a directory for their output."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "fork_entries.py").write_text(WORKERS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return tmp_path


@pytest.fixture
def server():
    with ForkServer.start(preload=()) as running:
        yield running


def events_until(server, enough):
    """Collect events until `enough(events)`, or fail at the deadline."""
    events, deadline = [], time.monotonic() + DEADLINE_S
    while not enough(events):
        left = deadline - time.monotonic()
        assert left > 0, f"no more events after {events}"
        select.select([server.fd], [], [], left)
        events += server.read_events()
    return events


def started(server, name):
    return next(
        e for e in events_until(server, lambda es: any(isinstance(e, Started) and e.name == name for e in es)) if e.name == name
    )


def ended(server, *names):
    """Wait until all of `names` have exited; return (exit code, signal) by name."""
    events = events_until(server, lambda es: {e.name for e in es if isinstance(e, Exited)} >= set(names))
    return {e.name: (e.exit_code, e.signal) for e in events if isinstance(e, Exited)}


def wait_gone(*pidfds):
    """Wait until every process behind the pidfds has ended."""
    deadline = time.monotonic() + DEADLINE_S
    for pidfd in pidfds:
        readable, _, _ = select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, "a process is still alive at the deadline"
        os.close(pidfd)


def wait_for_file(path):
    """Wait until a worker has written something to `path`; return it."""
    deadline = time.monotonic() + DEADLINE_S
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path.name} was not written"
        select.select([], [], [], 0.01)
    return path


def test_a_worker_runs_its_entry_with_the_arguments_and_its_start_and_exit_are_told(server, entries):
    server.spawn("fork_entries:write", {"path": str(entries / "out"), "text": "hello"}, "slot-1")
    events = events_until(server, lambda es: len(es) == 2)
    assert (entries / "out").read_text() == "hello"
    pid = events[0].pid
    assert events == [Started("slot-1", pid), Exited("slot-1", pid, 0, None)]


def test_how_a_worker_ended_is_told_as_exit_code_or_signal(entries, capfd):
    with ForkServer.start(preload=()) as server:
        server.spawn("fork_entries:exit_with", {"code": 3}, "code")
        server.spawn("fork_entries:exit_with", {"code": "a reason"}, "text")
        server.spawn("fork_entries:fail", {}, "exception")
        server.spawn("fork_entries:crash", {}, "crash")
        server.spawn("fork_entries:wait", {}, "killed")
        server.spawn("no_such_module:main", {}, "missing")
        server.kill("killed")
        assert ended(server, "code", "text", "exception", "crash", "killed", "missing") == {
            "code": (3, None),
            "text": (1, None),
            "exception": (1, None),
            "crash": (None, signal.SIGSEGV),
            "killed": (None, signal.SIGKILL),
            "missing": (1, None),
        }
    stderr = capfd.readouterr().err
    assert "a reason" in stderr
    assert "ValueError: the entry failed" in stderr
    assert "Fatal Python error: Segmentation fault" in stderr
    assert "No module named 'no_such_module'" in stderr


def test_the_server_goes_on_after_a_crash_and_a_name_is_free_again_after_its_exit(server, entries):
    for _ in range(3):
        server.spawn("fork_entries:crash", {}, "slot-1")
        assert ended(server, "slot-1") == {"slot-1": (None, signal.SIGSEGV)}
    server.spawn("fork_entries:end", {}, "slot-1")
    assert ended(server, "slot-1") == {"slot-1": (0, None)}


def test_a_worker_inherits_nothing_but_the_standard_streams(server, entries):
    server.spawn("fork_entries:wait", {}, "sibling")
    server.spawn("fork_entries:report", {"path": str(entries / "facts")}, "slot-1")
    ended(server, "slot-1")
    facts = json.loads((entries / "facts").read_text())
    assert (facts["fds"], facts["stdin"], facts["sigint_ignored"], facts["own_group"]) == ([], "/dev/null", True, True)


def test_a_worker_starts_in_the_directory_where_the_parent_is_now(server, entries, monkeypatch):
    (entries / "elsewhere").mkdir()
    monkeypatch.chdir(entries / "elsewhere")
    server.spawn("fork_entries:report", {"path": "facts"}, "slot-1")
    ended(server, "slot-1")
    assert (entries / "elsewhere" / "facts").exists()


def test_numerical_libraries_use_one_thread_unless_the_environment_says_otherwise(entries, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with ForkServer.start(preload=()) as server:
        server.spawn("fork_entries:report", {"path": str(entries / "facts")}, "slot-1")
        ended(server, "slot-1")
    assert json.loads((entries / "facts").read_text())["threads"] == {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1"}


def test_two_workers_draw_different_random_numbers(server, entries):
    for name in ("a", "b"):
        server.spawn("fork_entries:report", {"path": str(entries / name)}, name)
    ended(server, "a", "b")
    drawn = {json.loads((entries / name).read_text())["random"] for name in ("a", "b")}
    assert len(drawn) == 2


def test_many_workers_asked_for_at_once_all_start_and_end(server, entries):
    names = [f"slot-{index}" for index in range(60)]
    for name in names:
        server.spawn("fork_entries:end", {}, name)
    assert ended(server, *names) == dict.fromkeys(names, (0, None))


def test_what_a_worker_had_started_ends_with_it(server, entries):
    server.spawn("fork_entries:start_another", {"path": str(entries / "pid")}, "slot-1")
    other = os.pidfd_open(int(wait_for_file(entries / "pid").read_text()))
    server.kill("slot-1")
    assert ended(server, "slot-1") == {"slot-1": (None, signal.SIGKILL)}
    wait_gone(other)


def test_closing_leaves_no_process(entries):
    server = ForkServer.start(preload=())
    server.spawn("fork_entries:wait", {}, "slot-1")
    worker = os.pidfd_open(started(server, "slot-1").pid)
    server.close()
    wait_gone(worker)
    with pytest.raises(ChildProcessError):
        os.waitpid(server.pid, 0)
    server.close()


def test_a_lost_server_is_told_once_with_its_workers_which_die_with_it(entries):
    server = ForkServer.start(preload=())
    server.spawn("fork_entries:wait", {}, "slot-1")
    worker = os.pidfd_open(started(server, "slot-1").pid)
    os.kill(server.pid, signal.SIGKILL)
    events = events_until(server, lambda es: es)
    reason = "the fork server was killed by SIGKILL (was it the kernel's out-of-memory killer?)"
    assert events == [ServerLost(reason, ("slot-1",))]
    assert server.read_events() == []
    wait_gone(worker)
    with pytest.raises(SlotLost, match="cannot start slot-2: the fork server was killed by SIGKILL"):
        server.spawn("fork_entries:end", {}, "slot-2")
    server.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_when_the_parent_is_killed(entries, end):
    script = textwrap.dedent("""
        import select, sys
        from actorflow.cluster.fork_server import ForkServer, Started
        sys.path.insert(0, sys.argv[1])
        server = ForkServer.start()
        for index in range(2):
            server.spawn("fork_entries:wait", {}, f"slot-{index}")
        pids = [server.pid]
        while len(pids) < 3:
            select.select([server.fd], [], [])
            pids += [event.pid for event in server.read_events() if isinstance(event, Started)]
        print(*pids, flush=True)
        select.select([], [], [])
    """)
    with subprocess.Popen([sys.executable, "-c", script, str(entries / "code")], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(text) for text in parent.stdout.readline().split()]
        pidfds = [os.pidfd_open(pid) for pid in pids]
        parent.send_signal(end)
        wait_gone(*pidfds)
        assert parent.wait(DEADLINE_S) == -end
    assert len(pids) == 3


def test_ctrl_c_in_the_parents_terminal_reaches_neither_server_nor_worker(server, entries):
    server.spawn("fork_entries:wait", {}, "slot-1")
    worker = started(server, "slot-1").pid
    assert len({os.getpgrp(), os.getpgid(server.pid), os.getpgid(worker)}) == 3
    for pid in (server.pid, worker):
        os.kill(pid, signal.SIGINT)
    server.spawn("fork_entries:end", {}, "slot-2")
    assert ended(server, "slot-2") == {"slot-2": (0, None)}
    server.kill("slot-1", signal.SIGTERM)
    assert ended(server, "slot-1") == {"slot-1": (None, signal.SIGTERM)}


def test_a_fork_that_the_system_refuses_is_told_and_the_server_goes_on(entries):
    with ForkServer.start(preload=("fork_refused",)) as server:
        server.spawn("fork_entries:end", {}, "slot-1")
        assert events_until(server, lambda es: es) == [SpawnFailed("slot-1", "Resource temporarily unavailable")]
        server.spawn("fork_entries:end", {}, "slot-1")
        assert ended(server, "slot-1") == {"slot-1": (0, None)}


@pytest.fixture(autouse=True)
def _refusing_module(entries):
    """A preloadable module that makes the first fork of its process fail as it does at a process limit."""
    (entries / "code" / "fork_refused.py").write_text(
        textwrap.dedent("""
            import errno, os
            real = os.fork
            def refuse():
                os.fork = real
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            os.fork = refuse
        """)
    )


def test_a_module_that_cannot_be_preloaded_is_left_to_the_worker_that_needs_it(entries):
    with ForkServer.start(preload=("no_such_module", "json")) as server:
        server.spawn("fork_entries:end", {}, "slot-1")
        assert ended(server, "slot-1") == {"slot-1": (0, None)}


def test_arguments_too_large_for_a_request_are_refused_by_name_and_size(server, entries):
    with pytest.raises(ValueError, match=r"cannot start slot-1: its arguments take 2\d{5} bytes, at most 131072 fit"):
        server.spawn("fork_entries:end", {"blob": bytes(200_000)}, "slot-1")
    server.spawn("fork_entries:end", {}, "slot-1")
    assert ended(server, "slot-1") == {"slot-1": (0, None)}


def test_an_exit_reads_as_a_sentence():
    assert str(Exited("slot-1", 17, None, signal.SIGSEGV)) == (
        "slot-1 (process 17) crashed with SIGSEGV (a bad memory access in native code)"
    )
