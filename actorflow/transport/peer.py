"""What a node knows of one other node, and the frames that wait for it.

    unknown ─ wanted ─► waiting ─ connection ─► greeting ─ its hello ─► up
                           ▲ └── too long ──► lost                      │
                           └──────────── connection broken ◄────────────┤
                                                    silence, bye ──► lost

A peer is *wanted* when something is to be sent to it or watched there. What is sent while it is not up waits, in order.
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
        endpoints: where it listens, best knowledge.
        dialled: where this node connects to it, if it does.
        knocked: where this node knocks for it, if it does.
        connected: there is a connection, as far as is known.
        up: greeted; frames flow.
        incarnation: its life, once greeted; kept while it is away, so that a restart is noticed.
        heard: a frame of it came since the last tick.
        told: a frame went to it since the last tick.
        heard_at_s: tick by which its last frame had come.
        wanted_at_s: since when it is wanted and not up, or None.
    """

    __slots__ = (
        "connected",
        "dialled",
        "endpoints",
        "heard",
        "heard_at_s",
        "identity",
        "incarnation",
        "knocked",
        "node",
        "told",
        "unsent",
        "unsent_bytes",
        "up",
        "wanted_at_s",
    )

    def __init__(self, node: NodeId, now: float) -> None:
        self.node = node
        self.identity = node.encode()
        self.endpoints: tuple[str, ...] = ()
        self.dialled: Location | None = None
        self.knocked: Location | None = None
        self.connected = False
        self.up = False
        self.incarnation = 0
        self.heard_at_s = now
        self.heard = False
        self.told = False
        self.wanted_at_s: float | None = None
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
