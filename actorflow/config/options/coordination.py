"""Which cluster this is, where its JobManagers are, and how one of them becomes the leader."""

from __future__ import annotations

from actorflow.config.kinds import TEXT, TEXTS, whole
from actorflow.config.option import Option

CLUSTER_ID = Option(
    "cluster.id",
    TEXT,
    "default",
    "Name of the cluster, which tells it from others on the same hosts.",
)
JOBMANAGER_HOSTS = Option(
    "jobmanager.hosts",
    TEXTS,
    (),
    "Where the JobManagers listen: `host:port` of each. More than one need high availability.",
)
JOBMANAGER_ADDRESS = Option(
    "jobmanager.rpc.address",
    TEXT,
    "127.0.0.1",
    "Host of the JobManager, if `jobmanager.hosts` does not say.",
)
JOBMANAGER_PORT = Option(
    "jobmanager.rpc.port",
    whole(0, 65535),
    6123,
    "TCP port of the JobManager, if `jobmanager.hosts` does not say; 0 takes a free one, which only nodes on the same host find.",
)
RESULTS_MAX = Option(
    "jobstore.max-capacity",
    whole(0),
    1_000,
    "How many jobs that are over a cluster remembers.",
)
