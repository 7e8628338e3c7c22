"""The chaos command, for a bounded number of rounds: more are played by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "scripts" / "chaos_rounds.py"


@pytest.mark.slow
def test_a_job_whose_workers_are_killed_commits_what_an_undisturbed_one_commits():
    ended = subprocess.run(
        [sys.executable, CHAOS, "--rounds", "2", "--seed", "122"], capture_output=True, text=True, timeout=200, check=False
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    *rounds, total = ended.stdout.splitlines()
    assert ["hashmap", "rocksdb"] == [line.split()[2] for line in rounds]
    assert "2 rounds" in total
    assert " 0 kills" not in ended.stdout
