"""`actorflow cluster`, where it needs no processes: what is refused before anything starts, and what a dry run shows."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from actorflow.cli.main import app


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A configuration of a node here, and one elsewhere; and whatever `ssh` is asked, it fails."""
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"cluster.id: tried\nenv.pid.dir: {tmp_path}\njobmanager.hosts: ['127.0.0.1:0']\n"
        "taskmanager.hosts: [there.example]\nactorflow.security.curve.key-file: node.key\n"
    )
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return file


def actorflow(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def over_ssh(conf, verb):
    return f"ssh -o BatchMode=yes there.example 'actorflow cluster {verb} {conf} --node taskmanager-1'\n"


def test_a_time_that_is_none_is_refused_before_anything_starts(conf):
    code, out, err = actorflow("cluster", "start", conf, "--wait", "abc")
    assert (2, "") == (code, out)
    assert "--wait: 'abc' is not a duration" in err
    assert not list(conf.parent.glob("tried/*.pid"))


def test_a_dry_run_shows_every_command_where_a_program_can_read_it(conf):
    code, out, err = actorflow("cluster", "start", conf, "--dry-run")
    assert (0, "") == (code, err)
    assert out.startswith(f"actorflow jobmanager --config {conf} -D jobmanager.rpc.address=127.0.0.1")
    assert out.endswith(over_ssh(conf, "start"))


def test_the_command_for_another_host_is_shown_beside_what_the_command_itself_says(conf):
    code, out, err = actorflow("cluster", "stop", conf)
    assert (1, "jobmanager-1 does not run\n") == (code, out)  # a host that cannot be told keeps no other node from being stopped
    assert err.startswith(over_ssh(conf, "stop"))
    assert "cannot stop taskmanager-1 on there.example (hint: does `ssh` log in there without a password?)" in " ".join(err.split())


def test_with_a_driver_no_task_manager_is_started_unless_one_is_named(tmp_path):
    file = tmp_path / "cluster.yaml"
    elastic = f"env.pid.dir: {tmp_path}\nactorflow.resourcemanager.driver: process\nslotmanager.number-of-slots.max: 4096\n"
    file.write_text(elastic)
    _, out, _ = actorflow("cluster", "start", file, "--dry-run")
    file.write_text(elastic + "taskmanager.hosts: [127.0.0.1]\n")
    _, named, _ = actorflow("cluster", "start", file, "--dry-run")
    assert (["jobmanager"], ["jobmanager", "taskmanager"]) == tuple(
        [line.split()[1] for line in text.splitlines()] for text in (out, named)
    )


@pytest.mark.slow
def test_where_no_zookeeper_answers_one_line_says_so_and_where_it_was_looked_for(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"cluster.id: gone\nenv.pid.dir: {tmp_path}\n"
        f"high-availability: {{type: zookeeper, zookeeper.quorum: '127.0.0.1:1', storageDir: {tmp_path}/ha}}\n"
    )
    command = [sys.executable, "-m", "actorflow.cli.main", "cluster", "status", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (1, "") == (done.returncode, done.stderr)
    said = "no JobManager answers: cannot find the JobManager of cluster 'gone': ZooKeeper at '127.0.0.1:1' does not answer"
    assert said == done.stdout.splitlines()[-1]
