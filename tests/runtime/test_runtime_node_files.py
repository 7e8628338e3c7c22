"""What a node shows of its files: those that it writes, the logs beside them, and of each no more than its end."""

from __future__ import annotations

import json
import subprocess
import sys

from actorflow.runtime.nodes.node_files import FILES_MAX, SHOWN_BYTES_MAX, NodeFiles

PROGRAM = """
import json, logging, sys
from actorflow.runtime.nodes.node_files import NodeFiles
directory, file = sys.argv[1:]
if file:
    logging.basicConfig(filename=file, force=True)
    logging.error("logged")
print("printed", flush=True)
files = NodeFiles(directory or None)
shown = {"log": files.log(), "stdout": files.stdout(), "names": [each.name for each in files.listed()]}
shown["ends"] = {name: files.end_of(name) for name in shown["names"]}
print(json.dumps(shown), file=sys.stderr)
"""


def told(tmp_path, directory="", file=""):
    """Have a process of its own tell of its files: it prints into one, and tells over a pipe."""
    with (tmp_path / "node.out").open("wb") as output:
        command = [sys.executable, "-c", PROGRAM, str(directory), str(file)]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=True)
    return json.loads(done.stderr.decode().splitlines()[-1])


def test_a_process_that_logs_to_standard_error_shows_what_it_prints(tmp_path):
    assert told(tmp_path) == {"log": "", "stdout": "node.out", "names": ["node.out"], "ends": {"node.out": "printed\n"}}


def test_a_process_with_a_log_shows_that_and_the_others_beside_it(tmp_path):
    logs = tmp_path / "log"
    logs.mkdir()
    (logs / "worker-1.log.1").write_text("before\n")
    (logs / "keys.txt").write_text("secret\n")
    shown = told(tmp_path, logs, logs / "jobmanager.log")

    assert (shown["log"], shown["stdout"]) == ("jobmanager.log", "node.out")
    assert shown["names"] == ["jobmanager.log", "node.out", "worker-1.log.1"]
    assert shown["ends"]["jobmanager.log"] == "ERROR:root:logged\n"
    assert shown["ends"]["worker-1.log.1"] == "before\n"


def test_no_more_than_the_end_is_read(tmp_path):
    (tmp_path / "long.log").write_bytes(b"old" + b"x" * (SHOWN_BYTES_MAX - 4) + b"\xff\xfe\xfd\n")
    end = NodeFiles(str(tmp_path)).end_of("long.log")

    assert end is not None
    assert end.endswith("x���\n")
    assert not end.startswith("old")


def test_no_more_than_the_latest_files_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("actorflow.runtime.nodes.node_files.FILES_MAX", 3)
    for number in range(5):
        (tmp_path / f"{number}.log").touch()
    listed = [file.name for file in NodeFiles(str(tmp_path)).listed() if file.name.endswith(".log")]

    assert FILES_MAX >= 1_000
    assert len(listed) <= 3
    assert NodeFiles(str(tmp_path)).end_of("0.log") == ""
