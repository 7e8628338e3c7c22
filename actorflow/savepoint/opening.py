"""Opens what a job can go on from: a savepoint, or a checkpoint that was retained. Both are directories with a `manifest.json`."""

from __future__ import annotations

from actorflow.savepoint.files import home_of, manifest_bytes, read_manifest, remove_savepoint
from actorflow.storage.checkpoint_files import MANIFEST, files_of_part
from actorflow.storage.checkpoint_files import read_manifest as read_checkpoint
from actorflow.storage.files import join, remove
from actorflow.wire.manifest import Manifest
from actorflow.wire.savepoint_manifest import Savepoint, is_savepoint


def open_snapshot(path: str) -> tuple[str, Savepoint | Manifest]:
    """Return the URI of a snapshot's directory, and what its manifest says; files of a checkpoint are named by absolute URIs.

    Args:
        path: the directory, or the manifest in it.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    home = home_of(path)
    if is_savepoint(manifest_bytes(home)):
        return home, read_manifest(home)
    return home, read_checkpoint(home)


def remove_snapshot(path: str) -> None:
    """Remove a savepoint, or a checkpoint with those of its files that no other can share.

    Raises:
        CheckpointError: if there is none, or it is damaged.
        SinkError: if something cannot be removed.
    """
    home, snapshot = open_snapshot(path)
    if isinstance(snapshot, Savepoint):
        remove_savepoint(home, snapshot)
        return
    remove(join(home, MANIFEST), missing_ok=True)
    files = [file for vertex in snapshot.vertices for part in vertex.parts for file in files_of_part(part)]
    for file in files:
        if file.uri.startswith(f"{home}/"):
            remove(file.uri, missing_ok=True)
