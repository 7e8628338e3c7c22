"""What a node knows of one other node, and the frames that wait for it.

    unknown ─ wanted ─► waiting ─ connection ─► greeting ─ its hello ─► up
                           ▲ └── too long ──► lost                      │
                           └──────────── connection broken ◄────────────┤
                                                             bye ──► lost

A peer is *wanted* when something is to be sent to it or watched there. What is sent while it is not up waits, in order. One that is neither
up nor connected nor wanted is idle, and in the end `Links` retires it.
"""

from __future__ import annotations

from collections import deque

from actorflow.ids import NodeId
from actorflow.transport.addresses import Location


class Peer:
    """One other node. A record without behaviour but its queue: `Links` decides.

    Attributes:
        node: its id.
        identity: its id as the socket knows it.
        locations: where it listens, best knowledge.
        key: the CURVE key that it was first seen with, or announced with; empty if none was.
        dialled: where this node connects to it, if it does.
        knocked: where this node knocks for it, if it does.
        connected: there is a connection, as far as is known.
        up: greeted; frames flow.
        incarnation: its life, once greeted; kept while it is away, so that a restart is noticed.
        attempt: number of this node's attempt to agree with it: another one with each connection, and when that breaks.
        their_attempt: number of its attempt, by its last hello.
        told: a frame went to it since the last tick.
        wanted_at_s: since when it is wanted, not up, and nobody seems to be there; or None.
        idle_since_s: tick at which it was found idle, or None.
    """

    __slots__ = (
        "attempt",
        "connected",
        "dialled",
        "identity",
        "idle_since_s",
        "incarnation",
        "key",
        "knocked",
        "locations",
        "node",
        "their_attempt",
        "told",
        "unsent",
        "unsent_bytes",
        "up",
        "wanted_at_s",
    )

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.identity = node.encode()
        self.locations: tuple[Location, ...] = ()
        self.key = ""
        self.dialled: Location | None = None
        self.knocked: Location | None = None
        self.connected = False
        self.up = False
        self.incarnation = 0
        self.attempt = 0
        self.their_attempt = 0
        self.told = False
        self.wanted_at_s: float | None = None
        self.idle_since_s: float | None = None
        self.unsent: deque[bytes] = deque()
        self.unsent_bytes = 0

    def keep(self, frame: bytes) -> None:
        """Queue a frame until the peer is up."""
        self.unsent.append(frame)
        self.unsent_bytes += len(frame)

    def sent(self) -> None:
        """Remove the oldest waiting frame."""
        self.unsent_bytes -= len(self.unsent.popleft())

    def drop_unsent(self) -> int:
        """Drop what waits, and return how many frames that were."""
        dropped = len(self.unsent)
        self.unsent.clear()
        self.unsent_bytes = 0
        return dropped
