"""Parquet as polars frames: the rows, types, positions and errors of Arrow's reader, whoever decodes them."""

import datetime as dt
import random

import polars as pl
import pyarrow as pa
import pytest
from connector_harness import drain, splits_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from actorflow.clock import ManualClock
from actorflow.connectors import sources
from actorflow.connectors.contracts import END_OF_SPLIT, ReaderContext
from actorflow.errors import SourceError
from actorflow.ids import SubtaskId, VertexId

FRAMES = ReaderContext(ManualClock(), SubtaskId(VertexId("v"), 0), 1, 1, frames=True)
ARROW = ReaderContext(ManualClock(), SubtaskId(VertexId("v"), 0), 1, 1)

UTC = dt.UTC
INSTANTS = st.integers(-(2**31), 2**32).map(lambda second: dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(seconds=second))
COLUMNS = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(st.characters(codec="utf-8"), max_size=20),
    pa.large_string(): st.sampled_from(["", "a", "longer than twelve bytes"]),
    pa.binary(): st.binary(max_size=20),
    pa.date32(): st.dates(),
    pa.timestamp("ms"): INSTANTS,
    pa.timestamp("us", "Europe/Berlin"): INSTANTS,
    pa.timestamp("ns"): INSTANTS,
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["a", "b"]),
    pa.list_(pa.int64()): st.lists(st.integers(0, 9), max_size=3),
    pa.time64("us"): st.times(),
}


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 40))
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4))
    columns = [pa.array(draw(st.lists(st.none() | COLUMNS[kind], min_size=rows, max_size=rows)), kind) for kind in kinds]
    fields = [pa.field(f"c{place}", kind, metadata={"of": "a field"}) for place, kind in enumerate(kinds)]
    return pa.table(columns, schema=pa.schema(fields, {"of": "a schema"}))


@st.composite
def files(draw):
    """Return a table, how to write it, and which of its columns to read."""
    table = draw(tables())
    how = {
        "row_group_size": draw(st.integers(1, 50)),
        "compression": draw(st.sampled_from(["snappy", "none", "zstd"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "use_dictionary": draw(st.booleans()),
        "data_page_size": draw(st.sampled_from([64, 1 << 20])),
        "store_schema": draw(st.booleans()),
    }
    wanted = draw(st.none() | st.lists(st.sampled_from(table.column_names), min_size=1, unique=True))
    return table, how, wanted


def batches(reader, rows_max=1 << 20):
    read = []
    while (batch := reader.read(rows_max)) is not END_OF_SPLIT:
        read.append(batch)
    reader.close()
    return read


def table_of(read):
    return pa.Table.from_batches([batch.columns for batch in read])


def same_as_arrow(source, rows_max):
    [split] = splits_of(source)
    by_arrow = table_of(batches(source.open_reader(split, None, ARROW), rows_max))
    framed = batches(source.open_reader(split, None, FRAMES), rows_max)
    assert table_of(framed).equals(by_arrow, check_metadata=True)
    for batch in framed:
        assert len(batch) == batch.columns.num_rows
        assert batch.frame is None or batch.frame.equals(pl.from_arrow(batch.columns))
        assert batch.frame is None or batch.frame.schema == pl.from_arrow(batch.columns).schema
    return framed


def rows_from_everywhere(source, rows_max):
    """Read with frames from each position of either reader, and with Arrow from the same one: always the same rest."""
    [split] = splits_of(source)
    for context in (FRAMES, ARROW):
        reader = source.open_reader(split, None, context)
        positions = [reader.position]
        while reader.read(rows_max) is not END_OF_SPLIT:
            positions.append(reader.position)
        reader.close()
        for position in positions:
            by_arrow = drain(source.open_reader(split, position, ARROW))
            assert by_arrow == drain(source.open_reader(split, position, FRAMES))


@pytest.mark.slow
@settings(max_examples=60)
@given(files(), st.integers(1, 60))
def test_frames_hold_what_arrow_reads(tmp_path_factory, written, rows_max):
    table, how, wanted = written
    path = tmp_path_factory.mktemp("parquet") / "[a*].parquet"  # such a name is no pattern
    pq.write_table(table, path, **how)
    source = sources.parquet(path.parent, columns=wanted, split_bytes=1 << 30)
    same_as_arrow(source, rows_max)
    rows_from_everywhere(source, rows_max)


WORDS = pa.table({"word": [f"word {n % 7}" for n in range(1000)], "n": range(1000)})


def written(path, table=WORDS, **how):
    pq.write_table(table, path, **how)
    return sources.parquet(path, split_bytes=1 << 30)


def test_plain_columns_are_frames(tmp_path):
    read = same_as_arrow(written(tmp_path / "a", row_group_size=300), 250)
    assert [250, 250, 250, 250] == [batch.frame.height for batch in read]


@pytest.mark.parametrize("rows_max", [64, 299, 300, 100_000])
def test_a_run_that_is_too_large_is_decoded_in_several_frames(tmp_path, monkeypatch, rows_max):
    monkeypatch.setattr("actorflow.connectors.parquet_files._FRAME_ROWS_MAX", rows_max)
    source = written(tmp_path / "a", row_group_size=300)
    read = same_as_arrow(source, 1 << 20)
    assert all(batch.frame is not None for batch in read)
    assert max(map(len, read)) <= rows_max
    rows_from_everywhere(source, 70)


def test_a_group_that_would_be_gone_through_too_often_is_left_to_arrow(tmp_path, monkeypatch):
    monkeypatch.setattr("actorflow.connectors.parquet_files._FRAME_ROWS_MAX", 100)
    assert [None] * 10 == [batch.frame for batch in same_as_arrow(written(tmp_path / "a"), 1 << 20)]


def test_what_is_not_plain_is_left_to_arrow(tmp_path):
    others = {
        "dictionary": WORDS["word"].dictionary_encode(),
        "list": [[n] for n in range(1000)],
        "time": pa.array([dt.time(1)] * 1000),
        "a.b": range(1000),
    }
    for name, column in others.items():
        source = written(tmp_path / "a", pa.table({"word": WORDS["word"], name: column}))
        assert [None] == [batch.frame for batch in same_as_arrow(source, 1 << 20)], name
    pq.write_table(pa.table({"at": pa.array([0], pa.timestamp("ns"))}), tmp_path / "a", use_deprecated_int96_timestamps=True)
    assert [None] == [batch.frame for batch in same_as_arrow(sources.parquet(tmp_path / "a"), 1 << 20)]


def test_columns_beside_others_are_frames(tmp_path):
    table = pa.table({"list": [[1, 2]] * 10, "struct": [{"word": 1}] * 10, "word": ["a"] * 10})
    pq.write_table(table, tmp_path / "a")
    [batch] = same_as_arrow(sources.parquet(tmp_path / "a", columns=["word"]), 1 << 20)
    assert ["word"] == batch.frame.columns


def test_text_that_is_wanted_as_dictionaries_is_read_by_arrow(tmp_path):
    pq.write_table(WORDS, tmp_path / "a")
    [batch] = same_as_arrow(sources.parquet(tmp_path / "a", dictionary=["word"]), 1 << 20)
    assert batch.frame is None


def outcome(source, context):
    try:
        splits = list(source.splits(1))
        read = [batch for split in splits for batch in batches(source.open_reader(split, None, context))]
        return [table_of([batch]).to_pydict() for batch in read]
    except SourceError as error:
        return str(error)


def test_a_damaged_file_is_reported_as_arrow_reports_it(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"word": [f"word {n % 50}" for n in range(400)]}), path, row_group_size=100)
    whole, chance, reported = path.read_bytes(), random.Random(3), 0
    source = sources.parquet(path)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chance.randrange(4, len(whole) // 2)] = chance.randrange(256)
        path.write_bytes(damaged)
        by_arrow = outcome(source, ARROW)
        assert by_arrow == outcome(source, FRAMES)
        reported += isinstance(by_arrow, str)
    assert reported > 30


def test_a_header_that_claims_billions_of_values_is_not_shown_to_polars(tmp_path):
    """Polars would reserve memory for them, and with it the process would end."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": pa.array([1, None, 3])}), path, use_dictionary=False, compression="none", write_statistics=False)
    source, whole = sources.parquet(path), path.read_bytes()
    number = whole.index(b"\x15\x06\x15", 4)  # three values, as a Thrift integer, and the field behind it
    path.write_bytes(whole[: number + 1] + b"\xfe" + whole[number + 2 :])
    assert outcome(source, ARROW) == outcome(source, FRAMES)
    [split] = splits_of(source)
    with pytest.raises(SourceError, match=r"a\.parquet"):
        source.open_reader(split, None, FRAMES).read(10)
