"""Takes blobs off the network, piece by piece, to files: only those that are awaited, no more of them than was said, and whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable

from actorflow.errors import ActorflowError, FrameRefused
from actorflow.ids import NodeId
from actorflow.protocol.blobs.blob import BlobRef
from actorflow.storage.blob_files import BlobFiles, IncomingBlob
from actorflow.transport.blobs import BlobPiece

log = logging.getLogger(__name__)

SizeAwaited = Callable[[NodeId, str], "int | None"]
"""Returns the size of a blob that a node may send; None if it may not."""

OnEnd = Callable[[NodeId, str, "str | None"], None]
"""Told of each blob that has ended: who sent it, its digest, and why it is not here if it is not."""


class BlobIntake:
    """Writes what arrives at one node. Used on the dispatcher's thread.

    Args:
        files: where blobs are written.
        size_awaited: see `SizeAwaited`.
        on_end: see `OnEnd`.
    """

    def __init__(self, files: BlobFiles, size_awaited: SizeAwaited, on_end: OnEnd) -> None:
        self._files = files
        self._size_awaited = size_awaited
        self._on_end = on_end
        self._incoming: dict[tuple[NodeId, str], IncomingBlob] = {}

    def take(self, piece: BlobPiece) -> None:
        """Take one piece.

        Raises:
            FrameRefused: if it is of a blob that is not awaited, or that cannot be kept; its sender is told.
        """
        at = piece.sender, piece.key
        if piece.aborted:
            self._give_up(at, "its sender did not send it to its end")
            return
        if piece.offset == 0:
            self._begin(at)
        incoming = self._incoming.get(at)
        if incoming is None:
            raise FrameRefused(f"blob '{piece.key[:80]}' from {piece.sender} refused: nobody here awaits it")
        try:
            incoming.write(piece.data)
            if piece.last:
                incoming.finish()
        except (OSError, ActorflowError) as error:
            self._give_up(at, str(error))
            raise FrameRefused(f"blob '{piece.key}' from {piece.sender} refused: {error}") from error
        if piece.last:
            del self._incoming[at]
            self._on_end(*at, None)

    def _begin(self, at: tuple[NodeId, str]) -> None:
        earlier = self._incoming.pop(at, None)
        if earlier is not None:
            earlier.abandon()
        size = self._size_awaited(*at)
        if size is None:
            return
        try:
            self._incoming[at] = self._files.incoming(BlobRef(at[1], size))
        except OSError as error:
            self._on_end(*at, str(error))
            raise FrameRefused(f"blob '{at[1]}' from {at[0]} refused: {error}") from error

    def _give_up(self, at: tuple[NodeId, str], reason: str) -> None:
        incoming = self._incoming.pop(at, None)
        if incoming is not None:
            log.warning("blob %s from %s was not taken: %s", at[1], at[0], reason)
            incoming.abandon()
            self._on_end(*at, reason)

    def close(self) -> None:
        """Remove what has not arrived whole."""
        for incoming in self._incoming.values():
            incoming.abandon()
        self._incoming.clear()
