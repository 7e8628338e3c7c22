"""What transports say to each other before and around the messages of actors.

    A (dialled)                         B (dials: its id is greater)
        ◄──── connection, empty probes ────►
        ──── Hello(incarnation a, seen 0) ──►
        ◄─── Hello(incarnation b, seen 0) ───
        ──── Hello(incarnation a, seen b) ──►      each side answers until it sees that the other has seen it;
        ◄─── Hello(incarnation b, seen a) ───      then frames of every kind flow

A node's *incarnation* is a random number that it draws at its start. A `Hello` of another incarnation says that the node was restarted: what
was on its way to or from the old one is dropped.
"""

from __future__ import annotations

from actorflow.wire.message import Message, MessageCodec


class Hello(Message, frozen=True):
    """Who the sender is.

    Attributes:
        node: node id; must equal the identity of the connection.
        incarnation: the sender's life.
        seen: the receiver's life that the sender has accepted, or 0.
        endpoints: where the sender listens.
    """

    node: str
    incarnation: int
    seen: int
    endpoints: tuple[str, ...]


class Knock(Message, frozen=True):
    """A node with a lesser id asks to be dialled."""

    node: str
    endpoints: tuple[str, ...]


greeting_codec = MessageCodec([Hello, Knock])
"""Encodes and decodes `Hello` and `Knock`."""
