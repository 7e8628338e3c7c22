"""Cached files of a job on this host: each is there once for a TaskManager, made by the first of its workers that asks; the others wait for it.

A file or directory is copied from its URI. One that its client has sent (`blob:`, see `protocol.blobs.blob`) is here as a blob, which the TaskManager has
fetched before there was a worker: it is linked, or unpacked.

    <directory of the job>/<digest of the URI>.lock     held by who copies
    <directory of the job>/<digest of the URI>.part/    while it is copied
    <directory of the job>/<digest of the URI>/<name>   a copy that is whole

Workers are processes, and one that copies may be killed: the kernel gives its lock up, and the next one begins anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from actorflow.errors import SourceError
from actorflow.protocol.blobs.blob import SentFile
from actorflow.storage.archives import entries, unpack
from actorflow.storage.blob_files import BlobFiles
from actorflow.storage.files import list_files, local_path, open_input

_COPY_BYTES = 1 << 20


class FileCache:
    """The cached files of one job.

    Args:
        files: their URIs, by name.
        directory: where copies are kept; None if the job has no files.
        blobs: where the TaskManager keeps blobs; None where nobody sends any.
    """

    def __init__(self, files: Mapping[str, str], directory: Path | None, blobs: Path | None = None) -> None:
        self._files = files
        self._directory = directory
        self._blobs = blobs

    def path(self, name: str) -> str:
        """Return the local path of a file or directory, which is copied if it is not here yet.

        Raises:
            KeyError: if the pipeline has no file of this name.
            SourceError: if it cannot be read, or not be kept here.
        """
        if name not in self._files:
            raise KeyError(f"the pipeline has no cached file '{name}'; it has {', '.join(sorted(self._files)) or 'none'}")
        assert self._directory is not None, "a job with cached files has a directory for them"
        uri = self._files[name].rstrip("/")
        whole = self._directory / hashlib.sha256(uri.encode()).hexdigest()[:32]
        copy = whole / (os.path.basename(uri) or "root")  # noqa: PTH119 - a URI is no path
        if not whole.exists():
            try:
                with _alone(whole.with_suffix(".lock")):
                    if not whole.exists():
                        self._make(uri, whole, copy.name)
            except OSError as error:
                raise SourceError(f"cannot keep cached file '{name}' at '{whole}': {error.strerror or error}") from error
        return str(copy)

    def _make(self, uri: str, whole: Path, name: str) -> None:
        """Make a copy, and give it its name when it is whole."""
        part = whole.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        sent = SentFile.parse(uri)
        local = local_path(uri)
        if sent is not None:
            assert self._blobs is not None, "who sends files has a TaskManager fetch them"
            blob = BlobFiles(self._blobs).path(sent.digest)
            unpack(blob, part / name) if sent.directory else os.link(blob, part / name)
        elif local is not None and Path(local).is_dir():
            _copy_tree(Path(local), part / name)
        else:
            _copy(uri, part / name)
        part.rename(whole)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy_tree(directory: Path, target: Path) -> None:
    """Copy what is below a directory of this host."""
    target.mkdir()
    for name, path in entries(directory):
        if path.is_dir():
            (target / name).mkdir()
        else:
            shutil.copy(path, target / name)


def _copy(uri: str, target: Path) -> None:
    """Copy a file, or all files below a directory."""
    for info in list_files(uri):
        inside = _below(info.uri, uri)
        path = target / inside if inside else target
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_input(info.uri) as source, path.open("xb") as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)
    if not target.exists():
        target.mkdir()  # an empty directory


def _below(uri: str, directory: str) -> str:
    """Return where a file is below a directory; nothing if it is the thing itself."""
    file, top = local_path(uri) or uri, local_path(directory) or directory
    inside = file.removeprefix(top).lstrip("/")
    if ".." in inside.split("/"):
        raise SourceError(f"cannot cache '{uri}': it is not below '{directory}'")
    return inside
