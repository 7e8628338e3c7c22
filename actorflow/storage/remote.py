"""File systems behind a URI scheme: pyarrow's own first, then everything fsspec knows.

pyarrow has native clients for the stores people use most, without a further package. fsspec has the others, and wraps
pyarrow's so that one class here serves both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from actorflow.storage.contract import FileInfo, is_hidden

_NATIVE_SCHEMES = frozenset({"s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"})
_EXTRA_OF_SCHEME = {
    "az": "abfs",
    "adl": "adl",
    "dbfs": "dbfs",
    "dropbox": "dropbox",
    "ftp": "http",
    "git": "git",
    "github": "github",
    "http": "http",
    "https": "http",
    "oci": "oci",
    "sftp": "sftp",
    "smb": "smb",
    "ssh": "ssh",
    "webhdfs": "http",
}


class UnsupportedScheme(OSError):  # noqa: N818 - the condition is the name
    """A URI whose scheme no installed file system knows. `hint` says what to install."""

    def __init__(self, scheme: str, hint: str) -> None:
        super().__init__(None, f"no file system for '{scheme}://' is installed")
        self.hint = hint


class RemoteFileSystem:
    """An fsspec file system, as actorflow's contract.

    Args:
        files: an `fsspec.AbstractFileSystem`.
        prefix: what stands before a path of it to make a URI.
    """

    __slots__ = ("_files", "_prefix")

    def __init__(self, files: Any, prefix: str) -> None:
        self._files = files
        self._prefix = prefix

    def open_input(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        if self._files.isdir(path):
            raise IsADirectoryError(None, "is a directory")
        return cast("BinaryIO", self._files.open(path, "rb"))

    def open_output(self, path: str, *, private: bool = False) -> BinaryIO:  # noqa: ARG002 - a store has rules of its own
        """Create a file, or empty it, for writing. On object stores it appears when it is closed."""
        return cast("BinaryIO", self._files.open(path, "wb"))

    def find(self, path: str) -> Iterator[FileInfo]:
        """Return the file at `path`, or the files below it."""
        top = self._files.info(path)
        if top["type"] == "file":
            yield FileInfo(self._uri(path), int(top["size"]))
            return
        base = path.rstrip("/") + "/"
        for name, info in self._files.find(path, detail=True).items():
            if not any(map(is_hidden, str(name).removeprefix(base).split("/"))):
                yield FileInfo(self._uri(str(name)), int(info["size"]))

    def names(self, path: str) -> Iterator[str]:
        """Return the names of the files in a directory, as they are now."""
        self._files.invalidate_cache(path)
        for info in self._files.ls(path, detail=True):
            if info["type"] == "file":
                yield str(info["name"]).rpartition("/")[2]

    def glob(self, pattern: str) -> Iterator[str]:
        """Return the paths that match. fsspec lets a wildcard match a leading dot; the contract does not."""
        plain = pattern.split("/")
        for path in self._files.glob(pattern):
            names = str(path).split("/")
            if not any(name.startswith(".") and name not in plain for name in names):
                yield str(path)

    def exists(self, path: str) -> bool:
        """Return whether there is something at `path`."""
        return bool(self._files.exists(path))

    def rename(self, path: str, target: str) -> None:
        """Give a file another name."""
        self._files.mv(path, target)

    def duplicate(self, path: str, target: str) -> None:
        """Copy a file, without its bytes coming here where the store can do that."""
        self._files.cp_file(path, target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._files.rm_file(path)

    def make_directory(self, path: str, *, private: bool = False) -> None:  # noqa: ARG002 - as above
        """Make a directory and its parents, unless they exist."""
        self._files.makedirs(path, exist_ok=True)

    def _uri(self, path: str) -> str:
        return self._prefix + path


def connect(uri: str) -> tuple[RemoteFileSystem, str]:
    """Return the file system of a URI, and the URI's path in it.

    Raises:
        UnsupportedScheme: if nothing that is installed knows the scheme.
        OSError: if the store cannot be reached.
    """
    scheme = uri.partition("://")[0]
    files, path = _native(uri) if scheme in _NATIVE_SCHEMES else _fsspec(uri, scheme)
    prefix = uri.removesuffix(path) if path and uri.endswith(path) else f"{scheme}://"
    return RemoteFileSystem(files, prefix), path


def _native(uri: str) -> tuple[Any, str]:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    try:
        files, path = fs.FileSystem.from_uri(uri)
    except ValueError as error:  # pyarrow's ArrowInvalid: a URI it cannot parse
        raise OSError(None, str(error)) from error
    return ArrowFSWrapper(files), str(path)


def _fsspec(uri: str, scheme: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, path = fsspec.url_to_fs(uri)
    except ImportError as error:
        extra = _EXTRA_OF_SCHEME.get(scheme)
        hint = f"pip install 'fsspec[{extra}]' on every node" if extra else str(error)
        raise UnsupportedScheme(scheme, hint) from error
    except ValueError as error:
        raise UnsupportedScheme(scheme, "use a path, file://, s3://, gs://, hdfs://, abfs://, or a scheme fsspec knows") from error
    return files, str(path)
