"""Files of several blocks, and row groups of several decoded parts: positions in the middle of each lead to the exact rest."""

import json

import pyarrow as pa
import pytest
from connector_harness import drain, next_batch, splits_of
from pyarrow import parquet as pq

from actorflow.connectors import sources
from actorflow.connectors.direct_sinks import records_of

COUNT = 150_000
STEPS = [1000, 30_000, 65_000, 140_000]


def text(path):
    path.write_text("".join(f"line {n}\n" for n in range(COUNT)))
    return sources.text(path, split_bytes=1 << 30), [f"line {n}" for n in range(COUNT)]


def json_lines(path):
    path.write_text("".join(json.dumps(n) + "\n\n" for n in range(COUNT)))
    return sources.json_lines(path, split_bytes=1 << 30), list(range(COUNT))


def csv(path):
    path.write_text("n\n" + "".join(f'"{n}\n"\n' for n in range(COUNT)))
    return sources.csv(path), [{"n": f"{n}\n"} for n in range(COUNT)]


def csv_columns(path):
    path.write_text("n\n" + "".join(f"{n}\n" for n in range(COUNT)))
    return sources.csv(path, path="columns"), [{"n": n} for n in range(COUNT)]


def parquet(path):
    pq.write_table(pa.table({"n": range(COUNT)}), path)
    return sources.parquet(path, path="objects"), [{"n": n} for n in range(COUNT)]


def parquet_small_groups(path):
    pq.write_table(pa.table({"n": range(COUNT)}), path, row_group_size=7000)
    return sources.parquet(path, path="objects", split_bytes=1 << 30), [{"n": n} for n in range(COUNT)]


@pytest.mark.parametrize("make", [text, json_lines, csv, csv_columns, parquet, parquet_small_groups])
def test_positions_deep_in_a_large_file_lead_to_the_exact_rest(make, tmp_path):
    source, expected = make(tmp_path / "file")
    [split] = splits_of(source)
    reader, given = source.open(split, None), 0
    for step in STEPS:
        while given < step:
            batch = next_batch(reader, 999)
            assert expected[given : given + len(batch)] == records_of(batch)
            given += len(batch)
        assert expected[given:] == drain(source.open(split, reader.position), 10_000)
    assert expected[given:] == drain(reader, 10_000)


def test_small_row_groups_are_given_together_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("actorflow.connectors.parquet_files._DECODED_ROWS_MAX", 20_000)
    pq.write_table(pa.table({"n": range(50_000)}), tmp_path / "file", row_group_size=9000)
    source = sources.parquet(tmp_path / "file")
    [split] = splits_of(source)
    reader = source.open(split, None)
    assert [18_000, 18_000, 14_000] == [len(next_batch(reader, 1 << 20)) for _ in range(3)]
