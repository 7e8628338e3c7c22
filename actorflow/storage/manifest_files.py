"""The manifest of a checkpoint on disk: written beside its place and renamed, so that it is whole or not there; files are named relative to it."""

from __future__ import annotations

import os
import posixpath
import uuid
from typing import Final

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.storage.files import join, make_directory, open_input, rename, write_whole
from actorflow.wire.manifest import Manifest, decode_manifest, encode_manifest

MANIFEST: Final = "manifest.json"


def write_manifest_in(home: str, manifest: Manifest) -> str:
    """Write a manifest into its directory, by renaming it; return its URI.

    Raises:
        CheckpointError: if it cannot be written.
    """
    location, begun = join(home, MANIFEST), join(home, f"{MANIFEST}.{uuid.uuid4().hex[:8]}")
    try:
        make_directory(home, private=True)
        write_whole(begun, encode_manifest(_relative_to(manifest, home)))
        rename(begun, location)
    except ActorflowError as error:
        raise CheckpointError(f"cannot complete checkpoint {manifest.checkpoint}: {error.message}", hint=error.hint) from error
    return location


def read_manifest(location: str) -> Manifest:
    """Return a manifest, with the URIs of its files made absolute.

    Args:
        location: the manifest file, or the directory that it is in.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    if posixpath.basename(location) != MANIFEST:
        location = join(location, MANIFEST)
    try:
        with open_input(location) as stream:
            data = stream.read()
    except ActorflowError as error:
        raise CheckpointError(f"no checkpoint at '{location}': {error.message}", hint=error.hint) from error
    home = location.rpartition("/")[0]
    return decode_manifest(data, location).with_uris(lambda uri: _absolute(uri, home))


def _absolute(uri: str, home: str) -> str:
    """Return the URI of a file that a manifest in `home` names."""
    if not _is_relative(uri):
        return uri
    while uri.startswith("../"):
        uri, home = uri[3:], home.rpartition("/")[0]
    return join(home, uri)


def _is_relative(uri: str) -> bool:
    return "://" not in uri and not os.path.isabs(uri)  # noqa: PTH117 - text, which may be no path


def _relative_to(manifest: Manifest, home: str) -> Manifest:
    """Return a manifest that names the files of its own job relative to its directory."""
    parent = home.rpartition("/")[0]

    def relative(uri: str) -> str:
        if uri.startswith(f"{home}/"):
            return uri[len(home) + 1 :]
        return f"../{uri[len(parent) + 1 :]}" if uri.startswith(f"{parent}/") else uri

    return manifest.with_uris(relative)
