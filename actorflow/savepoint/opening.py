"""Opens what a job can go on from: a savepoint, or a checkpoint that was retained. Both are directories with a `manifest.json`."""

from __future__ import annotations

import posixpath

from actorflow.errors import ActorflowError
from actorflow.savepoint.files import home_of, manifest_bytes, read_manifest, remove_savepoint
from actorflow.storage.checkpoint_files import files_of_part
from actorflow.storage.files import join, list_files, prune, remove
from actorflow.storage.manifest_files import MANIFEST
from actorflow.storage.manifest_files import read_manifest as read_checkpoint
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
    """Remove a savepoint, or a checkpoint with those of its files that no other checkpoint of its job names; and its directory, if that is empty.

    Raises:
        CheckpointError: if there is none, or it is damaged.
        SinkError: if something cannot be removed.
    """
    home, snapshot = open_snapshot(path)
    if isinstance(snapshot, Savepoint):
        remove_savepoint(home, snapshot)
        prune(home)
        return
    remove(join(home, MANIFEST), missing_ok=True)
    job = home.rpartition("/")[0]
    shared = _named_by_others(job) if not snapshot.savepoint else frozenset()
    for uri in _files_of(snapshot):
        if uri.startswith(f"{home}/") or (uri.startswith(f"{job}/") and shared is not None and uri not in shared):
            remove(uri, missing_ok=True)
    prune(home)


def _named_by_others(job: str) -> frozenset[str] | None:
    """Return the files that the checkpoints in a job's directory name; None if that cannot be known."""
    try:
        others = {info.uri for info in list_files(job) if posixpath.basename(info.uri) == MANIFEST}
        return frozenset(uri for other in others for uri in _files_of(read_checkpoint(other)))
    except ActorflowError:
        return None


def _files_of(manifest: Manifest) -> list[str]:
    return [file.uri for vertex in manifest.vertices for part in vertex.parts for file in files_of_part(part)]
