"""Bad inputs of every kind: a clear error that names file, place and what to do, or the correct result."""

import gzip
import json
import os
import pickle

import pyarrow as pa
import pytest
from connector_harness import drain, read_flat, splits_of
from pyarrow import parquet as pq

from actorflow.connectors import sources
from actorflow.errors import PlanError, SourceError


def error_of(source):
    with pytest.raises(SourceError) as caught:
        read_flat(source)
    assert caught.value.message == pickle.loads(pickle.dumps(caught.value)).message
    return caught.value


FILE_SOURCES = [sources.text, sources.csv, sources.json_lines, sources.parquet]


@pytest.mark.parametrize("make", FILE_SOURCES)
def test_a_missing_file_is_named_when_splits_are_listed(make, tmp_path):
    with pytest.raises(SourceError) as caught:
        list(make(tmp_path / "missing").splits(1))
    assert f"cannot read '{tmp_path}/missing': no such file or directory" == caught.value.message


@pytest.mark.parametrize("make", FILE_SOURCES)
def test_a_file_that_vanishes_after_it_was_listed_is_named_when_it_is_opened(make, tmp_path):
    path = tmp_path / "a"
    if make is sources.parquet:
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_text("a\n1\n")
    source = make(path)
    [split] = source.splits(1)
    path.unlink()
    with pytest.raises(SourceError, match=f"cannot read '{path}': no such file or directory"):
        source.open(split, None)


@pytest.mark.parametrize("make", FILE_SOURCES)
def test_an_empty_directory_has_no_records(make, tmp_path):
    assert [] == read_flat(make(tmp_path))


@pytest.mark.parametrize("make", [sources.text, sources.csv, sources.json_lines])
def test_an_empty_file_has_no_records_compressed_or_not(make, tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b""))
    assert [] == read_flat(make(tmp_path))


def test_an_empty_csv_file_has_no_columns(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b""))
    assert [] == read_flat(sources.csv(tmp_path, path="columns"))


def test_a_parquet_file_of_zero_rows_has_no_records(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert [] == read_flat(sources.parquet(tmp_path))


def test_a_csv_file_of_a_header_has_no_records(tmp_path):
    (tmp_path / "a.csv").write_text("a,b")
    assert [] == read_flat(sources.csv(tmp_path))
    assert [] == read_flat(sources.csv(tmp_path, path="columns"))


def test_a_binary_file_is_no_text_and_the_first_bad_byte_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"ok\n" * 40_000 + b"\x89PNG\r\n\x1a\n" + os.urandom(100))
    error = error_of(sources.text(path))
    assert f"cannot read '{path}': byte 120000 is not valid utf-8 (invalid start byte)" == error.message
    assert "errors='replace'" in error.hint


def test_invalid_bytes_are_replaced_if_asked(tmp_path):
    (tmp_path / "a").write_bytes(b"a\xff\nb\xe2\n")
    assert ["a\ufffd", "b\ufffd"] == read_flat(sources.text(tmp_path, errors="replace"))
    assert ["a\xff", "b\xe2"] == read_flat(sources.text(tmp_path, encoding="latin-1"))


@pytest.mark.parametrize("line_bytes", [11, 200_000])
def test_a_line_over_the_limit_is_named_with_its_place(tmp_path, line_bytes):
    (tmp_path / "a").write_bytes(b"short\n" + b"x" * line_bytes + b"\nend\n")
    limit = line_bytes - 1
    error = error_of(sources.text(tmp_path, line_bytes_max=limit))
    assert f"cannot read '{tmp_path}/a': the line at byte 6 is longer than {limit} bytes" == error.message
    assert "raise line_bytes_max" in error.hint
    assert ["short", "x" * line_bytes, "end"] == read_flat(sources.text(tmp_path, line_bytes_max=line_bytes))


def test_a_line_that_crosses_splits_is_read_once_by_the_split_it_starts_in(tmp_path):
    long = "é" * 500_000
    (tmp_path / "a").write_text(f"a\n{long}\nb\n{long}")
    source = sources.text(tmp_path, split_bytes=1000)
    splits = splits_of(source)
    assert 2001 == len(splits)
    assert ["a", long] == drain(source.open(splits[0], None))
    assert [] == drain(source.open(splits[1], None))
    assert ["a", long, "b", long] == [line for split in splits for line in drain(source.open(split, None))]


def test_a_damaged_compressed_file_is_named(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"line\n" * 1000)[:-20])
    error = error_of(sources.text(path))
    assert error.message.startswith(f"cannot read '{path}': ")
    assert "truncated or damaged" in error.hint
    path.write_bytes(b"this is not gzip")
    assert error_of(sources.text(path)).message.startswith(f"cannot read '{path}': not a gzipped file")


def test_a_line_that_is_not_json_is_named_with_its_place(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n[1]\r\n{"a": \n')
    error = error_of(sources.json_lines(path))
    assert f"cannot read '{path}': the line at byte 15 is not JSON: " in error.message
    path.write_text("1,2\n")
    assert "Extra data" in error_of(sources.json_lines(path)).message


def test_a_csv_record_with_too_few_values_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n"x\ny"\n')
    assert (
        f"cannot read '{path}': the record that ends before byte 14 has 1 values, there are 2 columns: ['x\\ny']"
        == error_of(sources.csv(path)).message
    )


def test_a_csv_file_with_an_open_quote_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"2\n')
    assert f"cannot read '{path}': malformed CSV before byte 9: unexpected end of data" == error_of(sources.csv(path)).message


def test_a_csv_header_with_one_name_twice_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,a\n1,2,3\n")
    assert f"cannot read '{path}': its header has the column 'a' twice" == error_of(sources.csv(path)).message


def test_a_csv_value_of_another_type_than_its_column_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "1\n" * 600_000 + "word\n")
    error = error_of(sources.csv(path, path="columns"))
    assert error.message.startswith(f"cannot read '{path}' as CSV: In CSV column #0")
    assert "path='objects'" in error.hint


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("these are words, not columns")
    assert error_of(sources.parquet(path)).message.startswith(f"cannot read '{path}' as Parquet: Parquet magic bytes not found")


def test_a_column_that_parquet_lacks_is_named_with_the_nearest(tmp_path):
    pq.write_table(pa.table({"origin": [1], "delay": [2]}), tmp_path / "a.parquet")
    error = error_of(sources.parquet(tmp_path, columns=["orgin"]))
    assert f"cannot read '{tmp_path}/a.parquet': it has no column 'orgin'" == error.message
    assert "did you mean 'origin'?" == error.hint
    assert "its columns are origin, delay" == error_of(sources.parquet(tmp_path, columns=["x"])).hint


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: sources.text("a", encoding="utf8x"), "cannot read text: unknown encoding: utf8x"),
        (lambda: sources.text("a", errors="lenient"), "cannot read text: unknown error handler name 'lenient'"),
        (lambda: sources.text("a", encoding="utf-16"), "cannot read text as 'utf-16': its line ends are more than one byte"),
        (lambda: sources.text("a", split_bytes=0), "cannot read with split_bytes=0"),
        (lambda: sources.text("a", line_bytes_max=0), "cannot read text: line_bytes_max and block_bytes must be at least 1"),
        (lambda: sources.text([1]), "cannot read a path of type 'int'"),
        (lambda: sources.csv("a", delimiter="||"), "cannot read CSV with delimiter='||'"),
        (lambda: sources.parquet("a", path="rows"), "cannot read with path='rows'"),
        (lambda: sources.generator(count=-1), "cannot generate -1 records"),
        (lambda: sources.generator(rate=0), "cannot generate 0 records a second"),
    ],
)
def test_an_impossible_option_is_refused_where_it_is_written(make, text):
    with pytest.raises(PlanError) as caught:
        make()
    assert text == caught.value.message


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfa\r\n1\r\n")
    assert [{"a": "1"}] == read_flat(sources.csv(tmp_path / "a.csv"))
    assert [{"a": 1}] == read_flat(sources.csv(tmp_path / "a.csv", path="columns"))
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert [{"a": 1}] == read_flat(sources.json_lines(tmp_path / "a.jsonl"))


@pytest.mark.slow
def test_a_line_of_200_mb_is_read_with_a_few_times_its_memory(tmp_path):
    path = tmp_path / "a.txt"
    with path.open("wb") as out:
        for _ in range(200):
            out.write(b"x" * 1_000_000)
        out.write(b"\nend\n")
    assert "the line at byte 0 is longer than 67108864 bytes" in error_of(sources.text(path)).message
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # a process of its own, as the peak of memory is counted for each process
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        lengths = [len(line) for line in read_flat(sources.text(path, line_bytes_max=1 << 28, split_bytes=1 << 30))]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        os.write(writer, json.dumps([lengths, grown]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        lengths, grown_mb = json.loads(answer.read())
    os.waitpid(child, 0)
    assert [200_000_000, 3] == lengths
    assert grown_mb < 900
