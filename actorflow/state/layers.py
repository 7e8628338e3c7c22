"""Layers: how keyed state stands in the files of incremental checkpoints, whatever backend it came from.

The state of a subtask is a line of layers, the oldest first. A layer says what has changed since the one below it: the first one, the
*base*, everything. Each later one wins:

    base  {a: 1, b: 2, c: 3}   +   {b: 7}, a gone   +   {d: 4}   =   {b: 7, c: 3, d: 4}

A layer is a file of chunks, each of some keys of one table (a state, or one namespace of it), so that nobody holds the interpreter
for long to read or write one:

    "AFLAYER" version | operator's name | chunk | operator's name | chunk | …          each with its length before it

A chunk is MessagePack where all its values are plain, else a pickle; its first byte says which.

Keys stand in no order, and are not divided by key group: a change of parallelism is rare, and who restores then takes its own keys out of
what it reads. Timers are a table, too: its keys are triples of timestamp, key and namespace, its values nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.state.backend import KeyGroupState
from actorflow.state.timers import TIMERS_STATE
from actorflow.wire import pickling
from actorflow.wire.plain_values import decode_plain, encode_plain, encoded_list, plain

VERSION: Final = 1
"""The form that is written, and the newest that can be read."""

CHUNK_KEYS: Final = 2000
"""Keys of a chunk: turning so many into bytes takes well under a millisecond."""

_MAGIC: Final = b"AFLAYER"
_PLAIN: Final = b"M"
_PICKLED: Final = b"P"
_LENGTHS: Final = struct.Struct("<HQ")

ReadChunk = Callable[[str, memoryview], list[Any]]
"""Returns the parts of a chunk of an operator. See `decode_layer`."""


class Place(NamedTuple):
    """A table.

    Attributes:
        name: of the state.
        divided: whether the state has namespaces.
        namespace: which of them this is.
    """

    name: str
    divided: bool = False
    namespace: Hashable = None


class Chunk(NamedTuple):
    """What a layer says of some keys of a table.

    Attributes:
        place: the table.
        keys: keys that have a value.
        values: their values, in the same order.
        gone: keys that have none any more.
        dropped: whether what the layers below say of this table is void.
    """

    place: Place
    keys: list[Any]
    values: list[Any]
    gone: list[Any]
    dropped: bool = False


def payload(chunk: Chunk) -> bytes:
    """Return the bytes of a chunk.

    Raises:
        CheckpointError: if a key or value cannot be pickled.
    """
    place, keys, values, gone, dropped = chunk
    parts = [*place, keys, values, gone, dropped]
    if plain(keys) and plain(values) and plain(gone) and plain(place):
        data = encode_plain(parts)
        if data is not None:
            return _PLAIN + data
    try:
        return _PICKLED + pickling.dumps(parts)
    except Exception as error:
        raise CheckpointError(f"state '{place.name}' cannot be pickled: {type(error).__name__}: {error}") from error


def payload_of_encoded(place: Place, keys: bytes, values: list[Any]) -> bytes | None:
    """Return the bytes of a chunk whose keys are the bytes of plain values; None if its values are not plain."""
    if not plain(values) or not plain(place):
        return None
    data = encode_plain([*place, encoded_list(keys, len(values)), values, [], False])
    return None if data is None else _PLAIN + data


def encode_layer(payloads: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the bytes of a layer.

    Args:
        payloads: of chunks, each with the name of the operator whose state it is.
    """
    parts = [_MAGIC, bytes([VERSION])]
    for operator, data in payloads:
        name = operator.encode()
        parts += [_LENGTHS.pack(len(name), len(data)), name, data]
    return b"".join(parts)


def encode_layers(payloads: Iterable[tuple[str, bytes]], bytes_max: int | None) -> Iterator[bytes]:
    """Give one layer, or several that together say the same: each but the last has reached `bytes_max`. See `encode_layer`."""
    some: list[tuple[str, bytes]] = []
    size = 0
    written = False
    for operator, data in payloads:
        some.append((operator, data))
        size += len(data)
        if bytes_max is not None and size >= bytes_max:
            yield encode_layer(some)
            written = True
            some.clear()
            size = 0
    if some or not written:
        yield encode_layer(some)


def decode_parts(data: memoryview, loads: Callable[[memoryview], Any] = pickling.loads) -> list[Any]:
    """Return the parts of a chunk: those of its place, keys, values, what is gone, and whether the table was dropped."""
    parts: list[Any] = decode_plain(data[1:]) if data[0] == _PLAIN[0] else loads(data[1:])
    return parts


def read_chunk(_operator: str, data: memoryview) -> list[Any]:
    """Return the parts of a chunk as they were written."""
    return decode_parts(data)


def decode_layer(data: bytes, read: ReadChunk = read_chunk) -> Iterator[tuple[str, Chunk]]:
    """Give the chunks of a layer, each with the name of its operator.

    Args:
        data: the bytes of the layer.
        read: returns the parts of a chunk of an operator. See `decode_parts`.

    Raises:
        CheckpointError: if it is no layer, or one of a newer version, or its values cannot be read by this program.
    """
    if not data.startswith(_MAGIC):
        raise CheckpointError("a layer of state cannot be read: it is none")
    if data[len(_MAGIC)] > VERSION:
        raise CheckpointError(
            f"a layer of state has version {data[len(_MAGIC)]}, this program reads up to {VERSION}",
            hint="it was written by a newer actorflow: use that one, or a checkpoint of before",
        )
    view, at = memoryview(data), len(_MAGIC) + 1
    while at < len(view):
        name_length, length = _LENGTHS.unpack_from(view, at)
        at += _LENGTHS.size
        operator = bytes(view[at : at + name_length]).decode()
        at += name_length
        try:
            *place, keys, values, gone, dropped = read(operator, view[at : at + length])
        except ActorflowError:
            raise
        except Exception as error:
            text = f"state of '{operator}' cannot be read: {type(error).__name__}: {error}"
            raise CheckpointError(text, hint="was the program changed since the checkpoint?") from error
        yield operator, Chunk(Place(*place), keys, values, gone, dropped)
        at += length


class Layers:
    """What a line of layers says as a whole. Layers are added in their order.

    Args:
        base: whether the first layer is a base; else what is gone is remembered, for the layers below.
    """

    def __init__(self, *, base: bool = True) -> None:
        self._base = base
        self._tables: dict[tuple[str, Place], dict[Any, Any]] = {}
        self._gone: dict[tuple[str, Place], dict[Any, None]] = {}
        self._dropped: dict[tuple[str, Place], None] = {}

    def add(self, data: bytes, read: ReadChunk = read_chunk) -> None:
        """Add a layer, given as its bytes.

        Raises:
            CheckpointError: see `decode_layer`.
        """
        for operator, chunk in decode_layer(data, read):
            self._add(operator, chunk)

    def _add(self, operator: str, chunk: Chunk) -> None:
        place = (operator, chunk.place)
        if chunk.dropped:
            self._tables.pop(place, None)
            self._gone.pop(place, None)
            if not self._base:
                self._dropped[place] = None
        table = self._tables.setdefault(place, {})
        gone = self._gone.setdefault(place, {}) if not self._base else None
        table.update(zip(chunk.keys, chunk.values, strict=True))
        if gone:
            for key in chunk.keys:
                gone.pop(key, None)
        for key in chunk.gone:
            table.pop(key, None)
            if gone is not None:
                gone[key] = None

    def payloads(self) -> Iterator[tuple[str, bytes]]:
        """Give everything as the payloads of one layer.

        Raises:
            CheckpointError: see `payload`.
        """
        for (operator, place), table in self._tables.items():
            dropped = (operator, place) in self._dropped
            if dropped:
                yield operator, payload(Chunk(place, [], [], [], dropped=True))
            keys, values = iter(table), iter(table.values())
            while some := list(islice(keys, CHUNK_KEYS)):
                yield operator, payload(Chunk(place, some, list(islice(values, CHUNK_KEYS)), []))
            gone = iter(self._gone.get((operator, place), ()))
            while some := list(islice(gone, CHUNK_KEYS)):
                yield operator, payload(Chunk(place, [], [], some))

    def states(self, operator: str) -> KeyGroupState:
        """Return the states of an operator as a backend takes them back."""
        found: KeyGroupState = {}
        for (owner, place), table in self._tables.items():
            if owner != operator:
                continue
            if place.name.startswith(TIMERS_STATE):
                times = found.setdefault(place.name, {})
                for timestamp, key, namespace in table:
                    times.setdefault(key, []).append((timestamp, namespace))
            elif place.divided:
                divided = found.setdefault(place.name, {})
                for key, value in table.items():
                    divided.setdefault(key, {})[place.namespace] = value
            else:
                found.setdefault(place.name, {}).update(table)
        return found
