"""Which cluster this is, where its JobManagers are, and how one of them becomes the leader."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, TEXT, TEXTS, choice, duration, optional, whole
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

RESULTS_EXPIRE = Option(
    "jobstore.expiration-time",
    duration(0.0),
    3600.0,
    "How long the JobManager that leads remembers a job that is over; one that comes to lead counts from then on.",
)

# --- high availability --------------------------------------------------------------------------------------------------------

HA_TYPE = Option(
    "high-availability.type",
    choice("none", "zookeeper"),
    "none",
    "Who chooses the leader among several JobManagers. `none`: there is one JobManager, and no server is needed.",
)
HA_CLUSTER_ID = Option(
    "high-availability.cluster-id",
    optional(TEXT),
    None,
    "Name of the cluster in ZooKeeper and in the storage directory: several clusters may share both.",
    unset="as `cluster.id`",
)
HA_STORAGE = Option(
    "high-availability.storageDir",
    optional(TEXT),
    None,
    "Where submitted jobs are stored for the next leader: a directory, or a URI, that every JobManager can reach; "
    "and every TaskManager, if `execution.checkpointing.dir` is not set.",
    unset="an error, with `zookeeper`",
)
ZOOKEEPER_QUORUM = Option(
    "high-availability.zookeeper.quorum",
    optional(TEXT),
    None,
    "The servers of the ZooKeeper ensemble: `host:port,host:port,…`.",
    unset="an error, with `zookeeper`",
)
ZOOKEEPER_ROOT = Option(
    "high-availability.zookeeper.path.root",
    TEXT,
    "/actorflow",
    "Node of ZooKeeper below which each cluster has one of its own.",
)
ZOOKEEPER_SESSION_TIMEOUT = Option(
    "high-availability.zookeeper.client.session-timeout",
    duration(0.1),
    10.0,
    "How long a JobManager that is silent may still be the leader: shorter takes over sooner, longer bears longer pauses. The servers bound it. "
    "Flink's 60 s suit a JVM that collects garbage.",
)
ZOOKEEPER_CONNECTION_TIMEOUT = Option(
    "high-availability.zookeeper.client.connection-timeout",
    duration(0.01),
    15.0,
    "How long a call waits for a connection before it fails.",
)
ZOOKEEPER_RETRY_WAIT = Option(
    "high-availability.zookeeper.client.retry-wait",
    duration(0.001),
    1.0,
    "Time between two attempts of a call that had no answer, and the longest between two attempts to connect.",
)
ZOOKEEPER_RETRIES = Option(
    "high-availability.zookeeper.client.max-retry-attempts",
    whole(0),
    3,
    "How often a call that had no answer is made again.",
)
ZOOKEEPER_TOLERATE_SUSPENDED = Option(
    "high-availability.zookeeper.client.tolerate-suspended-connections",
    FLAG,
    False,
    "Whether a leader that is not connected goes on for as long as its session lives for sure: a third of the session's timeout.",
)
ZOOKEEPER_ACL = Option(
    "high-availability.zookeeper.client.acl",
    choice("open", "creator"),
    "open",
    "Who may use the cluster's nodes in ZooKeeper: everybody, or who has the `authorization` that made them.",
)
ZOOKEEPER_AUTHORIZATION = Option(
    "high-availability.zookeeper.client.authorization",
    optional(TEXT),
    None,
    "What a node says to ZooKeeper who it is: `scheme:credential`, such as `digest:user:password`.",
    secret=True,
    unset="nothing",
)
