"""A directory as one file, and back: what it takes to send one as a blob.

The archive is a tar of directories and regular files, nothing else; the same files give the same bytes, whoever owns them and whenever they were
written. `unpack` takes nothing else either: no link, no device, no name that leads out of its directory, nothing twice.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from actorflow.errors import SourceError

_COPY_BYTES = 1 << 20


def entries(directory: Path) -> Iterator[tuple[str, Path]]:
    """Give what is below a directory, with its name there, sorted: directories before what is in them.

    A link to a file counts as the file. One to a directory is not followed, for it may form a loop; it is left out, as is what is neither file
    nor directory.
    """
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield entry.name, Path(entry.path)
            yield from ((f"{entry.name}/{name}", path) for name, path in entries(Path(entry.path)))
        elif entry.is_file():
            yield entry.name, Path(entry.path)


def pack(directory: Path, target: BinaryIO) -> None:
    """Write all files below a directory to an archive.

    Raises:
        OSError: if one cannot be read, or the archive not be written.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in entries(directory):
            member = tarfile.TarInfo(name)
            if path.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            else:
                with path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                    archive.addfile(member, file)


def unpack(source: Path, target: Path) -> None:
    """Write the files of an archive below a directory that does not exist yet. After an error, what was written is left to the caller.

    Raises:
        SourceError: if it is no archive, or has in it what `pack` does not put there.
        OSError: if a file cannot be written.
    """
    target.mkdir()
    try:
        with tarfile.open(source, mode="r:") as archive:
            for member in archive:
                _unpack_member(archive, member, target)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise SourceError(f"cannot unpack '{source}': it is no archive of ours: {error}") from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    path = target / _inside(member.name)
    if member.isdir():
        path.mkdir()
        return
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
        raise SourceError(f"cannot unpack '{member.name}': it is neither a file nor a directory")
    file = archive.extractfile(member)
    assert file is not None, "a regular file has contents"
    with path.open("xb") as copy:
        shutil.copyfileobj(file, copy, _COPY_BYTES)
    if path.stat().st_size != member.size:
        raise SourceError(f"cannot unpack '{member.name}': the archive ends before it does")
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _inside(name: str) -> str:
    """Return a name if it stays below the directory it is unpacked in."""
    if "\0" in name or any(part in {"", ".", ".."} for part in name.split("/")):
        raise SourceError(f"cannot unpack {name!r}: it leads elsewhere")
    return name
