"""The files of a native savepoint: the format of checkpoints, and all of it in one directory, which can be moved and needs no other.

    <home>/part-<subtask>-<random>     what one subtask has told
    <home>/layer-<random>              keyed state: written for the savepoint, or the file of a checkpoint, linked where links are, else copied
    <home>/manifest.json               written last; it says of itself that it belongs to a savepoint

What a checkpoint has stored is not written again, and no checkpoint refers to what is here: either side can be removed without the other.
"""

from __future__ import annotations

import contextlib
import uuid

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.storage.checkpoint_files import plain_name, read_state, write_file
from actorflow.storage.files import Pace, duplicate, join, list_files, make_directory, remove
from actorflow.storage.manifest_files import write_manifest_in
from actorflow.wire.manifest import InlineState, Manifest, StoredFile


class NativeSavepoint:
    """Writes a savepoint, or one subtask's part of it.

    Args:
        home: URI of its directory, which no other savepoint has.
        inline_bytes_max: state up to this size stands in the manifest instead of a file of its own.
        pace: waits until so many bytes of state may be written; what is linked or copied elsewhere costs nothing here.
    """

    def __init__(self, home: str, inline_bytes_max: int = 0, pace: Pace | None = None) -> None:
        self._home = home
        self._inline_bytes_max = inline_bytes_max
        self._pace = pace
        self._begun: list[str] = []

    def write_state(self, subtask: str, data: bytes) -> StoredFile | InlineState:
        """Secure the state of a subtask; return what the manifest says of it.

        Raises:
            CheckpointError: if it cannot be written.
        """
        if len(data) <= self._inline_bytes_max:
            return InlineState(data)
        return self._write(f"part-{plain_name(subtask)}-{uuid.uuid4().hex[:12]}", data)

    def write_layer(self, data: bytes) -> StoredFile:
        """Secure a layer of keyed state. Errors: see `write_state`."""
        return self._write(f"layer-{uuid.uuid4().hex}", data)

    def take(self, file: StoredFile) -> StoredFile:
        """Return a file of this savepoint with what is in a checkpoint's.

        Raises:
            CheckpointError: if that one is missing or truncated, or this one cannot be written.
        """
        if file.uri.startswith(f"{self._home}/"):
            return file
        if file.offset is not None:  # the rest of the file is others'
            return self.write_layer(read_state(file))
        target = join(self._home, f"layer-{uuid.uuid4().hex}")
        try:
            (found,) = list_files(file.uri)
            if found.size_bytes != file.size_bytes:
                raise CheckpointError(
                    f"'{file.uri}' has {found.size_bytes} bytes, {file.size_bytes} were written", hint="it is truncated or damaged"
                )
            make_directory(self._home, private=True)
            self._begun.append(target)
            duplicate(file.uri, target)
        except ActorflowError as error:
            raise CheckpointError(f"cannot take state into the savepoint: {error.message}", hint=error.hint) from error
        return StoredFile(target, file.size_bytes, file.checksum)

    def complete(self, manifest: Manifest) -> str:
        """Make the savepoint whole; return the URI of its directory. What of it stands elsewhere is taken.

        Args:
            manifest: with absolute URIs of the files.

        Raises:
            CheckpointError: if it cannot be; then nothing is left of what was written for it here.
        """
        try:
            write_manifest_in(self._home, manifest.with_files(self.take))
        except BaseException:
            self.withdraw()
            raise
        return self._home

    def withdraw(self) -> None:
        """Remove what was written here: nobody will hear of it."""
        for uri in self._begun:
            with contextlib.suppress(ActorflowError):
                remove(uri, missing_ok=True)

    def _write(self, name: str, data: bytes) -> StoredFile:
        file = write_file(self._home, name, data, self._pace)
        self._begun.append(file.uri)
        return file
