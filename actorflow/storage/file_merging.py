"""File merging: what several subtasks of a worker store of one checkpoint at the same time becomes one file, in which each has its segments.

    joined ──► segments get their places ──► left       the last one to leave writes what is there; then all are told
                        └── more than a file takes: it is written, and another begun

Nothing waits for subtasks that have not begun to store: those that come later make a file of their own. Nobody is told before what it has stored is on disk;
if a file cannot be written, or nobody needs it any more, all are told so, and what was written of this burst is removed. A file is counted as used as long as any of its
segments is (see `checkpoint_files`), so it belongs to one checkpoint's subtasks and those that build upon them.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.storage.files import Pace, join, make_directory, remove, write_whole
from actorflow.wire.manifest import StoredFile, checksum

Told = Callable[[CheckpointError | None], None]
"""Hears whether what was stored is on disk."""


class FileMerging:
    """The files that the subtasks of a worker write together. Its calls may come from any thread.

    Args:
        directory: URI of the directory that they are in.
        attempt: number of the run; their names begin with it.
        bytes_max: of a file; what is larger alone is not merged.
        pace: waits until so many bytes may be written; None never waits.
    """

    def __init__(self, directory: str, attempt: int, bytes_max: int, pace: Pace | None = None) -> None:
        self.directory = directory
        self.attempt = attempt
        self.bytes_max = bytes_max
        self.pace = pace
        self._lock = threading.Lock()
        self._open: dict[int, Burst] = {}

    def join(self, checkpoint: int, needless: Callable[[], bool] = lambda: False) -> Burst:
        """Return what takes the segments of a subtask that is going to store its part of a checkpoint. It has to leave it.

        Args:
            checkpoint: its number.
            needless: whether nobody needs that part any more; may be asked on any thread.
        """
        with self._lock:
            burst = self._open.get(checkpoint)
            if burst is None or not burst.joined(needless):
                burst = self._open[checkpoint] = Burst(self, lambda over: self._over(checkpoint, over))
                burst.joined(needless)
            return burst

    def _over(self, checkpoint: int, burst: Burst) -> None:
        with self._lock:
            if self._open.get(checkpoint) is burst:
                del self._open[checkpoint]


class Burst:
    """What some subtasks store at the same time.

    Args:
        merging: whose it is.
        over: told when the last has left.
    """

    def __init__(self, merging: FileMerging, over: Callable[[Burst], None]) -> None:
        self._merging = merging
        self._over = over
        self._lock = threading.Lock()
        self._storing = 0
        self._needless: list[Callable[[], bool]] = []
        self._ended = False
        self._uri = ""
        self._segments: list[bytes] = []
        self._size = 0
        self._written: list[str] = []
        self._error: CheckpointError | None = None
        self._waiting: list[Told] = []

    def joined(self, needless: Callable[[], bool]) -> bool:
        """Count one more subtask; return whether it came in time."""
        with self._lock:
            if not self._ended:
                self._storing += 1
                self._needless.append(needless)
            return not self._ended

    def takes(self, data: bytes) -> bool:
        """Return whether this is merged with others."""
        return len(data) <= self._merging.bytes_max

    def write(self, data: bytes) -> StoredFile:
        """Give a segment its place. It is on disk when the subtask is told so."""
        with self._lock:
            assert self._storing, "a subtask stores before it leaves"
            full = self._taken() if self._size + len(data) > self._merging.bytes_max else None
            if not self._segments:
                self._uri = join(self._merging.directory, f"{self._merging.attempt}-{uuid.uuid4().hex}")
            offset = self._size
            self._segments.append(data)
            self._size += len(data)
            uri = self._uri
        self._secure(full)
        return StoredFile(uri, len(data), checksum(data), offset)

    def leave(self, told: Told | None) -> None:
        """Have it told when what a subtask has stored is on disk; None if nobody will refer to that."""
        with self._lock:
            self._storing -= 1
            if told is not None:
                self._waiting.append(told)
            if self._storing:
                return
            self._ended = True
            last = self._taken() if self._waiting else None
        self._over(self)
        self._secure(last)
        if self._error is not None or not self._waiting:
            self._discard()
        for hears in self._waiting:
            hears(self._error)

    def _taken(self) -> tuple[str, list[bytes]]:
        """Begin another file; return what goes into the one before."""
        taken = self._uri, self._segments
        self._segments, self._size = [], 0
        return taken

    def _secure(self, taken: tuple[str, list[bytes]] | None) -> None:
        """Write a file. Nobody is kept from joining meanwhile, nor from getting a place in the next."""
        if taken is None or not taken[1] or self._error is not None:
            return
        uri, segments = taken
        try:
            make_directory(self._merging.directory, private=True)
            write_whole(uri, b"".join(segments), self._pace)
        except Exception as error:  # whatever it is, a lack of memory for instance: all who wait have to hear of it
            text = error.message if isinstance(error, ActorflowError) else f"{type(error).__name__}: {error}"
            self._error = CheckpointError(f"cannot store state: {text}", hint=getattr(error, "hint", ""))
        else:
            self._written.append(uri)

    def _pace(self, size: int) -> None:
        """Wait until so many bytes may be written. Raises a `CheckpointError` if none of the subtasks needs them any more."""
        if self._merging.pace is not None:
            self._merging.pace(size)
        if all(needless() for needless in tuple(self._needless)):
            raise CheckpointError("it was given up while its state was being stored")

    def _discard(self) -> None:
        for uri in self._written:
            with contextlib.suppress(ActorflowError):  # then it is an orphan
                remove(uri, missing_ok=True)
