"""The processes of a cluster: where TaskManagers listen, where all keep their small files, and whether programs use it."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, TEXT, TEXTS, choice, optional, ports
from actorflow.config.option import Option

EXECUTION_TARGET = Option(
    "execution.target",
    choice("local", "cluster"),
    "local",
    "Where `af.run` runs a pipeline: on this machine by itself, or on the cluster that the configuration describes. "
    "`actorflow run --cluster` says `cluster`.",
)
EXECUTION_ATTACHED = Option(
    "execution.attached",
    FLAG,
    True,
    "Whether `af.run` waits for the end of what it has submitted to a cluster. `actorflow run --detach` says no.",
)
TASKMANAGER_HOSTS = Option(
    "taskmanager.hosts",
    TEXTS,
    (),
    "Hosts of the TaskManagers that `actorflow cluster start` starts, one for each time that a host is named. None is one on this host, "
    "and with a resource driver none.",
)
JOBMANAGER_BIND_HOST = Option(
    "jobmanager.bind-host",
    optional(TEXT),
    None,
    "Interface on which a JobManager listens, such as 0.0.0.0, where the name by which others find it is none of this host's own.",
    unset="the host by which others find it",
)
TASKMANAGER_HOST = Option(
    "taskmanager.host",
    TEXT,
    "127.0.0.1",
    "Where a TaskManager and its slot workers listen, and how others find them. Anything but loopback needs CURVE keys.",
)
TASKMANAGER_PORT = Option(
    "taskmanager.rpc.port",
    ports(),
    (0,),
    "TCP port of a TaskManager where it listens on TCP: a port, a range such as `50100-50200` of which the first free one is taken, or 0.",
)
RUN_DIRECTORY = Option(
    "env.pid.dir",
    optional(TEXT),
    None,
    "Directory where each cluster keeps process ids, and how its JobManager is reached, in a directory of its own.",
    unset="`actorflow-UID` in the directory for run-time files (`XDG_RUNTIME_DIR`), else in that for temporary files",
)
