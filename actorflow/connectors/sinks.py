"""The sinks that come with actorflow: `af.sinks.*`.

Each function returns a `Sink`, a small value that opens nothing yet. File sinks write part files into a directory, each visible only when
the job commits it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from actorflow.config.values import Duration, duration_s, memory_bytes
from actorflow.connectors.contracts import Sink
from actorflow.connectors.direct_sinks import CollectSink, DiscardSink, ForEachSink, PrintSink
from actorflow.connectors.file_formats import CsvFormat, JsonLinesFormat, TextFormat
from actorflow.connectors.file_sinks import FileSink, Rolling
from actorflow.connectors.parquet_format import ParquetFormat
from actorflow.errors import PlanError
from actorflow.storage.files import as_uri

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["collect", "csv", "discard", "for_each", "json_lines", "parquet", "print", "text"]

Directory = str | os.PathLike[str]


def print(prefix: str | None = None) -> Sink:  # noqa: A001 - read as `af.sinks.print`
    """Return a sink that prints each record on a line of the worker's standard output.

    With more than one subtask a line starts with the subtask's number, as `2> record`; with a prefix, as `prefix:2> record`.
    """
    return PrintSink(prefix)


def collect() -> Sink:
    """Return a sink that sends records to the client that waits for the job."""
    return CollectSink()


def discard() -> Sink:
    """Return a sink that drops all records."""
    return DiscardSink()


def for_each(fn: Callable[[Any], object]) -> Sink:
    """Return a sink that calls a function with each record. After a failure, it is called again for some records."""
    return ForEachSink(fn)


def text(directory: Directory, *, roll_size: int | str | None = None, roll_after: Duration | None = None) -> Sink:
    """Return a sink that writes `str(record)` on a line of a text file. A line break in it makes two lines.

    Args:
        directory: path or URI; made if it does not exist.
        roll_size: begin another file when one has so many bytes (`"128mb"`); by default there is one for each checkpoint, or for the job.
        roll_after: begin another file when records still come so long after the first of one.
    """
    return FileSink(as_uri(directory), TextFormat(), _rolling("text", roll_size, roll_after))


def _rolling(sink: str, size: int | str | None, after: Duration | None) -> Rolling:
    bytes_max = None if size is None else memory_bytes(size, f"roll_size of {sink}")
    after_s = None if after is None else duration_s(after, f"roll_after of {sink}")
    if bytes_max == 0 or after_s == 0:
        raise PlanError(f"a file of {sink} cannot end before its first record", hint="roll_size= and roll_after= are above 0")
    return Rolling(bytes_max, after_s)


def csv(
    directory: Directory,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    roll_size: int | str | None = None,
    roll_after: Duration | None = None,
) -> Sink:
    """Return a sink that writes CSV files, each with a header.

    Args:
        directory: path or URI; made if it does not exist.
        columns: names and order. Needed for plain tuples and lists; dicts, dataclasses and named tuples bring names of their own.
        delimiter: the character between values.
        roll_size: see `text`.
        roll_after: see `text`.

    Raises:
        PlanError: if the delimiter is not one character.
    """
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise PlanError(f"cannot write CSV with delimiter={delimiter!r}", hint="it is one character, and no quote or line break")
    form = CsvFormat(None if columns is None else tuple(columns), delimiter)
    return FileSink(as_uri(directory), form, _rolling("csv", roll_size, roll_after))


def json_lines(directory: Directory, *, roll_size: int | str | None = None, roll_after: Duration | None = None) -> Sink:
    """Return a sink that writes JSON Lines files: one JSON value a line. Dataclasses and named tuples become objects.

    Args: see `text`.
    """
    return FileSink(as_uri(directory), JsonLinesFormat(), _rolling("json_lines", roll_size, roll_after))


def parquet(
    directory: Directory,
    *,
    schema: pa.Schema | None = None,
    roll_size: int | str | None = None,
    roll_after: Duration | None = None,
) -> Sink:
    """Return a sink that writes Parquet files, from column batches as they are or from records with named fields.

    Args:
        directory: path or URI; made if it does not exist.
        schema: of the files; by default that of the first row group of each.
        roll_size: see `text`; whole row groups count.
        roll_after: see `text`.
    """
    return FileSink(as_uri(directory), ParquetFormat(schema), _rolling("parquet", roll_size, roll_after))
