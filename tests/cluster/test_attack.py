"""The attack command, for a bounded number of connections: more are made by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

ATTACK = Path(__file__).parents[2] / "scripts" / "attack.py"


@pytest.mark.slow
def test_strangers_harm_no_port_of_a_cluster():
    ended = subprocess.run(
        [sys.executable, ATTACK, "--connections", "1000", "--seed", "1"], capture_output=True, text=True, timeout=110, check=False
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    made, *processes, counted, verdict = ended.stdout.splitlines()
    assert made.startswith("1000 connections to 4 ports")
    assert 5 == len(processes)
    assert "unknownKeys" in counted
    assert verdict == "seed 1  unharmed"
