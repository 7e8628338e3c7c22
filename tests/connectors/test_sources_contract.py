"""One suite over every bounded source: all records once, whatever the splits; and the exact rest from every position."""

import bz2
import contextlib
import gzip
import json
import lzma
import pickle

import pyarrow as pa
import pytest
from connector_harness import drain, next_batch, read_flat, splits_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from actorflow.connectors import sources
from actorflow.connectors.direct_sinks import records_of
from actorflow.plan.graph import DataPath
from actorflow.wire.batch import ColumnBatch, ObjectBatch

WORDS = [f"wörd {number}" for number in range(60)]
ROWS = [{"n": number, "name": word} for number, word in enumerate(WORDS)]
TEXT = "".join(f"{word}\n" for word in WORDS)
CSV = "n,name\n" + "".join(f'{row["n"]},"{row["name"]}, ""so""\nand on"\n' for row in ROWS)
CSV_ROWS = [{"n": str(row["n"]), "name": f'{row["name"]}, "so"\nand on'} for row in ROWS]
CSV_SIMPLE = "n,name\n" + "".join(f"{row['n']},{row['name']}\r\n" for row in ROWS)


def text(folder):
    (folder / "a.txt").write_text(TEXT)
    return sources.text(folder / "a.txt", split_bytes=100), WORDS


def many_small_files(folder):
    for number, word in enumerate(WORDS):
        (folder / f"{number:03}.txt").write_text(f"{word}\n" * (number % 3))
    return sources.text(folder, split_bytes=64), [word for number, word in enumerate(WORDS) for _ in range(number % 3)]


def compressed(folder):
    for name, module, words in (("1.gz", gzip, WORDS[:20]), ("2.bz2", bz2, WORDS[20:40]), ("3.xz", lzma, WORDS[40:])):
        with module.open(folder / name, "wt", encoding="utf-8") as out:
            out.write("\n".join(words))
    return sources.text(folder, split_bytes=10), WORDS


def json_lines(folder):
    (folder / "a.jsonl").write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS))
    return sources.json_lines(folder / "a.jsonl", split_bytes=90), ROWS


def csv_multiline(folder):
    (folder / "a.csv").write_text(CSV)
    (folder / "b.csv").write_text(CSV)
    return sources.csv(folder, split_bytes=10), CSV_ROWS * 2


def csv_cut(folder):
    (folder / "a.csv").write_bytes(CSV_SIMPLE.encode())
    return sources.csv(folder, multiline=False, split_bytes=50), [{"n": str(r["n"]), "name": r["name"]} for r in ROWS]


def csv_without_header(folder):
    (folder / "a.csv").write_text("1;x\n\n2;y\n")
    return sources.csv(folder, columns=["n", "name"], delimiter=";"), [{"n": "1", "name": "x"}, {"n": "2", "name": "y"}]


def csv_columns(folder):
    (folder / "a.csv").write_text(CSV)
    return sources.csv(folder, path="columns"), [{"n": int(row["n"]), "name": row["name"]} for row in CSV_ROWS]


def parquet(folder):
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet", row_group_size=7)
    pq.write_table(pa.Table.from_pylist(ROWS[:0], pa.schema({"n": pa.int64(), "name": pa.string()})), folder / "b.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "c.parquet")
    return sources.parquet(folder, split_bytes=300), ROWS * 2


def parquet_dictionary(folder):
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet", row_group_size=7)
    return sources.parquet(folder, dictionary=["name"], split_bytes=300), ROWS


def parquet_objects(folder):
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet", row_group_size=25)
    return sources.parquet(folder, columns=["name"], path="objects"), [{"name": word} for word in WORDS]


def collection(_):
    return sources.collection(iter(WORDS)), WORDS


def generator(_):
    return sources.generator(lambda index: index * index, count=60), [index * index for index in range(60)]


def indices(_):
    return sources.generator(count=61), list(range(61))


def nothing(_):
    return sources.collection([]), []


SOURCES = [
    text, many_small_files, compressed, json_lines, csv_multiline, csv_cut, csv_without_header, csv_columns, parquet, parquet_dictionary, parquet_objects,
    collection, generator, indices, nothing,
]  # fmt: skip


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__, scope="module")
def made(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.mark.parametrize("parallelism", [1, 2, 3, 7])
@pytest.mark.parametrize("records_max", [1, 9, 1000])
def test_all_splits_together_give_every_record_once_and_in_order(made, parallelism, records_max):
    source, expected = made
    assert source.bounded
    assert expected == read_flat(source, parallelism, records_max)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parallelism=st.integers(1, 4), steps=st.lists(st.integers(1, 11), min_size=1, max_size=8))
def test_from_every_position_the_exact_rest_is_read(made, parallelism, steps):
    source, _ = made
    for split in splits_of(source, parallelism)[:6]:
        whole = drain(source.open(split, None))
        reader, before = source.open(split, None), []
        for records_max in steps:
            position = pickle.loads(pickle.dumps(reader.position))
            assert whole == before + drain(source.open(split, position))
            batch = next_batch(reader, records_max)
            if batch is None:
                break
            before += records_of(batch)
        reader.close()


def test_batches_have_the_form_that_the_source_declares(made):
    source, _ = made
    form = ColumnBatch if source.gives is DataPath.COLUMNS else ObjectBatch
    for split in splits_of(source):
        with contextlib.closing(source.open(split, None)) as reader:
            assert isinstance(next_batch(reader, 5), form)
