"""What can be seen of a transport from outside, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.ids import NodeId


@dataclass(frozen=True, slots=True)
class PeerObservation:
    """One peer.

    Attributes:
        node: its id.
        up: frames flow.
        endpoints: where it listens.
        unsent_frames: frames that wait for it.
        unsent_bytes: their size.
    """

    node: NodeId
    up: bool
    endpoints: tuple[str, ...]
    unsent_frames: int
    unsent_bytes: int


@dataclass(frozen=True, slots=True)
class TransportObservation:
    """A node's transport.

    Attributes:
        node: this node.
        endpoints: where it listens.
        peers: everyone it knows, in the order of meeting.
        frames_in: frames that were accepted or refused.
        bytes_in: their size.
        frames_out: frames handed to the socket for peers that are up.
        bytes_out: their size.
        dropped_frames: frames that waited for a peer that was lost.
        fenced_frames: frames for channels that are not, or no longer, known here.
        refused: frames refused, by reason.
        last_refusals: texts of the last refusals, oldest first.
        turned_away: connections without a known key.
        handshakes_failed: connections that have ended before they were let in, for whatever reason.
        blobs_waiting: blobs being sent or queued.
        channels: registered ends of channels.
    """

    node: NodeId
    endpoints: tuple[str, ...]
    peers: tuple[PeerObservation, ...]
    frames_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int
    dropped_frames: int
    fenced_frames: int
    refused: Mapping[str, int]
    last_refusals: tuple[str, ...]
    turned_away: int
    handshakes_failed: int
    blobs_waiting: int
    channels: int
