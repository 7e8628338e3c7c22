"""Files as a sink, exactly once: readers of the directory see whole, committed files or nothing.

    write ──► .part-<job>-<attempt>-<subtask>-<uuid>.inprogress ──prepare──► closed and on disk ──commit──► part-<subtask>-<n>-<run>.<suffix>
                                     └── close without prepare, abort, clean_up of a writer that was killed: removed

A file ends where the writer prepares: at each checkpoint, and at the end of input. It ends before that where it has grown too large or too old
(`Rolling`); then several files become visible together.

A commit is a rename. It may be repeated, by another process too: a file that has its final name already is committed. Final names hold
16 random digits of the writer's own (`run`), so that neither two jobs, nor two sinks, nor two attempts meet in one directory. Hidden names
begin with a digest of the job's id, so that nobody takes away what another job writes.

What the bytes of a file are is the format's business: `FileFormat`.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, ClassVar, Protocol

from actorflow.connectors.contracts import TwoPhaseSink, WriterContext
from actorflow.errors import SinkError
from actorflow.plan.graph import DataPath
from actorflow.storage.files import exists, join, make_directory, open_output, remove, remove_all, rename, sync, writing
from actorflow.wire.batch import Batch


class Encoder(Protocol):
    """Writes batches into one file."""

    def write(self, batch: Batch) -> None:
        """Encode a batch into the file.

        Raises:
            SinkError: if a record does not fit the format.
            OSError: if the file cannot be written.
        """
        ...

    def finish(self) -> None:
        """Write what is kept back, and the end of the file. The stream stays open."""
        ...

    def abandon(self) -> None:
        """Let go of the stream, which is about to be closed; nothing of the file will be kept."""
        ...


class FileFormat(Protocol):
    """What the files of a sink look like. Immutable and picklable.

    Attributes:
        suffix: of the file names, without the dot.
        takes: the form of batches that it writes.
    """

    suffix: ClassVar[str]
    takes: ClassVar[DataPath]

    def start(self, stream: BinaryIO, name: str) -> Encoder:
        """Return the encoder of a new file; `name` is for errors."""
        ...


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A committable: a file that is complete, under its hidden name, and the name that makes it visible."""

    temporary: str
    final: str


@dataclass(frozen=True, slots=True)
class Rolling:
    """When a file ends although nothing has to become visible yet.

    Attributes:
        bytes_max: when it has so many bytes, as far as the format has given them to the stream; None for any number.
        after_s: when records still come so long after its first; None for any time.
    """

    bytes_max: int | None = None
    after_s: float | None = None


Finished = tuple[FinishedFile, ...]
"""What is prepared at once: one file, or several if files were rolled since the last time."""


@dataclass(frozen=True)
class FileSink(TwoPhaseSink):
    """Writes part files into a directory.

    Attributes:
        directory: URI; made if it does not exist.
        format: of the files.
        rolling: when a file ends before it has to.
    """

    directory: str
    format: FileFormat
    rolling: Rolling = Rolling()

    @property
    def takes(self) -> DataPath:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """The form of batches that the format writes."""
        return self.format.takes

    def open(self, ctx: WriterContext) -> FileWriter:
        """Make the directory and return a writer; it makes no file before there is a record."""
        make_directory(self.directory)
        hidden = f"{_hidden(ctx.job_id, ctx.attempt)}{ctx.subtask.index}"
        return FileWriter(self.directory, self.format, hidden, ctx.subtask.index, self.rolling, ctx.clock.now)

    def commit(self, committables: Sequence[Finished]) -> None:
        """Give the files their visible names.

        Raises:
            SinkError: if one cannot be renamed, or has vanished.
        """
        for file in chain.from_iterable(committables):
            if exists(file.temporary):
                rename(file.temporary, file.final)
            elif not exists(file.final):
                raise SinkError(
                    f"cannot commit '{file.final}': neither it nor '{file.temporary}' exists",
                    hint="hidden files of a running job must not be removed, nor its output before the job has ended",
                )

    def abort(self, committables: Sequence[Finished]) -> None:
        """Remove the files, unless they are committed."""
        for file in chain.from_iterable(committables):
            remove(file.temporary, missing_ok=True)

    def clean_up(self, job_id: str, attempt: int) -> None:
        """Remove what writers of this attempt have left under hidden names."""
        remove_all(self.directory, _hidden(job_id, attempt))


def _hidden(job_id: str, attempt: int) -> str:
    """Return what the hidden names of one attempt of one job begin with, and no others."""
    return f".part-{hashlib.blake2b(job_id.encode(), digest_size=6).hexdigest()}-{attempt}-"


class FileWriter:
    """Writes the part files of one subtask, one between two calls of `prepare`, or several if they are rolled.

    Args:
        directory: where the files go.
        file_format: of the files.
        hidden: what hidden names begin with.
        subtask: index of the writing subtask.
        rolling: when a file ends before `prepare`.
        now: a clock in seconds.
    """

    def __init__(
        self, directory: str, file_format: FileFormat, hidden: str, subtask: int, rolling: Rolling, now: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._format = file_format
        self._hidden = hidden
        self._subtask = subtask
        self._run = uuid.uuid4().hex[:16]
        self._files = 0
        self._part: _Part | None = None
        self._rolling = rolling
        self._rolls = rolling != Rolling()
        self._now = now
        self._rolled: list[FinishedFile] = []
        """Complete, and not prepared yet."""

    def write(self, batch: Batch) -> None:
        """Write a batch into the current file; start one if there is none."""
        if not len(batch):
            return
        part = self._part = self._part or self._start()
        with writing(part.uri):
            part.encoder.write(batch)
            if self._rolls and self._is_over(part):
                self._roll(part)

    def _is_over(self, part: _Part) -> bool:
        rolling = self._rolling
        large = rolling.bytes_max is not None and part.stream.tell() >= rolling.bytes_max
        return large or (rolling.after_s is not None and self._now() - part.begun_s >= rolling.after_s)

    def _roll(self, part: _Part) -> None:
        """Complete the current file, down to the disk."""
        part.encoder.finish()
        sync(part.stream)
        part.stream.close()
        self._part = None
        final = f"part-{self._subtask}-{self._files}-{self._run}.{self._format.suffix}"
        self._files += 1
        self._rolled.append(FinishedFile(part.uri, join(self._directory, final)))

    def flush(self) -> None:
        """Hand what is encoded to the operating system. Formats that write in large pieces keep the current one."""
        if self._part is not None:
            with writing(self._part.uri):
                self._part.stream.flush()

    def prepare(self) -> Finished | None:
        """Finish the current file, down to the disk; return what commits all since the last call, or None if nothing was written."""
        part = self._part
        if part is not None:
            with writing(part.uri):
                self._roll(part)
        finished, self._rolled = tuple(self._rolled), []
        return finished or None

    def close(self) -> None:
        """Remove the files that were not prepared."""
        rolled, self._rolled = self._rolled, []
        for file in rolled:
            remove(file.temporary, missing_ok=True)
        part, self._part = self._part, None
        if part is None:
            return
        part.encoder.abandon()
        with contextlib.suppress(OSError):  # closing writes what is buffered, to a disk that may be full
            part.stream.close()
        remove(part.uri, missing_ok=True)

    def _start(self) -> _Part:
        uri = join(self._directory, f"{self._hidden}-{uuid.uuid4().hex}.inprogress")
        stream = open_output(uri)
        return _Part(uri, stream, self._format.start(stream, uri), self._now())


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that is being written."""

    uri: str
    stream: BinaryIO
    encoder: Encoder
    begun_s: float
