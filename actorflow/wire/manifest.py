"""The manifest of a checkpoint or savepoint: one small JSON file that makes many immutable files a whole.

    {"format": 1, "checksum": "…", "manifest": {"job": …, "checkpoint": 17, "epoch": 3, "vertices": [{"parts": [{"state": …}]}]}}

Every file it names is there before the manifest is; a file is named with its size and checksum, relative to the manifest's directory, so that the
whole can be moved. The checksum (xxh3, 64 bits, hexadecimal) is that of the bytes of the value of `manifest`. Whoever reads an older format
reads it; a newer one is refused by number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_hexdigest

from actorflow.errors import CheckpointError

FORMAT: Final = 1
"""The format that is written, and the newest that can be read."""


class StoredFile(msgspec.Struct, frozen=True, tag="file"):
    """State in a file.

    Attributes:
        uri: where; relative to the manifest once it stands in one.
        size_bytes: its length.
        checksum: of its bytes: xxh3, 64 bits, hexadecimal.
        offset: where in the file it begins, if the file holds other state as well; None if it is all of the file.
    """

    uri: str
    size_bytes: int
    checksum: str
    offset: int | None = None


class InlineState(msgspec.Struct, frozen=True, tag="inline"):
    """State that is so small that it stands in the manifest."""

    data: bytes


class Adopted(msgspec.Struct, frozen=True):
    """What another job takes of a subtask's part.

    Attributes:
        names: of the operators that it takes, by the names that they had: the ones they have now.
        outputs: whether it takes the output that waits to be committed.
        schemas: what these operators had declared of their states, by the names that they had; see `VertexState`.
    """

    names: dict[str, str]
    outputs: bool
    schemas: dict[str, dict[str, dict[str, Any]]] = {}


class SubtaskState(msgspec.Struct, frozen=True):
    """The part of one subtask: what its operators hold, and the files that this refers to.

    Attributes:
        index: of the subtask.
        state: description of its state.
        files: files that the description refers to, by the name that it has for them; several checkpoints may share them.
        positions: of a source: how far its open splits were read, pickled, by the split's number.
        read: of a source: the splits that this subtask has read to their end.
        in_flight: batches of its channels that the barrier has overtaken; see `in_flight`.
        layers: names of the files that are layers of keyed state, the lowest first.
        base: how many of them are the base, which the others say the changes to.
        top: the layer above them, if it is so small that it stands here.
        adopted: what another job takes of it; None is all, and in a manifest it is always None.
    """

    index: int
    state: StoredFile | InlineState
    files: dict[str, StoredFile] = {}
    positions: dict[int, bytes] = {}
    read: tuple[int, ...] = ()
    in_flight: StoredFile | InlineState | None = None
    layers: tuple[str, ...] = ()
    base: int = 0
    top: bytes = b""
    adopted: Adopted | None = None


class VertexState(msgspec.Struct, frozen=True):
    """The parts of all subtasks of a vertex.

    Attributes:
        id: of the vertex: the stable id of its first operator.
        name: for people.
        operators: stable id and name of each operator of the chain, in order.
        parallelism: number of subtasks.
        max_parallelism: number of key groups.
        parts: one for each subtask.
        schemas: by operator id and state what operators declare of their states, as `state.schema.StateSchema` writes itself down.
    """

    id: str
    name: str
    operators: tuple[tuple[str, str], ...]
    parallelism: int
    max_parallelism: int
    parts: tuple[SubtaskState, ...]
    schemas: dict[str, dict[str, dict[str, Any]]] = {}


class Manifest(msgspec.Struct, frozen=True):
    """A whole checkpoint.

    Attributes:
        job: unique id of the job.
        name: the pipeline's name.
        checkpoint: its number.
        epoch: number of the run that took it; an older run must not write over it.
        timestamp: wall clock of the trigger, in ms since the Unix epoch.
        savepoint: whether it belongs to a user.
        version: of actorflow.
        vertices: in the order of the execution graph.
        splits: for each source vertex its listed splits, pickled; finished and open ones are in the parts of its subtasks.
    """

    job: str
    name: str
    checkpoint: int
    epoch: int
    timestamp: int
    savepoint: bool
    version: str
    vertices: tuple[VertexState, ...]
    splits: dict[str, bytes] = {}

    def with_uris(self, change: Callable[[str], str]) -> Manifest:
        """Return the manifest with the URI of each file changed."""
        return self.with_files(lambda file: msgspec.structs.replace(file, uri=change(file.uri)))

    def with_files(self, moved: Callable[[StoredFile], StoredFile]) -> Manifest:
        """Return the manifest with other files instead of its own."""

        def moved_part(part: SubtaskState) -> SubtaskState:
            state = moved(part.state) if isinstance(part.state, StoredFile) else part.state
            in_flight = moved(part.in_flight) if isinstance(part.in_flight, StoredFile) else part.in_flight
            return replace(part, state=state, in_flight=in_flight, files={name: moved(file) for name, file in part.files.items()})

        replace = msgspec.structs.replace
        vertices = tuple(replace(vertex, parts=tuple(map(moved_part, vertex.parts))) for vertex in self.vertices)
        return replace(self, vertices=vertices)


class _Envelope(msgspec.Struct):
    format: int
    checksum: str
    manifest: msgspec.Raw


_envelopes = msgspec.json.Decoder(_Envelope)
_manifests = msgspec.json.Decoder(Manifest)
_parts = msgspec.msgpack.Decoder(SubtaskState)


def checksum(data: bytes | memoryview) -> str:
    """Return the checksum of bytes as it stands in manifests."""
    return xxh3_64_hexdigest(data)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest file."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Envelope(FORMAT, checksum(body), msgspec.Raw(body)))


def decode_manifest(data: bytes, uri: str) -> Manifest:
    """Return what a manifest file says.

    Args:
        data: the bytes of the file.
        uri: names it in errors.

    Raises:
        CheckpointError: if it is truncated or damaged, or of a format that this version does not know.
    """
    try:
        envelope = _envelopes.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"'{uri}' is no manifest, or a truncated one: {error}", hint=_DAMAGED) from None
    if not 1 <= envelope.format <= FORMAT:
        raise CheckpointError(
            f"'{uri}' has format {envelope.format}, this version reads up to {FORMAT}",
            hint="it was written by a newer actorflow: use that one, or a checkpoint of before",
        )
    body = bytes(envelope.manifest)
    if checksum(body) != envelope.checksum:
        raise CheckpointError(f"'{uri}' is damaged: its checksum is not that of its text", hint=_DAMAGED)
    try:
        return _manifests.decode(body)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"'{uri}' is not a manifest: {error}", hint=_DAMAGED) from None


def adopted(part: SubtaskState, taken: Adopted, *, read: bool) -> SubtaskState:
    """Return a subtask's part for another job.

    Args:
        part: in the other job's checkpoint.
        taken: what is to be taken of it.
        read: whether its source is, too.
    """
    replace = msgspec.structs.replace
    return replace(part, adopted=taken) if read else replace(part, adopted=taken, positions={}, read=())


def adopted_again(part: SubtaskState, taken: Adopted, *, read: bool) -> SubtaskState:
    """Return a subtask's part for another graph of the job: of one that the job has adopted, what is to be taken of what it has.

    Operators are called in all graphs of a job the same.
    """
    if (has := part.adopted) is not None:
        names = {old: name for old, name in has.names.items() if name in taken.names.values()}
        taken = Adopted(names, outputs=has.outputs and taken.outputs, schemas=has.schemas)
    return adopted(part, taken, read=read)


def encode_part(part: SubtaskState) -> bytes:
    """Return a subtask's part as it travels in its acknowledgement."""
    return msgspec.msgpack.encode(part)


def decode_part(data: bytes) -> SubtaskState:
    """Return the part in an acknowledgement.

    Raises:
        CheckpointError: if the bytes are none.
    """
    try:
        return _parts.decode(data)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"a subtask's part of a checkpoint cannot be read: {error}") from None


def splits_of(parts: Iterable[SubtaskState]) -> tuple[dict[int, bytes], tuple[int, ...]]:
    """Return how far a source had been read: the positions of its open splits, and the splits that had been read to their end.

    The first subtask also says what it was told when it was restored, so that what nobody has taken up yet is not forgotten; who has taken
    up a split since knows better, and comes later.

    Args:
        parts: of all subtasks, in their order.
    """
    positions: dict[int, bytes] = {}
    read: dict[int, None] = {}
    for part in parts:
        positions.update(part.positions)
        read.update(dict.fromkeys(part.read))
    return {split: position for split, position in positions.items() if split not in read}, tuple(sorted(read))


_DAMAGED = "the checkpoint before it may be whole"
