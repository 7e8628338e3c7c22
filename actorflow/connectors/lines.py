"""Lines from bytes, a block at a time.

`LineBlocks` turns bytes, as they come, into blocks of whole lines. It decides which lines belong to a byte range, so that ranges
that cover a file give every line exactly once:

    a range owns the lines that *start* in it.

A reader of a range that does not begin the file therefore starts one byte early and drops everything up to the first line end, and
every reader finishes the line that crosses the end of its range. A line ends with a line feed; a carriage return before it is
dropped with it; what follows the last line feed of a file is a line, unless it is empty.

`TextDecoder` turns a block into a list of lines with one decode and one split: nothing is done per line. The position of a reader is
therefore the offset of a block and the number of its lines that were given; both are known without looking at a line.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from actorflow.connectors.file_splits import WHOLE
from actorflow.errors import PlanError, SourceError

BLOCK_BYTES = 64 * 1024
"""Measured: block, text and lines stay in the processor's second cache; four times as much is twice as slow a line."""

LINE_BYTES_MAX = 64 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How bytes are read as lines.

    Attributes:
        encoding: a codec in which a line feed is the byte 10.
        errors: what to do with bytes that are not valid: `strict`, `replace`, `ignore`, `surrogateescape`, `backslashreplace`.
        line_bytes_max: longest line that is accepted, in bytes.
        block_bytes: how much is read at once.
        keeps_returns: whether a carriage return before a line feed stays: a format with line breaks in values wants it.

    Raises:
        PlanError: if the encoding is unknown, or its line ends cannot be found in bytes.
    """

    encoding: str = "utf-8"
    errors: str = "strict"
    line_bytes_max: int = LINE_BYTES_MAX
    block_bytes: int = BLOCK_BYTES
    keeps_returns: bool = False

    def __post_init__(self) -> None:
        try:
            codecs.lookup_error(self.errors)
            line_end = "a\n".encode(self.encoding).removeprefix(_BYTE_ORDER_MARK)
        except LookupError as error:
            raise PlanError(f"cannot read text: {error}", hint="encoding= and errors= are those of `bytes.decode`") from None
        if line_end != b"a\n":
            raise PlanError(
                f"cannot read text as '{self.encoding}': its line ends are more than one byte", hint="convert the files to utf-8"
            )
        if self.line_bytes_max < 1 or self.block_bytes < 1:
            raise PlanError("cannot read text: line_bytes_max and block_bytes must be at least 1")


class LineBlocks:
    """Cuts a stream of bytes into blocks of whole lines, those that start in a byte range.

    Args:
        name: what is read, for errors.
        offset: where in it the first byte that will be fed stands.
        end: lines that start here or later belong to someone else.
        mid_line: whether everything up to the first line end belongs to someone else.
        line_bytes_max: longest line that is accepted, in bytes.
    """

    __slots__ = ("_carry", "_carry_bytes", "_end", "_line_bytes_max", "_mid_line", "_name", "at", "ended")

    def __init__(self, name: str, offset: int, end: int = WHOLE, *, mid_line: bool = False, line_bytes_max: int) -> None:
        self._name = name
        self._end = end
        self._mid_line = mid_line
        self._line_bytes_max = line_bytes_max
        self._carry: list[bytes] = []
        self._carry_bytes = 0
        self.at = offset
        """Offset of the first byte that was fed and not yet returned: where the next block starts."""
        self.ended = offset >= end
        """Whether no line is to come."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return the whole lines that they complete, or nothing.

        Pieces must not be longer than `line_bytes_max`.

        Raises:
            SourceError: if a line is too long.
        """
        if self._mid_line:
            data = self._drop_foreign(data)
        if self.ended or not data:
            return b""
        base = self.at + self._carry_bytes
        cut = 0
        if base + len(data) >= self._end:
            cut = data.find(b"\n", max(self._end - 1 - base, 0)) + 1
            self.ended = cut > 0
        cut = cut or data.rfind(b"\n") + 1
        if self._carry_bytes:
            first_end = data.find(b"\n", 0, cut)
            self._check_length(self._carry_bytes + (len(data) if first_end < 0 else first_end))
        if not cut:
            self._carry.append(data)
            self._carry_bytes += len(data)
            return b""
        block = b"".join((*self._carry, data[:cut])) if self._carry else data[:cut]
        self._carry = [data[cut:]] if cut < len(data) else []
        self._carry_bytes = len(data) - cut
        self.at += len(block)
        return block

    def finish(self) -> bytes:
        """Say that no bytes follow; return the last line if it has no line end."""
        block = b"" if self._mid_line or self.ended else b"".join(self._carry)
        self._carry = []
        self.ended = True
        self.at += len(block)
        return block

    def _drop_foreign(self, data: bytes) -> bytes:
        cut = data.find(b"\n") + 1
        self.at += cut or len(data)
        self._mid_line = not cut
        self.ended = self.at >= self._end
        return data[cut:] if cut else b""

    def _check_length(self, line_bytes: int) -> None:
        if line_bytes > self._line_bytes_max:
            raise SourceError(
                f"cannot read '{self._name}': the line at byte {self.at} is longer than {self._line_bytes_max} bytes",
                hint="raise line_bytes_max, or it is not a text file",
            )


class TextDecoder:
    """Turns blocks of whole lines into lists of lines.

    Args:
        name: what is read, for errors.
        how: encoding, and what to do with invalid bytes.
    """

    __slots__ = ("_encoding", "_errors", "_keeps_returns", "_name", "_strips_mark")

    def __init__(self, name: str, how: LineFormat) -> None:
        self._name = name
        encoding = codecs.lookup(how.encoding).name
        self._strips_mark = encoding == "utf-8-sig"
        self._encoding = "utf-8" if self._strips_mark else encoding
        self._errors = how.errors
        self._keeps_returns = how.keeps_returns

    def lines(self, block: bytes, offset: int) -> list[str]:
        """Return the lines of a block that starts at `offset`, without their ends.

        Raises:
            SourceError: if bytes are not valid in the encoding.
        """
        start = 3 if self._strips_mark and offset == 0 and block.startswith(_BYTE_ORDER_MARK) else 0
        end = len(block) - block.endswith(b"\n")
        if not self._keeps_returns and block.endswith(b"\r\n"):
            end -= 1
        try:
            text = str(memoryview(block)[start:end], self._encoding, self._errors)
        except UnicodeDecodeError as error:
            raise SourceError(
                f"cannot read '{self._name}': byte {offset + start + error.start} is not valid {self._encoding} ({error.reason})",
                hint="pass encoding=, or errors='replace'; a binary file is no text",
            ) from None
        if not self._keeps_returns and "\r" in text:  # one byte is found four times as fast as two
            text = text.replace("\r\n", "\n")
        return text.split("\n")


def line_offset(block: bytes, index: int) -> int:
    """Return where in a block the line with this index starts; the length of the block for the line after the last."""
    start = 0
    for _ in range(index):
        start = block.find(b"\n", start) + 1 or len(block)
    return start
