"""The chaos commands, for a bounded time: more is played by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
import zookeeper_server

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


@pytest.mark.slow
@pytest.mark.skipif(zookeeper_server.missing() is not None, reason=str(zookeeper_server.missing()))
def test_a_job_whose_leaders_are_killed_and_stopped_commits_the_same_and_never_two_of_them_act():
    ended = subprocess.run(
        [sys.executable, CHAOS.with_name("chaos_cluster.py"), "--seconds", "3", "--seed", "1", "--session-timeout", "1"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    blows, takeovers, history, verdict = ended.stdout.splitlines()
    assert "leader killed" in blows
    assert "SIGKILL of a leader to the job running again" in takeovers
    assert ", 0 of them by another than that of the epoch" in history
    assert verdict.endswith("identical")
