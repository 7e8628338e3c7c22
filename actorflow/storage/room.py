"""What is said where a directory that nodes share does not take a file: which directory, what the file needs, and what there is."""

from __future__ import annotations

import errno
import os
from typing import Final

from actorflow.errors import ActorflowError, StorageError
from actorflow.storage.files import local_path

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def not_stored(what: str, directory: str, size_bytes: int, error: ActorflowError) -> StorageError:
    """Return the error of who could not store something.

    Args:
        what: it is.
        directory: URI of where it was to go; it exists, or could not be made.
        size_bytes: how large it is.
        error: why not; whatever was written of it is removed.
    """
    cause = error.__cause__
    hint = error.hint
    if isinstance(cause, OSError) and cause.errno in _FULL:
        hint = f"it needs {size_bytes:,} bytes{_left(directory)}: make room in '{directory}', and submit it again"
    return StorageError(f"cannot store {what}: {error.message}", hint=hint, retry=error.retry)


def _left(directory: str) -> str:
    """Return what there is on the disk of a directory, if one can know."""
    path = local_path(directory)
    if path is None:
        return ""
    try:
        found = os.statvfs(path)
    except OSError:
        return ""
    if found.f_files and not found.f_favail:
        return ", and the disk takes no more files"
    return f", and {found.f_bavail * found.f_frsize:,} are free"
