"""Cached files of a job on this host: each is copied once for a TaskManager, by the first of its workers that asks; the others wait for it.

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
from actorflow.storage.files import list_files, local_path, open_input

_COPY_BYTES = 1 << 20


class FileCache:
    """The cached files of one job.

    Args:
        files: their URIs, by name.
        directory: where copies are kept; None if the job has no files.
    """

    def __init__(self, files: Mapping[str, str], directory: Path | None) -> None:
        self._files = files
        self._directory = directory

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
                        _copy(uri, whole, copy.name)
            except OSError as error:
                raise SourceError(f"cannot keep cached file '{name}' at '{whole}': {error.strerror or error}") from error
        return str(copy)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy(uri: str, whole: Path, name: str) -> None:
    """Copy a file, or all files below a directory, and give the copy its name when it is whole."""
    part = whole.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for info in list_files(uri):
        inside = _below(info.uri, uri)
        target = part / name / inside if inside else part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_input(info.uri) as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)
    (part / name).parent.mkdir(parents=True, exist_ok=True)
    if not (part / name).exists():
        (part / name).mkdir()  # an empty directory
    part.rename(whole)


def _below(uri: str, directory: str) -> str:
    """Return where a file is below a directory; nothing if it is the thing itself."""
    file, top = local_path(uri) or uri, local_path(directory) or directory
    inside = file.removeprefix(top).lstrip("/")
    if ".." in inside.split("/"):
        raise SourceError(f"cannot cache '{uri}': it is not below '{directory}'")
    return inside
