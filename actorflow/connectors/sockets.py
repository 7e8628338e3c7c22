"""Lines from a TCP server, as they come.

What was read from a socket cannot be read again: after a failure the source connects anew and goes on with what the server sends then.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Pause, Source
from actorflow.connectors.lines import LineBlocks, LineFormat, TextDecoder
from actorflow.errors import SourceError
from actorflow.wire.batch import ObjectBatch

_CONNECT_TIMEOUT_S = 10.0
_RECHECK_S = 1.0
"""How long a reader pauses at most; the file descriptor wakes it before."""


@dataclass(frozen=True)
class SocketSource(Source):
    """Lines from a TCP server, until it closes the connection.

    Attributes:
        host: of the server.
        port: of the server.
        how: encoding and limits of the lines.
    """

    host: str
    port: int
    how: LineFormat

    bounded: ClassVar[bool] = False
    replayable: ClassVar[bool] = False

    def splits(self, parallelism: int) -> Iterable[str]:  # noqa: ARG002 - there is one connection, whatever the parallelism
        """Return one split: there is one connection."""
        return [f"{self.host}:{self.port}"]

    def open(self, split: str, position: object | None) -> SocketReader:  # noqa: ARG002 - a socket has no place to go back to
        """Connect.

        Raises:
            SourceError: if nobody answers.
        """
        try:
            connection = socket.create_connection((self.host, self.port), _CONNECT_TIMEOUT_S)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SourceError(f"cannot connect to {split}: {reason}", hint="start the server before the job") from error
        return SocketReader(connection, split, self.how)


class SocketReader:
    """Reads lines from a connection without ever waiting for it.

    Args:
        connection: a connected socket, which the reader takes over.
        name: the peer, for errors.
        how: encoding and limits of the lines.
    """

    def __init__(self, connection: socket.socket, name: str, how: LineFormat) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._name = name
        self._receive_bytes = min(how.block_bytes, how.line_bytes_max)
        self._blocks = LineBlocks(name, 0, line_bytes_max=how.line_bytes_max)
        self._decoder = TextDecoder(name, how)
        self._lines: list[str] = []
        self._next = 0

    @property
    def position(self) -> object:
        """Bytes received: for people; nothing can go back there."""
        return self._blocks.at

    def read(self, records_max: int) -> ObjectBatch | Pause | EndOfSplit:
        """Return lines that have arrived, or a pause with the connection's file descriptor."""
        if self._next >= len(self._lines):
            if self._blocks.ended:
                return END_OF_SPLIT
            pause = self._receive()
            if pause is not None:
                return pause
        first = self._next
        self._next = min(first + records_max, len(self._lines))
        return ObjectBatch(self._lines[first : self._next])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _receive(self) -> Pause | None:
        """Fill `_lines` with what has arrived; return a pause if no line has."""
        try:
            data = self._connection.recv(self._receive_bytes)
        except (BlockingIOError, InterruptedError):
            return Pause(_RECHECK_S, self._connection.fileno())
        except OSError as error:
            raise SourceError(f"cannot read from {self._name}: {(error.strerror or str(error)).lower()}") from error
        block = self._blocks.feed(data) if data else self._blocks.finish()
        if not block:
            return Pause(0.0, self._connection.fileno())
        self._lines = self._decoder.lines(block, self._blocks.at - len(block))
        self._next = 0
        return None
