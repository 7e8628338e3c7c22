"""What transports say to each other before and around the messages of actors.

    A (dialled)                         B (dials: its id is greater)
        ◄──── connection, empty probes ────►
        ──── Hello(incarnation a, seen 0) ──►
        ◄─── Hello(incarnation b, seen 0) ───
        ──── Hello(incarnation a, seen b) ──►      each side answers until it sees that the other has seen it;
        ◄─── Hello(incarnation b, seen a) ───      then frames of every kind flow

A node's *incarnation* is a random number that it draws at its start. A `Hello` of another incarnation says that the node was restarted: what
was on its way to or from the old one is dropped.

Within a life, each node numbers its *attempts* to agree with a peer: another one begins with each connection, and when it is given up.
A hello of the attempt that is known already is a repetition, and changes nothing; one of another attempt says that frames may be missing.
"""

from __future__ import annotations

from actorflow.wire.message import Message, MessageCodec


class Hello(Message, frozen=True):
    """Who the sender is.

    Attributes:
        node: node id; must equal the identity of the connection.
        incarnation: the sender's life.
        seen: the receiver's life that the sender has accepted, or 0.
        attempt: number of the sender's attempt.
        endpoints: where the sender listens.
    """

    node: str
    incarnation: int
    seen: int
    attempt: int
    endpoints: tuple[str, ...]


class Knock(Message, frozen=True):
    """A node with a lesser id asks to be dialled.

    Attributes:
        node: who asks.
        incarnation: its life.
        attempt: number of its attempt, as in `Hello`: a knock that is older than its last hello has been answered.
        endpoints: where it listens.
    """

    node: str
    incarnation: int
    attempt: int
    endpoints: tuple[str, ...]


greeting_codec = MessageCodec([Hello, Knock])
"""Encodes and decodes `Hello` and `Knock`."""
