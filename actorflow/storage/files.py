"""Files by URI: the functions that the rest of actorflow reads and writes files with.

A URI is a plain path, `file://…`, or anything pyarrow or fsspec knows (`s3://`, `hdfs://`, `memory://`, …). Plain paths cost no import.
What cannot be read becomes a `SourceError`, what cannot be written a `SinkError`; both name the file and the reason.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from actorflow.errors import Retry, SinkError, SourceError
from actorflow.storage.contract import FileInfo, FileSystem
from actorflow.storage.local import LocalFileSystem

_LOCAL = LocalFileSystem()
_PACED_BYTES = 1 << 16
_WILDCARDS = frozenset("*?[")


Pace = Callable[[int], None]
"""Waits until so many bytes may be written."""


def as_uri(path: str | os.PathLike[str]) -> str:
    """Return a path as it is valid in every process: a local one becomes absolute, a URI stays as it is."""
    uri = os.fspath(path)
    return uri if "://" in uri else os.path.abspath(uri)  # noqa: PTH100 - keeps text that is no path yet, such as a glob


def join(directory: str, name: str) -> str:
    """Return the URI of `name` in `directory`."""
    return f"{directory.rstrip('/')}/{name}"


def local_path(uri: str) -> str | None:
    """Return the path of a file of this machine, or None for a URI of a remote file."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    return unquote(rest.removeprefix("localhost")) if scheme == "file" else None


def resolve(uri: str) -> tuple[FileSystem, str]:
    """Return the file system of a URI, and its path there.

    Raises:
        OSError: if no file system for the scheme is installed, or it cannot be reached.
    """
    path = local_path(uri)
    if path is not None:
        return _LOCAL, path
    from actorflow.storage.remote import connect

    return connect(uri)


@contextlib.contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn what goes wrong while reading `uri` into a `SourceError` that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise SourceError(f"cannot read '{uri}': {_reason(error)}", hint=_hint(error, "read"), retry=_retry(error)) from error


@contextlib.contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turn what goes wrong while writing `uri` into a `SinkError` that names it."""
    try:
        yield
    except OSError as error:
        raise SinkError(f"cannot write '{uri}': {_reason(error)}", hint=_hint(error, "write"), retry=_retry(error)) from error


def open_input(uri: str, offset: int = 0) -> BinaryIO:
    """Open a file for reading, `offset` bytes after its start.

    Raises:
        SourceError: if it does not exist, is a directory, or may not be read.
    """
    with reading(uri):
        files, path = resolve(uri)
        stream = files.open_input(path)
        if offset:
            stream.seek(offset)
        return stream


def open_output(uri: str) -> BinaryIO:
    """Create a file, or empty it, for writing.

    Raises:
        SinkError: if it cannot be created.
    """
    with writing(uri):
        files, path = resolve(uri)
        return files.open_output(path)


def sync(stream: BinaryIO) -> None:
    """Hand what was written to the file system, and make a local file survive a power cut.

    Raises:
        OSError: if it cannot be written; wrap the call in `writing`.
    """
    stream.flush()
    with contextlib.suppress(io.UnsupportedOperation, AttributeError):  # a remote file: closing it is what makes it durable
        os.fsync(stream.fileno())


def write_whole(uri: str, data: bytes, pace: Pace | None = None) -> None:
    """Write a file of the engine's own down to the disk, readable by nobody but its owner; remove it if that fails.

    Args:
        uri: the file.
        data: what goes there.
        pace: waits until so many bytes may be written; None never waits.

    Raises:
        SinkError: if it cannot be written.
    """
    try:
        with writing(uri):
            files, path = resolve(uri)
            with files.open_output(path, private=True) as stream:
                for start in range(0, len(data), _PACED_BYTES):
                    some = memoryview(data)[start : start + _PACED_BYTES]
                    if pace is not None:
                        pace(len(some))
                    stream.write(some)
                sync(stream)
    except BaseException:
        remove(uri, missing_ok=True)
        raise


def list_files(uri: str) -> list[FileInfo]:
    """Return the files that a path, a directory (with all below it) or a glob stands for, sorted by name.

    Below a directory, names that start with a dot or an underscore are skipped: unfinished output and metadata. A glob skips only
    names with a leading dot. A path that exists is never taken for a glob.

    Raises:
        SourceError: if nothing is there, or a directory may not be listed.
    """
    with reading(uri):
        files, path = resolve(uri)
        if _WILDCARDS.isdisjoint(path) or files.exists(path):
            return sorted(files.find(path), key=_by_uri)
        found = {info.uri: info for match in files.glob(path) for info in files.find(match)}
    if not found:
        raise SourceError(f"cannot read '{uri}': no file matches", hint="`*` stays within one directory, `**` crosses them")
    return sorted(found.values(), key=_by_uri)


def exists(uri: str) -> bool:
    """Return whether there is a file or a directory.

    Raises:
        SourceError: if that cannot be found out.
    """
    with reading(uri):
        files, path = resolve(uri)
        return files.exists(path)


def rename(uri: str, target: str) -> None:
    """Give a file another name in the same file system, in place of what had it: atomic where the file system can.

    Raises:
        SinkError: if it cannot be renamed.
    """
    with writing(target):
        files, path = resolve(uri)
        files.rename(path, resolve(target)[1])


def duplicate(uri: str, target: str) -> None:
    """Give what is in a file another file, which is there as long as nobody removes it. None of the two may be changed: they may be one.

    Raises:
        SourceError: if it cannot be read.
        SinkError: if the other one cannot be written.
    """
    if urlsplit(uri)[:2] == urlsplit(target)[:2]:
        with writing(target):
            files, path = resolve(uri)
            files.duplicate(path, resolve(target)[1])
    else:
        with open_input(uri) as source:
            data = source.read()
        write_whole(target, data)


def remove(uri: str, *, missing_ok: bool = False) -> None:
    """Remove a file.

    Args:
        uri: the file.
        missing_ok: whether it is fine if there is none.

    Raises:
        SinkError: if it cannot be removed.
    """
    with writing(uri):
        files, path = resolve(uri)
        try:
            files.remove(path)
        except FileNotFoundError:
            if not missing_ok:
                raise


def remove_all(directory: str, prefix: str) -> int:
    """Remove the files of a directory whose names begin with `prefix`, hidden ones too; return how many there were.

    Raises:
        SinkError: if one cannot be removed.
    """
    with writing(directory):
        files, path = resolve(directory)
        if not files.exists(path):
            return 0
        names = [name for name in files.names(path) if name.startswith(prefix)]
    for name in names:
        remove(join(directory, name), missing_ok=True)
    return len(names)


def prune(uri: str) -> None:
    """Remove a directory of this machine, and those in it, as far as they are empty. Stores have none; on disks of others they stay."""
    path = local_path(uri)
    if path is not None:
        for directory, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(directory)  # noqa: PTH106 - a name, not an object, for each of many


def make_directory(uri: str, *, private: bool = False) -> None:
    """Make a directory and its parents, unless they exist.

    Args:
        uri: the directory.
        private: whether nobody but their owner may enter those that are made.

    Raises:
        SinkError: if it cannot be made.
    """
    with writing(uri):
        files, path = resolve(uri)
        files.make_directory(path, private=private)


def _by_uri(info: FileInfo) -> str:
    return info.uri


def _reason(error: BaseException) -> str:
    match error:
        case FileNotFoundError():
            return "no such file or directory"
        case IsADirectoryError():
            return "it is a directory"
        case PermissionError():
            return "permission denied"
        case OSError(strerror=str(text)) if text:
            reason = text
        case _:
            reason = str(error) or type(error).__name__
    first = reason.splitlines()[0].rstrip(".")[:300]
    return first[:1].lower() + first[1:]


def _retry(error: BaseException) -> Retry:
    """Return whether the same may succeed later: a disk may have room again, a server may answer again."""
    lasting = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
    return Retry.BACKOFF if isinstance(error, OSError) and not isinstance(error, lasting) else Retry.NEVER


def _hint(error: BaseException, verb: str) -> str:
    match error:
        case FileNotFoundError():
            return "each node opens files itself: is it there on every machine?"
        case PermissionError():
            return f"the user that runs the node must be allowed to {verb} it, and to enter its directories"
        case EOFError() | zlib.error() | lzma.LZMAError():
            return "the file is truncated or damaged, or its name ends in .gz, .bz2 or .xz without being compressed"
        case _:
            hint = getattr(error, "hint", "")
            return hint if isinstance(hint, str) else ""
