"""The files of a job's checkpoints: immutable ones, and one manifest each, which is written last.

    <directory>/<job>/chk-17/part-<attempt>-<vertex>-<index>-<random>      what one subtask has told
    <directory>/<job>/chk-17/manifest.json                                 written as `manifest.json.<random>`, then renamed
    <directory>/<job>/shared/<attempt>-<random>                            files that several checkpoints refer to

A name is never used twice, so nothing that was written is ever written over: a deposed run can do no harm, and a torn file is never taken for
another. What no manifest and no running checkpoint refers to is an orphan, left by a process that died. It is collected when a later attempt of
the job has started: whatever that one writes, or a still later one, says so in its name, and what it builds upon is named by what it went on from.
"""

from __future__ import annotations

import contextlib
import copy
import re
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.storage.file_merging import FileMerging
from actorflow.storage.files import (
    Pace,
    exists,
    join,
    list_files,
    local_path,
    make_directory,
    open_input,
    prune,
    remove,
    write_whole,
)
from actorflow.storage.manifest_files import MANIFEST, read_manifest, write_manifest_in
from actorflow.wire.manifest import (
    InlineState,
    Manifest,
    StoredFile,
    SubtaskState,
    checksum,
)

if TYPE_CHECKING:
    from actorflow.storage.local_copies import LocalCopies
    from actorflow.storage.uploads import Upload

_OF_ATTEMPT: Final = re.compile(r"/(?:chk-\d+/part-|shared/)(\d+)-[^/]+")
"""What follows the job's directory in the URI of a file that an attempt has written."""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint on disk.

    Attributes:
        location: URI of its manifest.
        manifest: what it says; None if it cannot be used.
        problem: why not.
    """

    location: str
    manifest: Manifest | None
    problem: str = ""


class CheckpointFiles:
    """Writes, reads and removes the files of one job.

    Args:
        directory: URI below which checkpoints go.
        job: unique id of the job.
        inline_bytes_max: state up to this size stands in the manifest instead of a file of its own.
        attempt: number of the run that writes states; who writes manifests only needs none.
        pace: waits until so many bytes of state may be written; None never waits.
    """

    _copies: LocalCopies | None = None

    def __init__(self, directory: str, job: str, *, inline_bytes_max: int, attempt: int = 0, pace: Pace | None = None) -> None:
        self._home = join(directory, job)
        self._attempt = attempt
        self._pace = pace
        self._inline_bytes_max = inline_bytes_max
        self._users: Counter[str] = Counter()
        self._condemned: Counter[str] = Counter()
        self._written: dict[str, None] = {}
        self._counting = threading.Lock()

    def copying(self, copies: LocalCopies) -> CheckpointFiles:
        """Return the same files for somebody who keeps copies, on this host, of what it writes."""
        files = copy.copy(self)
        files._copies = copies
        return files

    # --- writing (any node) ----------------------------------------------------------------------------------------------------

    def write_state(self, checkpoint: int, subtask: str, data: bytes, upload: Upload | None = None) -> StoredFile | InlineState:
        """Secure the state of a subtask; return what the manifest says of it.

        What is stored with an upload is on disk when that says so.

        Raises:
            CheckpointError: if it cannot be written, or nobody needs it any more; what was begun is removed.
        """
        if len(data) <= self._inline_bytes_max:
            return InlineState(data)
        name = f"part-{self._attempt}-{plain_name(subtask)}-{uuid.uuid4().hex[:12]}"
        return self._write(join(self._home, f"chk-{checkpoint}"), name, data, upload)

    def write_shared(self, data: bytes, upload: Upload | None = None) -> StoredFile:
        """Secure a file that several checkpoints may refer to, or a segment of one; see `write_state`.

        Raises:
            CheckpointError: see `write_state`.
        """
        return self._write(join(self._home, "shared"), f"{self._attempt}-{uuid.uuid4().hex}", data, upload)

    def merging(self, bytes_max: int) -> FileMerging:
        """Return what merges files that are written at the same time."""
        return FileMerging(join(self._home, "shared"), self._attempt, bytes_max, self._pace)

    def withdraw(self, file: StoredFile) -> None:
        """Remove a file that nothing refers to, nor ever will. A segment goes with the others of its file."""
        if file.offset is None:
            with contextlib.suppress(ActorflowError):  # then it is an orphan
                remove(file.uri, missing_ok=True)
        if self._copies is not None:
            self._copies.withdraw(file)

    def owns(self, file: StoredFile) -> bool:
        """Return whether a file is this job's, and goes when its checkpoints do."""
        return file.uri.startswith(f"{self._home}/")

    def _write(self, directory: str, name: str, data: bytes, upload: Upload | None) -> StoredFile:
        burst, pace = (None, self._pace) if upload is None else (upload.burst, upload.pace)
        merged = burst is not None and burst.takes(data)
        file = burst.write(data) if burst is not None and merged else write_file(directory, name, data, pace)
        if self._copies is not None:
            self._copies.write(file, data)
        return file

    # --- the whole (JobMaster) -------------------------------------------------------------------------------------------------

    def write_manifest(self, manifest: Manifest) -> str:
        """Make a checkpoint whole; return the URI of its manifest.

        Args:
            manifest: with absolute URIs of the files.

        Raises:
            CheckpointError: if it cannot be written, or names a file that was removed; then there is no such checkpoint.
        """
        self._claim(manifest)
        try:
            location = write_manifest_in(join(self._home, f"chk-{manifest.checkpoint}"), manifest)
        except CheckpointError:
            self._release(_files_of(manifest))
            raise
        self._written[location] = None
        return location

    def inherit(self, location: str, files: Iterable[StoredFile]) -> None:
        """Count a manifest that an earlier leader has written as one of this one's: what it refers to stays until it is discarded."""
        with self._counting:
            self._users.update(file.uri for file in files)
        self._written[location] = None

    def _claim(self, manifest: Manifest) -> None:
        """Count a manifest as a user of its files, so that they stay.

        All have to be there, whoever may have removed some.
        """
        shared = dict.fromkeys(file.uri for vertex in manifest.vertices for part in vertex.parts for file in part.files.values())
        with self._counting:
            fresh = [uri for uri in shared if uri not in self._users]
            condemned = [uri for uri in fresh if uri in self._condemned]
            self._users.update(_files_of(manifest))
        missing = condemned or [uri for uri in fresh if not exists(uri)]
        if missing:
            self._release(_files_of(manifest))
            raise CheckpointError(
                f"checkpoint {manifest.checkpoint} refers to '{missing[0]}', which is not there any more",
                hint="it was removed with the checkpoint that it belonged to; the next checkpoint does without it",
            )

    def _release(self, uris: Iterable[str]) -> None:
        with self._counting:
            self._users.subtract(uris)
            self._users += Counter()  # drops what is down to zero

    def discard(self, location: str | None, files: Iterable[StoredFile]) -> None:
        """Remove a checkpoint: the manifest first, so that nothing half removed is taken for whole; then what nobody else refers to.

        Raises:
            SinkError: if something cannot be removed; it is an orphan from now on.
        """
        uris = [file.uri for file in files]
        if location in self._written:  # a manifest that others wrote does not count
            del self._written[location]
            self._release(uris)
        with self._condemning(uris) as needless:
            if location is not None:
                remove(location, missing_ok=True)
            for uri in needless:
                remove(uri, missing_ok=True)
        if location is not None:  # else somebody may still write for it
            prune(location.rpartition("/")[0])

    def discard_all(self) -> None:
        """Remove everything. Raises a `SinkError` or a `SourceError` if something cannot be, or who still writes gets in the way."""
        self.collect_orphans([])
        prune(self._home)

    @contextlib.contextmanager
    def _condemning(self, uris: Iterable[str]) -> Iterator[list[str]]:
        """Give those that no manifest on disk refers to; none can be claimed by one while they are removed."""
        with self._counting:
            needless = [uri for uri in dict.fromkeys(uris) if uri not in self._users]
            self._condemned.update(needless)
        try:
            yield needless
        finally:
            with self._counting:
                self._condemned.subtract(needless)
                self._condemned += Counter()

    def find(self) -> list[Found]:
        """Return the checkpoints of the job that are on disk, the newest first, with what is wrong with those that cannot be used."""
        if not exists(self._home):
            return []
        found = []
        for number, home in sorted(self._homes(), reverse=True):
            location = join(home, MANIFEST)
            if not exists(location):
                found.append(Found(location, None, f"checkpoint {number} was never completed"))
                continue
            try:
                found.append(Found(location, read_manifest(location)))
            except ActorflowError as error:
                found.append(Found(location, None, error.message))
        return found

    def _homes(self) -> list[tuple[int, str]]:
        homes = {}
        for info in list_files(self._home):
            home = info.uri.rpartition("/")[0]
            number = home.rpartition("/chk-")[2]
            if number.isdigit():
                homes[home] = int(number)
        return [(number, home) for home, number in homes.items()]

    def collect_orphans(self, keep: Iterable[Manifest]) -> list[str]:
        """Remove every file below the job's directory that none of these manifests (with absolute URIs) is or refers to; return their URIs.

        Only to be called while no checkpoint is on its way.
        """
        wanted = {join(join(self._home, f"chk-{manifest.checkpoint}"), MANIFEST) for manifest in keep}
        wanted |= {uri for manifest in keep for uri in _files_of(manifest)}
        orphans = [info.uri for info in list_files(self._home) if info.uri not in wanted] if exists(self._home) else []
        for uri in orphans:
            remove(uri, missing_ok=True)
        return orphans

    def collect_left(self, attempt: int, keep: Iterable[StoredFile]) -> list[str]:
        """Remove what attempts before this one have written, and nobody refers to; return the URIs.

        May be called while this attempt, or a later one, takes checkpoints. What an earlier one still writes is removed at the next call.

        Args:
            attempt: one that has started.
            keep: the files of the checkpoints that were complete when it did.

        Raises:
            SinkError: if something cannot be removed.
            SourceError: if there is no looking what is there.
        """
        if not exists(self._home):
            return []
        wanted = {file.uri for file in keep}
        listed = local_path(self._home) or self._home
        names = [info.uri.removeprefix(listed) for info in list_files(self._home)]
        left = [f"{self._home}{name}" for name in names if _attempt_of(name, attempt) < attempt]
        with self._condemning(uri for uri in left if uri not in wanted) as needless:
            for uri in needless:
                remove(uri, missing_ok=True)
        return needless


def write_file(directory: str, name: str, data: bytes, pace: Pace | None = None) -> StoredFile:
    """Write a file of state whose name nobody else has, at some pace; return what a manifest says of it.

    Raises:
        CheckpointError: if it cannot be written; what was begun is removed.
    """
    uri = join(directory, name)
    try:
        make_directory(directory, private=True)
        write_whole(uri, data, pace)
    except ActorflowError as error:
        raise CheckpointError(f"cannot store state: {error.message}", hint=error.hint) from error
    return StoredFile(uri, len(data), checksum(data))


def read_state(state: StoredFile | InlineState) -> bytes:
    """Return the bytes of a state, after a look whether they are those that were written.

    Raises:
        CheckpointError: if the file is missing, truncated or damaged; it names the file.
    """
    if isinstance(state, InlineState):
        return state.data
    try:
        with open_input(state.uri, state.offset or 0) as stream:
            data = stream.read() if state.offset is None else stream.read(state.size_bytes)
    except ActorflowError as error:
        raise CheckpointError(f"state is missing: {error.message}", hint=error.hint) from error
    place = "" if state.offset is None else f" from byte {state.offset} on"
    if len(data) != state.size_bytes:
        raise CheckpointError(
            f"'{state.uri}' has {len(data)} bytes{place}, {state.size_bytes} were written", hint="it is truncated or damaged"
        )
    if checksum(data) != state.checksum:
        raise CheckpointError(f"'{state.uri}' is damaged{place}: its checksum is not that of what was written")
    return data


def files_of_part(part: SubtaskState) -> list[StoredFile]:
    """Return the files that a subtask's part consists of."""
    own = [stored for stored in (part.state, part.in_flight) if isinstance(stored, StoredFile)]
    return [*own, *part.files.values()]


def _files_of(manifest: Manifest) -> list[str]:
    return [file.uri for vertex in manifest.vertices for part in vertex.parts for file in files_of_part(part)]


def _attempt_of(name: str, otherwise: int) -> int:
    """Return which attempt has written a file, by its name below the job's directory; `otherwise` for what none has."""
    found = _OF_ATTEMPT.fullmatch(name)
    return otherwise if found is None else int(found[1])


def plain_name(subtask: str) -> str:
    """Return a subtask's name as it can stand in a file's name."""
    return "".join(character if character.isalnum() or character in "-." else "-" for character in subtask)[:80]
