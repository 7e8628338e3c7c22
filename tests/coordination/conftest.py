"""Clusters on a ZooKeeper server that know nothing of each other."""

import itertools

import pytest

from actorflow.config import Config
from actorflow.coordination import open_coordination

_clusters = itertools.count(1)


@pytest.fixture
def on_zookeeper(zookeeper, tmp_path):
    """Open nodes of one cluster on the server; `client` are options below `high-availability.zookeeper.client`."""
    cluster = f"cluster-{next(_clusters)}"
    opened = []

    def node(session="5s", cluster_id=cluster, **client):
        settings = {"session-timeout": session, "retry-wait": "50ms", "connection-timeout": "5s"}
        settings |= {name.replace("_", "-"): value for name, value in client.items()}
        ha = {"type": "zookeeper", "cluster-id": cluster_id, "storageDir": str(tmp_path / "ha")}
        ha["zookeeper"] = {"quorum": zookeeper.quorum, "client": settings}
        opened.append(open_coordination(Config.of({"high-availability": ha, "jobstore.max-capacity": 2})))
        return opened[-1]

    yield node
    for coordination in opened:
        coordination.close()
