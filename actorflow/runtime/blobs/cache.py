"""The blobs that a TaskManager has fetched: the shell of `protocol.blobs.fetching.BlobFetching`.

    /blob-cache         told which jobs need what, and by the blob server what it cannot send

A blob is here once, as a file that all workers of this TaskManager may read: `<directory>/<digest>`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.actor import MachineActor
from actorflow.ids import NodeId
from actorflow.protocol.blobs.fetching import BlobArrived, BlobBroken, BlobFetching, BlobNeedless, BlobsHere
from actorflow.runtime.blobs.intake import BlobIntake
from actorflow.storage.blob_files import BlobFiles
from actorflow.transport.blobs import BlobPiece


class BlobCache(MachineActor):
    """Fetches blobs and keeps them as files.

    Args:
        machine: decides.
        files: where they are kept.
        receive: has pieces of blobs handed to a function: `transport.endpoint.Endpoint.receive_blobs`.
        on_here: told of each job that has its blobs, or cannot have them.
    """

    def __init__(
        self,
        machine: BlobFetching,
        files: BlobFiles,
        receive: Callable[[Callable[[BlobPiece], None]], None],
        on_here: Callable[[BlobsHere], None],
    ) -> None:
        super().__init__(machine, on_report=self._reported)
        self._files = files
        self._receive = receive
        self._on_here = on_here
        self._intake = BlobIntake(files, machine.size_awaited, self._ended)

    def on_start(self) -> None:
        """Take what the blob server sends."""
        self._receive(self._intake.take)

    def _ended(self, _: NodeId, digest: str, reason: str | None) -> None:
        self.ctx.ref.tell_control(BlobArrived(digest) if reason is None else BlobBroken(digest, reason))

    def _reported(self, report: Any) -> None:
        match report:
            case BlobsHere():
                self._on_here(report)
            case BlobNeedless(digest=digest):
                gone = self._files.retire(digest)
                self.ctx.system.submit_work(gone.unlink)
            case _:
                raise AssertionError(f"it does not report {report!r}")
