"""The README's way to a cluster: its script and its five commands, run as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone whose environment is installed: its command is the one of this environment."""
    for folder in ("scripts", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("bench", "__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    metadata = subprocess.run(["cksum", "setup.cfg", "pyproject.toml"], cwd=tmp_path, capture_output=True, text=True, check=True)
    command = tmp_path / ".venv" / "bin" / "actorflow"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m actorflow.cli.main "$@"\n')
    command.chmod(0o755)
    (tmp_path / ".venv" / ".installed-shell").write_text(metadata.stdout)
    return tmp_path


@pytest.mark.slow
def test_five_commands_lead_to_a_cluster_that_runs_a_script_and_shows_its_tree(clone):
    section = (ROOT / "README.md").read_text().split("## On a cluster")[1].split("\n## ")[0]
    (clone / "job.py").write_text(re.search(r"```python no-run\n(.*?)```", section, re.DOTALL)[1])
    commands = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1].splitlines()
    overrides = {"jobmanager.hosts": "127.0.0.1:0", "env.pid.dir": str(clone / "run")}
    environment = {
        **os.environ,
        "ACTORFLOW_OVERRIDES": json.dumps(overrides),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "IPYTHONDIR": str(clone / "ipython"),
        "COLUMNS": "200",
    }

    def run(command, typed=""):
        done = subprocess.run(
            command, shell=True, cwd=clone, input=typed, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert 0 == done.returncode, (command, done.stdout, done.stderr)
        return done.stdout

    install, start, submit, shell, stop = commands
    run(install)
    try:
        assert "2 TaskManagers with 4 slots have registered" in run(start)
        assert run(submit).startswith("submitted job digits-")
        tree = run(shell, "tree()\n")
        assert "/jobs/digits " in tree
        assert 2 == len(set(re.findall(r"demo-taskmanager-\w+/task-manager", tree)))
    finally:
        assert ["taskmanager-2 stopped", "taskmanager-1 stopped", "jobmanager-1 stopped"] == run(stop).splitlines()
