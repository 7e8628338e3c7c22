"""Identities: small values that name things across processes.

A *path* names an actor inside its node (`/jobs/wordcount`); an *address* names it anywhere (`jm-1/jobs/wordcount`):
node id, then path. Machines speak of addresses only, so that one simulator can hold many nodes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NewType

JobId = NewType("JobId", str)
NodeId = NewType("NodeId", str)
OperatorId = NewType("OperatorId", str)
VertexId = NewType("VertexId", str)
ActorPath = NewType("ActorPath", str)
Address = NewType("Address", str)
ChannelId = NewType("ChannelId", int)
Deployment = NewType("Deployment", int)


@dataclass(frozen=True, slots=True, order=True)
class SubtaskId:
    """One parallel instance of a vertex (a chain of operators): `count/3`."""

    vertex: VertexId
    index: int

    def __str__(self) -> str:
        return f"{self.vertex}/{self.index}"


def address(node: NodeId, path: ActorPath) -> Address:
    """Return the address of the actor at `path` (which starts with a slash) on `node`."""
    assert path.startswith("/"), f"an actor path starts with a slash: {path!r}"
    return Address(f"{node}{path}")


def split_address(target: Address) -> tuple[NodeId, ActorPath]:
    """Return node and path of an address."""
    node, slash, path = target.partition("/")
    return NodeId(node), ActorPath(slash + path)


def unique_suffix() -> str:
    """Return 8 hexadecimal digits of operating-system randomness, to tell nodes and jobs of one name apart."""
    return os.urandom(4).hex()
