"""The sources that come with actorflow: `af.sources.*`.

Each function returns a `Source`, a small value that opens nothing yet. Files are named by path, directory (with all below it), glob, URI,
or a list of these.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from actorflow.connectors.collection import CollectionSource
from actorflow.connectors.contracts import Source
from actorflow.connectors.csv_columns import CsvColumnsSource
from actorflow.connectors.csv_files import CsvFormat, CsvSource
from actorflow.connectors.file_splits import Paths, paths_of
from actorflow.connectors.generator import GeneratorSource
from actorflow.connectors.json_files import JsonLinesSource
from actorflow.connectors.lines import LINE_BYTES_MAX, LineFormat
from actorflow.connectors.parquet_files import ParquetSource
from actorflow.connectors.sockets import SocketSource
from actorflow.connectors.text_files import TextSource
from actorflow.errors import PlanError
from actorflow.plan.graph import DataPath

__all__ = ["collection", "csv", "generator", "json_lines", "parquet", "socket", "text"]

Form = Literal["objects", "columns"]


def collection(records: Iterable[Any]) -> Source:
    """Return a source of the records of any iterable, which is read to its end now."""
    return CollectionSource(list(records))


def text(
    files: Paths,
    /,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    split_bytes: int | None = None,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> Source:
    r"""Return a source of the lines of text files, without their ends (`\n` or `\r\n`).

    Args:
        files: path, directory, glob or URI, or a list of these. `.gz`, `.bz2` and `.xz` files are decompressed, each as one split.
        encoding: of the files.
        errors: what to do with bytes that are not valid, as in `bytes.decode`.
        split_bytes: size of the byte ranges that are handed out; by default chosen by the size of the input.
        line_bytes_max: longest line that is accepted, in bytes.

    Raises:
        PlanError: if an option is not possible.
    """
    how = LineFormat(encoding, errors, line_bytes_max)
    return TextSource(paths_of(files), how, _positive("split_bytes", split_bytes))


def csv(
    files: Paths,
    /,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    quote: str = '"',
    multiline: bool = True,
    encoding: str = "utf-8",
    split_bytes: int | None = None,
    line_bytes_max: int = LINE_BYTES_MAX,
    path: Form = "objects",
) -> Source:
    """Return a source of the records of CSV files.

    Args:
        files: path, directory, glob or URI, or a list of these.
        columns: names, if the files have no header.
        delimiter: the character between values.
        quote: the character around values that hold delimiters, quotes or line breaks.
        multiline: whether values may hold line breaks. If not, big files are cut and read in parallel.
        encoding: of the files. A UTF-8 byte order mark is dropped.
        split_bytes: size of the pieces that are handed out; by default chosen by the size of the input.
        line_bytes_max: longest line that is accepted, in bytes.
        path: `objects` gives dicts of text; `columns` gives column batches with types inferred by pyarrow, a file a split.

    Raises:
        PlanError: if an option is not possible.
    """
    for option, value in (("delimiter", delimiter), ("quote", quote)):
        if len(value) != 1 or value in "\r\n":
            raise PlanError(f"cannot read CSV with {option}={value!r}", hint="it is one character, and no line break")
    lines = LineFormat(_without_mark(encoding), "strict", line_bytes_max, keeps_returns=True)
    how = CsvFormat(None if columns is None else tuple(columns), delimiter, quote, multiline, lines)
    if _form(path) is DataPath.COLUMNS:
        return CsvColumnsSource(paths_of(files), how)
    return CsvSource(paths_of(files), how, _positive("split_bytes", split_bytes))


def json_lines(files: Paths, /, *, split_bytes: int | None = None, line_bytes_max: int = LINE_BYTES_MAX) -> Source:
    """Return a source of the values of JSON Lines files: one JSON value a line, in UTF-8. Blank lines are skipped.

    Args:
        files: path, directory, glob or URI, or a list of these. `.gz`, `.bz2` and `.xz` files are decompressed, each as one split.
        split_bytes: size of the byte ranges that are handed out; by default chosen by the size of the input.
        line_bytes_max: longest line that is accepted, in bytes.
    """
    how = LineFormat(_without_mark("utf-8"), "strict", line_bytes_max)
    return JsonLinesSource(paths_of(files), how, _positive("split_bytes", split_bytes))


def parquet(
    files: Paths,
    /,
    *,
    columns: Sequence[str] | None = None,
    dictionary: Sequence[str] = (),
    split_bytes: int | None = None,
    path: Form = "columns",
) -> Source:
    """Return a source of the rows of Parquet files; a row group is the smallest split.

    Args:
        files: path, directory, glob or URI, or a list of these.
        columns: the columns to read; all by default.
        dictionary: text columns with few distinct values, to be read as dictionaries (Arrow) or categories (polars): functions over Arrow get
            them faster, because each distinct text is decoded once. For functions over polars frames plain text is faster.
        split_bytes: size of the runs of row groups that are handed out; by default chosen by the size of the input.
        path: `columns` gives column batches, `objects` gives dicts.
    """
    names = None if columns is None else tuple(columns)
    coded = (dictionary,) if isinstance(dictionary, str) else tuple(dictionary)
    return ParquetSource(paths_of(files), names, _form(path), _positive("split_bytes", split_bytes), coded)


def socket(
    host: str, port: int, *, encoding: str = "utf-8", errors: str = "strict", line_bytes_max: int = LINE_BYTES_MAX
) -> Source:
    """Return a source of the lines that a TCP server sends, until it closes the connection.

    After a failure it connects anew; what was sent before is gone.

    Args:
        host: of the server.
        port: of the server.
        encoding: of the lines.
        errors: what to do with bytes that are not valid, as in `bytes.decode`.
        line_bytes_max: longest line that is accepted, in bytes.
    """
    return SocketSource(host, port, LineFormat(encoding, errors, line_bytes_max))


def generator(fn: Callable[[int], Any] | None = None, *, count: int | None = None, rate: float | None = None) -> Source:
    """Return a source of records that are a function of their index 0, 1, 2, … .

    Args:
        fn: makes the record of an index; without it, the index is the record.
        count: number of records; without it, the source never ends.
        rate: records per second over all subtasks; without it, as fast as they are taken. After a delay it catches up.

    Raises:
        PlanError: if `count` is negative or `rate` is not positive.
    """
    return GeneratorSource(fn, count, rate)


def _positive(option: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise PlanError(f"cannot read with {option}={value}", hint="it is at least 1, or None to choose by the size of the input")
    return value


def _form(path: str) -> DataPath:
    if path not in ("objects", "columns"):
        raise PlanError(f"cannot read with path={path!r}", hint="it is 'objects' or 'columns'")
    return DataPath(path)


def _without_mark(encoding: str) -> str:
    """Return the encoding that drops a byte order mark, where there is one: programs that export tables like to write it."""
    try:
        return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    except LookupError:
        return encoding  # the line format says what is wrong with it
