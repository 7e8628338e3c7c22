"""Coordination by a ZooKeeper ensemble. Home of kazoo.

connection.py    the session, its calls, the nodes' paths      fence.py       writes that only the leader can make
election.py      runs `protocol.nodes.leadership`                    retrieval.py   who leads, for everybody else
stores.py        jobs, checkpoints, results
"""

from __future__ import annotations

from actorflow.clock import SystemClock
from actorflow.config import Config, options
from actorflow.coordination.contract import Coordination
from actorflow.coordination.zookeeper.connection import Connection
from actorflow.coordination.zookeeper.election import ZooKeeperElection
from actorflow.coordination.zookeeper.fence import Fence
from actorflow.coordination.zookeeper.retrieval import ZooKeeperRetrieval
from actorflow.coordination.zookeeper.stores import ZooKeeperJobs, ZooKeeperPointers, ZooKeeperResults
from actorflow.protocol.nodes.leadership import Leadership
from actorflow.storage import files


def open_zookeeper(config: Config, quiet_s: float = 0.0) -> Coordination:
    """Return the coordination of a cluster by ZooKeeper; see `coordination.open_coordination`."""
    storage = config[options.HA_STORAGE]
    assert storage is not None, "the rules of the options see to it"
    connection = Connection(config, quiet_s)
    fence = Fence(connection)
    machine = Leadership(
        session_timeout_s=connection.session_timeout_s,
        retry_s=connection.retry_wait_s,
        tolerate_suspended=config[options.ZOOKEEPER_TOLERATE_SUSPENDED],
    )
    election = ZooKeeperElection(connection, fence, machine, SystemClock())

    def close() -> None:
        election.close()
        connection.close()

    home = files.join(files.as_uri(storage), connection.paths.home.rpartition("/")[2])
    return Coordination(
        election,
        ZooKeeperRetrieval(connection),
        ZooKeeperJobs(connection, fence, files.join(home, "jobs")),
        ZooKeeperPointers(connection, fence),
        ZooKeeperResults(connection, fence, config[options.RESULTS_MAX]),
        close,
        home,
    )
