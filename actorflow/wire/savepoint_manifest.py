"""The manifest of a savepoint: one JSON file, written last, that says what the Parquet files beside it hold.

    {"format": "actorflow savepoint", "version": 1, "checksum": "…", "savepoint": {"name": …, "operators": [{"id": …, "states": […]}]}}

People and programs without actorflow read it, too: names are in full, files are named relative to it, so that the directory can be moved. The
checksum (xxh3, 64 bits, hexadecimal) is that of the bytes of the value of `savepoint`; each file stands there with its own.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from actorflow.errors import CheckpointError
from actorflow.wire.manifest import checksum

FORMAT: Final = "actorflow savepoint"
VERSION: Final = 1
"""The version that is written, and the newest that can be read."""

Encoding = Literal["arrow", "packed", "pickled"]


class SavedColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the values of a column are written.

    Attributes:
        encoding: `arrow`: as a column of their type. `packed`: the MessagePack bytes of `wire.state_exact`. `pickled`: what pickle writes.
        type: their type, as `wire.state_types.TypeSchema` writes itself down; None if they are pickled.
    """

    encoding: Encoding
    type: dict[str, Any] | None = None


class SavedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Parquet file with what one subtask held of one state.

    Attributes:
        path: relative to the manifest.
        subtask: index of the subtask.
        rows: number of rows.
        size_bytes: its length.
        checksum: of its bytes: xxh3, 64 bits, hexadecimal.
        columns: how those columns are written that hold values of the user's.
        groups: the first and the last key group in it; None where there are none.
    """

    path: str
    subtask: int
    rows: int
    size_bytes: int
    checksum: str
    columns: dict[str, SavedColumn] = {}
    groups: tuple[int, int] | None = None


Layout = Literal[
    "value", "folded", "map", "list", "namespaced", "timers", "operator list", "union list", "broadcast", "in flight", "splits"
]


class SavedState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One state of an operator.

    Attributes:
        name: its name.
        layout: what a row is: see `actorflow.savepoint.layouts`.
        files: what each subtask held.
        schema: what was declared, as `state.schema.StateSchema` writes itself down; None for states of the engine's own.
        ttl: whether a column `last_use` (ms) says when values were last used.
    """

    name: str
    layout: Layout
    files: tuple[SavedFile, ...]
    schema: dict[str, Any] | None = None
    ttl: bool = False


class SavedPosition(msgspec.Struct, frozen=True):
    """How far a split of a source was read.

    Attributes:
        split: its number.
        position: pickled.
        text: for people.
    """

    split: int
    position: bytes
    text: str


class SavedSubtask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a subtask of an operator had besides its states.

    Attributes:
        watermark: the event time that it had reached, in ms; None if it keeps none.
        outputs: of a sink: what was prepared and not committed, pickled.
        positions: of a source: how far open splits were read.
        read: of a source: the splits that it had read to their end.
        under_way: whether it had not done yet all that its latest watermark brings about.
    """

    watermark: int | None = None
    outputs: bytes = b""
    positions: tuple[SavedPosition, ...] = ()
    read: tuple[int, ...] = ()
    under_way: bool = False


class SavedInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose output an operator reads: its id, the side output if it is one, and by which of its own inputs."""

    operator: str
    tag: str | None = None
    port: int = 0


class SavedOperator(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operator.

    Attributes:
        id: its `uid`, else what follows from the shape of the graph.
        name: for people.
        kind: its verb, such as `map`; empty for one that was made by hand.
        parallelism: number of subtasks.
        max_parallelism: number of key groups.
        uid: the user's own identity for it, if given.
        inputs: whose output it reads.
        subtasks: one for each, in order.
        states: by name.
    """

    id: str
    name: str
    kind: str
    parallelism: int
    max_parallelism: int
    uid: str | None = None
    inputs: tuple[SavedInput, ...] = ()
    subtasks: tuple[SavedSubtask, ...] = ()
    states: tuple[SavedState, ...] = ()

    @property
    def stateful(self) -> bool:
        """Whether something would be lost without it."""
        kept = any(subtask.outputs or subtask.positions or subtask.read for subtask in self.subtasks)
        return kept or any(file.rows for state in self.states for file in state.files)

    def with_state(self, state: SavedState) -> SavedOperator:
        """Return it with one more state."""
        return self.holding((*self.states, state))

    def holding(self, states: tuple[SavedState, ...]) -> SavedOperator:
        """Return it with these states."""
        return msgspec.structs.replace(self, states=states)

    def reading(self, inputs: tuple[SavedInput, ...]) -> SavedOperator:
        """Return it with its inputs."""
        return msgspec.structs.replace(self, inputs=inputs)


def saved_splits(source: SavedOperator) -> tuple[dict[int, bytes], tuple[int, ...]]:
    """Return how far a source had been read. See `wire.manifest.splits_of`, which does the same for a checkpoint."""
    positions = {at.split: at.position for subtask in source.subtasks for at in subtask.positions}
    read = {split: None for subtask in source.subtasks for split in subtask.read}
    return {split: position for split, position in positions.items() if split not in read}, tuple(sorted(read))


class Savepoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole savepoint.

    Attributes:
        name: the pipeline's name.
        actorflow: version that wrote it.
        python: version of Python that wrote it; it matters for what is pickled.
        job: unique id of the job.
        checkpoint: number that the job gave it.
        timestamp: wall clock of the trigger, in ms since the Unix epoch.
        operators: in topological order.
        drained: whether event time was brought to its end before it was taken.
    """

    name: str
    actorflow: str
    python: str
    job: str
    checkpoint: int
    timestamp: int
    operators: tuple[SavedOperator, ...]
    drained: bool = False

    def having(self, operators: tuple[SavedOperator, ...]) -> Savepoint:
        """Return it with these operators."""
        return msgspec.structs.replace(self, operators=operators)


class SavedPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one subtask of a vertex says of its operators, on the way to the manifest: by operator name what it holds.

    Attributes:
        home: URI of the savepoint's directory.
        subtasks: what each has besides its states.
        states: each with one file.
    """

    home: str
    subtasks: dict[str, SavedSubtask]
    states: dict[str, tuple[SavedState, ...]]


class SavedVertex(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the subtasks of a vertex go on from: operators of a savepoint, on the way from the client to the workers.

    Attributes:
        home: URI of the savepoint's directory.
        operators: by the names that they have now.
    """

    home: str
    operators: dict[str, SavedOperator]


class _Envelope(msgspec.Struct):
    format: str
    version: int
    checksum: str
    savepoint: msgspec.Raw


_envelopes = msgspec.json.Decoder(_Envelope)
_savepoints = msgspec.json.Decoder(Savepoint)
_parts = msgspec.msgpack.Decoder(SavedPart)
_vertices = msgspec.msgpack.Decoder(SavedVertex)


def encode_savepoint(savepoint: Savepoint) -> bytes:
    """Return the bytes of a manifest file, indented for people."""
    body = msgspec.json.format(msgspec.json.encode(savepoint), indent=1)
    return msgspec.json.encode(_Envelope(FORMAT, VERSION, checksum(body), msgspec.Raw(body)))


def is_savepoint(data: bytes) -> bool:
    """Return whether a manifest is one of a savepoint, and not of a checkpoint."""
    return FORMAT.encode() in data[:64]


def decode_savepoint(data: bytes, uri: str) -> Savepoint:
    """Return what a manifest file says.

    Args:
        data: the bytes of the file.
        uri: names it in errors.

    Raises:
        CheckpointError: if it is truncated or damaged, or of a version that this one does not know.
    """
    try:
        envelope = _envelopes.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"'{uri}' is no manifest of a savepoint, or a truncated one: {error}") from None
    if envelope.format != FORMAT or not 1 <= envelope.version <= VERSION:
        raise CheckpointError(
            f"'{uri}' is of '{envelope.format}' version {envelope.version}, this version reads '{FORMAT}' up to {VERSION}",
            hint="it was written by a newer actorflow: use that one",
        )
    body = bytes(envelope.savepoint)
    if checksum(body) != envelope.checksum:
        raise CheckpointError(f"'{uri}' is damaged: its checksum is not that of its text")
    try:
        return _savepoints.decode(body)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"'{uri}' is not a manifest: {error}") from None


def encode_part(part: SavedPart) -> bytes:
    """Return a subtask's part as it travels in its acknowledgement."""
    return _PART + msgspec.msgpack.encode(part)


def decode_part(data: bytes) -> SavedPart | None:
    """Return what `encode_part` was given; None for the state of a subtask in a checkpoint.

    Raises:
        CheckpointError: if it is damaged.
    """
    if not data.startswith(_PART):
        return None
    try:
        return _parts.decode(data[len(_PART) :])
    except msgspec.DecodeError as error:
        raise CheckpointError(f"a subtask's part of a savepoint cannot be read: {error}") from None


_PART: Final = b"savepoint-part:"
_VERTEX: Final = b"savepoint:"


def encode_vertex(vertex: SavedVertex) -> bytes:
    """Return what the subtasks of a vertex are sent to go on from."""
    return _VERTEX + msgspec.msgpack.encode(vertex)


def decode_vertex(data: bytes) -> SavedVertex | None:
    """Return what `encode_vertex` was given; None for a part of a checkpoint."""
    return _vertices.decode(data[len(_VERTEX) :]) if data.startswith(_VERTEX) else None
