"""`Leader`: who leads a cluster, and where to reach it. What an election publishes, and what everybody else acts upon.

The epoch fences: it grows with every grant, so whoever has seen a higher one refuses what a deposed leader still asks for.
"""

from __future__ import annotations

from typing import Final

from actorflow.ids import ActorPath, Address, NodeId
from actorflow.wire.message import Message

DISPATCHER_PATH: Final = ActorPath("/job-manager")
"""Of the actor that takes jobs, on the node of each JobManager."""

RESOURCE_MANAGER_PATH: Final = ActorPath("/resource-manager")
"""Of the actor that takes offers of slots."""

BLOB_SERVER_PATH: Final = ActorPath("/blob-server")
"""Of the actor that has the files and the code of jobs."""


class Leader(Message, frozen=True):
    """The JobManager that leads.

    Attributes:
        node: its node id.
        epoch: of its grant; positive.
        endpoints: where its node listens, as `transport.addresses` spells them.
        dispatcher: takes jobs.
        resource_manager: takes offers of slots.
        rest_url: of its REST server, if it has one.
    """

    node: NodeId
    epoch: int
    endpoints: tuple[str, ...]
    dispatcher: Address
    resource_manager: Address
    rest_url: str | None = None


def rest_url(host: str, port: int) -> str:
    """Return the URL of a REST server that listens there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
