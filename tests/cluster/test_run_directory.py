"""The run directory of a cluster is its user's own, whoever else can write beside it; what is found there of its nodes."""

import json
import os

import pytest

from actorflow.cluster.launching import Launcher, _began
from actorflow.cluster.run_directory import run_directory
from actorflow.config import Config
from actorflow.errors import ConfigError


def directory_below(parent):
    return run_directory(Config.of({"env.pid.dir": str(parent), "cluster.id": "demo"}, "test"))


def test_it_is_made_for_its_user_only(tmp_path):
    assert directory_below(tmp_path).stat().st_mode & 0o777 == 0o700


def test_a_link_is_refused_even_to_a_directory_of_ones_own(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "demo").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link, another user's, or can be written to by others"):
        directory_below(tmp_path)


def test_one_that_others_can_write_to_is_refused(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo").chmod(0o770)
    with pytest.raises(ConfigError, match="can be written to by others"):
        directory_below(tmp_path)


def test_the_log_of_a_node_is_the_one_that_it_has_open(tmp_path):
    """This process stands for the node: what tells is its pid file, and what it has open."""
    logs = tmp_path / "log"
    logs.mkdir()
    launcher = Launcher(tmp_path, logs)
    (tmp_path / "taskmanager-1.pid").write_text(json.dumps({"pid": os.getpid(), "began": _began(os.getpid())}))

    assert launcher.log_of("taskmanager-1") == logs / "taskmanager-1.out"
    with (logs / "demo-taskmanager-4711.log").open("w"):
        assert launcher.log_of("taskmanager-1") == logs / "demo-taskmanager-4711.log"
        assert launcher.log_of("taskmanager-2") == logs / "taskmanager-2.out"
