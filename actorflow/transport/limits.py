"""Every limit of the transport, by name and with its unit. The configuration's `actorflow.transport.*` and `heartbeat.*` end here."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.wire.frame import HEADER_BYTES, FrameLimits

_WRAPPING_BYTES = 4096
"""More than addresses and numbers take."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What an endpoint takes, holds and waits for.

    Attributes:
        control_bytes_max: largest frame of a control message; a larger message travels in pieces of this size.
        data_bytes_max: largest batch.
        blob_chunk_bytes: size of the pieces in which blobs travel.
        blob_chunks_in_flight_max: pieces to one peer that it has not taken yet; what control messages can be stuck behind.
        unsent_bytes_max: frames kept for a peer that is not connected; more, and the peer counts as lost. Also the largest control message.
        unsent_frames_max: the same, in frames.
        receive_frames_max: frames taken from the socket before the dispatcher goes on.
        heartbeat_interval_s: time between two signs of life of ZeroMQ's threads on a connection to another host, and twice the time between
            two looks at all peers.
        peer_timeout_s: time without anybody where a wanted peer listens, after which it is lost; a peer that nobody wants is dialled for as
            long. A connection to another host that is silent for half of it is cut.
        reconnect_initial_s: time to the first attempt to connect again, and between knocks.
        reconnect_max_s: longest time between two attempts.
        linger_s: how long closing waits for frames that are still to be sent.
    """

    control_bytes_max: int = 1 << 20
    data_bytes_max: int = 64 << 20
    blob_chunk_bytes: int = 256 << 10
    blob_chunks_in_flight_max: int = 4
    unsent_bytes_max: int = 256 << 20
    unsent_frames_max: int = 100_000
    receive_frames_max: int = 256
    heartbeat_interval_s: float = 10.0
    peer_timeout_s: float = 50.0
    reconnect_initial_s: float = 0.1
    reconnect_max_s: float = 1.0
    linger_s: float = 0.2

    @property
    def message_bytes_max(self) -> int:
        """The largest control message by itself, without its parcel and its envelope."""
        return self.unsent_bytes_max - _WRAPPING_BYTES

    @property
    def frames(self) -> FrameLimits:
        """The limits that a frame is held against before it is decoded."""
        return FrameLimits(self.control_bytes_max, self.data_bytes_max, self.blob_chunk_bytes)

    @property
    def frame_bytes_max(self) -> int:
        """The largest frame of any kind; the socket drops a connection that sends more."""
        return HEADER_BYTES + max(self.control_bytes_max, self.data_bytes_max, self.blob_chunk_bytes)
