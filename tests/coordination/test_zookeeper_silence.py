"""An ensemble that does not answer, or refuses: who looks for the leader can say so, in one line and with its address."""

import logging

import pytest

from actorflow.config import Config
from actorflow.coordination import open_coordination
from actorflow.coordination.zookeeper.connection import KazooLog

NOBODY = "127.0.0.1:1,127.0.0.1:2"


def options(quorum, tmp_path):
    return {"high-availability": {"type": "zookeeper", "storageDir": str(tmp_path / "ha"), "zookeeper.quorum": quorum}}


def test_where_nobody_answers_that_is_what_keeps_the_leader_from_being_found(tmp_path):
    coordination = open_coordination(Config.of(options(NOBODY, tmp_path)))
    coordination.retrieval.watch(lambda _: None)
    found = coordination.retrieval.obstacle()
    coordination.close()
    assert f"ZooKeeper at '{NOBODY}' does not answer" == found.message
    assert "is it running" in found.hint


def test_where_no_server_is_needed_nothing_is_in_the_way():
    for config in ({}, {"jobmanager.hosts": ["10.0.0.1:6123"]}):
        coordination = open_coordination(Config.of(config))
        assert coordination.retrieval.obstacle() is None
        coordination.close()


@pytest.mark.slow
def test_an_ensemble_that_answers_is_in_nobodys_way(on_zookeeper):
    coordination = on_zookeeper()
    coordination.results.read()
    assert coordination.retrieval.obstacle() is None


class TestTheLogOfAConnection:
    @pytest.fixture
    def log(self, caplog):
        caplog.set_level(logging.DEBUG, "kazoo.client")
        self.now = 0.0
        return KazooLog("zk:2181", 15.0, lambda: self.now)

    def said(self, caplog):
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    def test_warns_of_no_first_connection_only_when_that_takes_its_time(self, log, caplog):
        log.warning("Connection dropped: %s", "refused")
        self.now = 15.0
        log.warning("Connection dropped: %s", "refused")
        log.warning("Connection dropped: %s", "refused")
        message = "ZooKeeper at 'zk:2181': Connection dropped: refused"
        assert [("INFO", message), ("WARNING", message), ("DEBUG", message)] == self.said(caplog)

    def test_warns_at_once_of_a_connection_that_is_lost(self, log, caplog):
        log.info("Zookeeper connection established, state: CONNECTED")
        log.warning("Connection dropped: %s", "reset")
        assert ("WARNING", "ZooKeeper at 'zk:2181': Connection dropped: reset") == self.said(caplog)[-1]
