"""The floor of an exchange: word count by hand in two processes that send each other, over ZeroMQ, the words that the other one counts.

Hash, codec and socket library are the engine's, and batches are as large. What it leaves out is the engine: subtasks, credits, frames and checks,
flushes by time, events, failures. It tells how much of a second slot an exchange by key leaves to plain Python.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain, compress
from pathlib import Path

import zmq

from actorflow.wire.batch import ObjectBatch
from actorflow.wire.codec import Codec, decode_batch, encode_batch
from actorflow.wire.stable_hash import stable_hashes

LINES_AT_ONCE = 400
WORDS_SENT_AT_ONCE = 4096
BLOCK_BYTES = 64 * 1024


def two_loops_exchanging(text: Path) -> None:
    """Count the words of a file in two processes; each reads one half of the file, and counts one half of all words."""
    with tempfile.TemporaryDirectory() as directory, multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(_loop, [(text, me, f"ipc://{directory}/exchange") for me in (0, 1)], chunksize=1)


def _loop(text: Path, me: int, endpoint: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.set_hwm(0)
    (socket.bind if me == 0 else socket.connect)(endpoint)
    mine, theirs = (bytes(last_byte & 1 == which for last_byte in range(256)) for which in (me, 1 - me))
    count = _counter()
    waiting: list[str] = []
    ended = False
    for lines in _lines(text, me):
        words = list(chain.from_iterable(map(str.split, lines)))
        hashes = stable_hashes(words)
        assert hashes is not None, "words are text"
        last_bytes = hashes[7::8]
        waiting.extend(compress(words, last_bytes.translate(theirs)))
        if len(waiting) >= WORDS_SENT_AT_ONCE:
            socket.send(encode_batch(ObjectBatch(waiting))[1])
            waiting = []
        count(list(compress(words, last_bytes.translate(mine))))
        while not ended and socket.poll(0):
            ended = not _take(socket.recv(), count)
    if waiting:
        socket.send(encode_batch(ObjectBatch(waiting))[1])
    socket.send(b"")
    while not ended:
        ended = not _take(socket.recv(), count)
    socket.close()
    context.term()


def _take(payload: bytes, count: Callable[[list[str]], None]) -> bool:
    """Count what the other process has sent; return whether there was anything."""
    if payload:
        batch = decode_batch(Codec.TEXT, payload)
        assert isinstance(batch, ObjectBatch), "text is objects"
        count(batch.records)
    return bool(payload)


def _counter() -> Callable[[list[str]], None]:
    """Return what makes the running count of each word, and drops it."""
    counts: dict[str, int] = {}
    seen = counts.get

    def count(words: list[str]) -> None:
        out = []
        for one in words:
            n = seen(one, 0) + 1
            counts[one] = n
            out.append((one, n))

    return count


def _lines(text: Path, half: int) -> Iterator[list[str]]:
    """Give the lines that start in one half of a file, some at once."""
    middle = text.stat().st_size // 2
    with text.open("rb") as file:
        end = file.seek(0, 2)
        if half == 0:
            end = middle
            file.seek(0)
        else:
            file.seek(middle - 1)
            file.readline()
        while file.tell() < end:
            block = file.read(min(BLOCK_BYTES, end - file.tell()))
            lines = (block if block.endswith(b"\n") else block + file.readline()).decode().splitlines()
            for start in range(0, len(lines), LINES_AT_ONCE):
                yield lines[start : start + LINES_AT_ONCE]
