"""The formats of file sinks that write text: plain lines, CSV, JSON Lines. All are UTF-8 with line feeds."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

from actorflow.connectors.direct_sinks import records_of
from actorflow.errors import SinkError
from actorflow.plan.graph import DataPath
from actorflow.wire.batch import Batch


@dataclass(frozen=True, slots=True)
class TextFormat:
    """`str(record)` on a line."""

    suffix: ClassVar[str] = "txt"
    takes: ClassVar[DataPath] = DataPath.OBJECTS

    def start(self, stream: BinaryIO, name: str) -> LineEncoder:
        """Return the encoder of a new file."""
        return LineEncoder(stream, name, str)


@dataclass(frozen=True, slots=True)
class JsonLinesFormat:
    """A JSON value on a line. Dataclasses and named tuples become objects."""

    suffix: ClassVar[str] = "jsonl"
    takes: ClassVar[DataPath] = DataPath.OBJECTS

    def start(self, stream: BinaryIO, name: str) -> LineEncoder:
        """Return the encoder of a new file."""
        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain_dataclass).encode
        return LineEncoder(stream, name, lambda record: encode(fields_of(record) or record))


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """A header, then a record on a line.

    Attributes:
        columns: names and order; None to take them from the first record.
        delimiter: one character between values.
    """

    columns: tuple[str, ...] | None = None
    delimiter: str = ","

    suffix: ClassVar[str] = "csv"
    takes: ClassVar[DataPath] = DataPath.OBJECTS

    def start(self, stream: BinaryIO, name: str) -> CsvEncoder:
        """Return the encoder of a new file."""
        return CsvEncoder(stream, name, self)


class LineEncoder:
    """Writes each record as a line.

    Args:
        stream: of the file.
        name: of the file, for errors.
        encode: makes a record a line, without its end.
    """

    def __init__(self, stream: BinaryIO, name: str, encode: Callable[[Any], str]) -> None:
        self._stream = stream
        self._name = name
        self._encode = encode

    def write(self, batch: Batch) -> None:
        """Write the records of a batch."""
        records = records_of(batch)
        try:
            text = "\n".join(map(self._encode, records))
            data = text.encode()
        except Exception as error:  # `str` and `default` run the user's code
            raise self._unfit(records, error) from error
        self._stream.write(data)
        self._stream.write(b"\n")

    def finish(self) -> None:
        """Nothing is kept back."""

    def abandon(self) -> None:
        """Nothing is held."""

    def _unfit(self, records: list[Any], error: Exception) -> SinkError:
        for record in records:
            try:
                self._encode(record).encode()
            except Exception as cause:
                return unfit(self._name, record, str(cause) or type(cause).__name__)
        return SinkError(f"cannot write '{self._name}': {error}")


class CsvEncoder:
    """Writes records as CSV.

    Args:
        stream: of the file.
        name: of the file, for errors.
        how: columns and delimiter.
    """

    def __init__(self, stream: BinaryIO, name: str, how: CsvFormat) -> None:
        self._stream = stream
        self._name = name
        self._columns = how.columns
        self._delimiter = how.delimiter
        self._header_due = True

    def write(self, batch: Batch) -> None:
        """Write the records of a batch, after the header if they are the first."""
        buffer = io.StringIO()
        rows = csv.writer(buffer, delimiter=self._delimiter, lineterminator="\n")
        for record in records_of(batch):
            values = self._values(record)
            if self._header_due:
                assert self._columns is not None, "the first record has set them"
                rows.writerow(self._columns)
                self._header_due = False
            rows.writerow(values)
        try:
            data = buffer.getvalue().encode()
        except UnicodeEncodeError as error:
            raise SinkError(f"cannot write '{self._name}': {error}", hint="the text holds half of a surrogate pair") from error
        self._stream.write(data)

    def finish(self) -> None:
        """Nothing is kept back."""

    def abandon(self) -> None:
        """Nothing is held."""

    def _values(self, record: Any) -> list[Any]:
        fields = fields_of(record)
        if fields is None:
            if self._columns is not None and isinstance(record, (tuple, list)) and len(record) == len(self._columns):
                return list(record)
            raise unfit(self._name, record, "it has no column names", hint="give columns=, or map records to dicts")
        if self._columns is None:
            self._columns = tuple(map(str, fields))
        if fields.keys() != set(self._columns):
            raise unfit(
                self._name,
                record,
                f"its columns are {', '.join(map(str, fields))}; the file's are {', '.join(self._columns)}",
                hint="give columns= and map records to dicts that have them all",
            )
        return [fields[column] for column in self._columns]


def fields_of(record: Any) -> Mapping[str, Any] | None:
    """Return the named fields of a record (a mapping, dataclass or named tuple), or None if it has none."""
    if isinstance(record, dict):
        return record
    if isinstance(record, tuple):
        names = getattr(record, "_fields", None)
        return None if names is None else dict(zip(names, record, strict=True))
    if isinstance(record, Mapping):
        return dict(record)
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return None


def unfit(name: str, record: object, reason: str, *, hint: str = "map it to plain values first") -> SinkError:
    """Return the error for a record that a format cannot hold."""
    return SinkError(f"cannot write a record of type '{type(record).__name__}' to '{name}': {reason}", hint=hint)


def _plain_dataclass(value: Any) -> Any:
    """Make a dataclass inside a record a JSON object; anything else is refused by its type."""
    fields = fields_of(value)
    if fields is None:
        raise TypeError(f"a value of type '{type(value).__name__}' is not JSON")
    return fields
