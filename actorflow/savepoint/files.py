"""The files of a savepoint: Parquet, one for each subtask and state, and the manifest, which is written last, by renaming it.

    <home>/manifest.json
    <home>/<operator>/<state>-<subtask>.parquet

The manifest names files relative to itself. Nothing is ever written over: a directory that has a manifest is refused.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.savepoint.layouts import KEYED_LAYOUTS, Rows
from actorflow.storage.files import Pace, as_uri, exists, join, make_directory, open_input, remove, rename, write_whole
from actorflow.storage.manifest_files import MANIFEST
from actorflow.wire.manifest import StoredFile, checksum
from actorflow.wire.savepoint_manifest import SavedFile, SavedState, Savepoint, decode_savepoint, encode_savepoint

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP_ROWS: Final = 1 << 16
_NAME_CHARACTERS_MAX: Final = 60


def home_of(path: str) -> str:
    """Return the URI of the directory that a savepoint is in; the manifest's own path is taken, too."""
    uri = as_uri(path).rstrip("/")
    return uri.rpartition("/")[0] if posixpath.basename(uri) == MANIFEST else uri


def write_rows(home: str, operator: str, state: str, subtask: int, rows: Rows, pace: Pace | None = None) -> SavedFile:
    """Secure what a subtask holds of a state, at some pace; return what the manifest says of it.

    Raises:
        CheckpointError: if it cannot be written; what was begun is removed.
    """
    data = _parquet(rows.table)
    path = f"{_plain(operator)}/{_plain(state)}-{subtask}.parquet"
    try:
        make_directory(join(home, posixpath.dirname(path)), private=True)
        write_whole(join(home, path), data, pace)
    except ActorflowError as error:
        raise CheckpointError(f"cannot store state '{state}' of '{operator}': {error.message}", hint=error.hint) from error
    return SavedFile(path, subtask, rows.table.num_rows, len(data), checksum(data), rows.columns, _groups(rows))


def _groups(rows: Rows) -> tuple[int, int] | None:
    if rows.layout not in KEYED_LAYOUTS or not rows.table.num_rows:
        return None
    import pyarrow.compute as pc

    found = pc.min_max(rows.table.column("key_group")).as_py()
    return found["min"], found["max"]


def read_rows(home: str, state: SavedState, file: SavedFile) -> Rows:
    """Return what a subtask held of a state, after a look whether the file is the one that was written.

    Raises:
        CheckpointError: if it is missing, truncated or damaged; it names the file.
    """
    return Rows(state.layout, read_table(home, file), file.columns, state.schema, state.ttl)


def read_table(home: str, file: SavedFile) -> pa.Table:
    """Return a file as a table. Errors: see `read_rows`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # On this thread alone: the last of Arrow's own threads to let go of the bytes may do so while the interpreter ends, which aborts the process.
        return pq.ParquetFile(pa.BufferReader(_bytes_of(home, file)), pre_buffer=False).read(use_threads=False)
    except pa.ArrowException as error:
        raise CheckpointError(f"'{join(home, file.path)}' cannot be read: {error}") from error


def _bytes_of(home: str, file: SavedFile) -> bytes:
    """Return the bytes of a file, after a look whether they are those that were written."""
    uri = join(home, file.path)
    try:
        with open_input(uri) as stream:
            data = stream.read()
    except ActorflowError as error:
        raise CheckpointError(f"state is missing: {error.message}", hint=error.hint) from error
    if len(data) != file.size_bytes:
        raise CheckpointError(f"'{uri}' has {len(data)} bytes, {file.size_bytes} were written", hint=_EDITED)
    if checksum(data) != file.checksum:
        raise CheckpointError(f"'{uri}' is damaged: its checksum is not that of what was written", hint=_EDITED)
    return data


_EDITED: Final = "it is truncated, damaged, or was edited in place: 'af.savepoint.read' edits a savepoint and writes a new one"


def copy_file(home: str, target: str, file: SavedFile) -> SavedFile:
    """Copy a file into another savepoint, under its name.

    Raises:
        CheckpointError: if it is missing or damaged, or cannot be written.
    """
    data = _bytes_of(home, file)
    try:
        make_directory(join(target, posixpath.dirname(file.path)), private=True)
        write_whole(join(target, file.path), data)
    except ActorflowError as error:
        raise CheckpointError(f"cannot copy '{file.path}': {error.message}", hint=error.hint) from error
    return file


def write_manifest(home: str, savepoint: Savepoint) -> str:
    """Make a savepoint whole; return its directory.

    Raises:
        CheckpointError: if it cannot be written, or there is one already.
    """
    location = join(home, MANIFEST)
    begun = f"{location}.{uuid.uuid4().hex[:8]}"
    try:
        if exists(location):
            raise CheckpointError(f"there is a savepoint in '{home}' already", hint="choose another directory")
        make_directory(home, private=True)
        write_whole(begun, encode_savepoint(savepoint))
        rename(begun, location)
    except CheckpointError:
        raise
    except ActorflowError as error:
        raise CheckpointError(f"cannot complete the savepoint in '{home}': {error.message}", hint=error.hint) from error
    return home


def read_manifest(home: str) -> Savepoint:
    """Return what a savepoint's manifest says.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    location = join(home, MANIFEST)
    return decode_savepoint(manifest_bytes(home), location)


def manifest_bytes(home: str) -> bytes:
    """Return the bytes of a manifest, be it of a savepoint or of a checkpoint.

    Raises:
        CheckpointError: if there is none.
    """
    location = join(home, MANIFEST)
    try:
        with open_input(location) as stream:
            return stream.read()
    except ActorflowError as error:
        raise CheckpointError(
            f"no savepoint or checkpoint at '{home}': {error.message}",
            hint="give the directory that holds 'manifest.json'; without that file it was never completed",
        ) from error


def remove_savepoint(home: str, savepoint: Savepoint) -> None:
    """Remove a savepoint: the manifest first, so that nothing half removed is taken for whole.

    Raises:
        SinkError: if something cannot be removed.
    """
    remove(join(home, MANIFEST), missing_ok=True)
    for operator in savepoint.operators:
        for state in operator.states:
            for file in state.files:
                remove(join(home, file.path), missing_ok=True)


def remove_states(home: str, states: Iterable[SavedState]) -> None:
    """Remove the files of states that no savepoint will ever name. One that cannot be removed stays: its directory has no manifest."""
    for state in states:
        for file in state.files:
            with contextlib.suppress(ActorflowError):
                remove(join(home, file.path), missing_ok=True)


def stored_files(home: str, states: Iterable[SavedState]) -> dict[str, StoredFile]:
    """Return the files of states by path, as a part of a checkpoint names them: so they are removed if it fails."""
    return {
        file.path: StoredFile(join(home, file.path), file.size_bytes, file.checksum) for state in states for file in state.files
    }


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
    data: bytes = buffer.getvalue().to_pybytes()
    return data


def _plain(name: str) -> str:
    """Return a name as it can stand in a file's name; where something had to go, it ends in a digest of the whole."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:_NAME_CHARACTERS_MAX].strip(".") or "-"
    return plain if plain == name else f"{plain}-{checksum(name.encode())[:8]}"
