"""Every source into every sink, through whole runs."""

import csv
import gzip
import json
import re
import socket
import threading
from contextlib import contextmanager

import pyarrow as pa
import pytest
from pyarrow import parquet

import actorflow as af

COUNT = 300
EXPECTED = sorted(map(str, range(COUNT)))


# --- sources: each a stream of rows {"n": ...}, whose values are the numbers, as numbers or as text --------------------------------


def plain(stream):
    return stream.map(lambda value: {"n": value})


def lines(directory, opened=open, suffix="txt"):
    for part in range(3):
        with opened(directory / f"{part}.{suffix}", "wt") as file:
            file.writelines(f"{n}\n" for n in range(part, COUNT, 3))
    return directory


@contextmanager
def from_collection(pipeline, directory):
    yield pipeline.read(af.sources.collection([{"n": n} for n in range(COUNT)]))


@contextmanager
def from_text(pipeline, directory):
    yield plain(pipeline.read(af.sources.text(lines(directory), split_bytes=100)))


@contextmanager
def from_compressed_text(pipeline, directory):
    yield plain(pipeline.read(af.sources.text(lines(directory, gzip.open, "txt.gz"))))


def written_csv(directory):
    (directory / "numbers.csv").write_text("n,name\n" + "".join(f"{n},'{n}'\n" for n in range(COUNT)))
    return directory


@contextmanager
def from_csv(pipeline, directory):
    yield pipeline.read(af.sources.csv(written_csv(directory), multiline=False, split_bytes=500))


@contextmanager
def from_csv_columns(pipeline, directory):
    yield pipeline.read(af.sources.csv(written_csv(directory), path="columns"))


@contextmanager
def from_json_lines(pipeline, directory):
    (directory / "numbers.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(COUNT)))
    yield pipeline.read(af.sources.json_lines(directory))


def written_parquet(directory):
    parquet.write_table(pa.table({"n": range(COUNT), "m": range(COUNT)}), directory / "numbers.parquet", row_group_size=70)
    return directory


@contextmanager
def from_parquet(pipeline, directory):
    yield pipeline.read(af.sources.parquet(written_parquet(directory), split_bytes=100))


@contextmanager
def from_parquet_objects(pipeline, directory):
    yield pipeline.read(af.sources.parquet(written_parquet(directory), columns=["n"], path="objects"))


@contextmanager
def from_generator(pipeline, directory):
    yield plain(pipeline.read(af.sources.generator(count=COUNT)))


@contextmanager
def from_generator_at_a_rate(pipeline, directory):
    yield plain(pipeline.read(af.sources.generator(lambda n: n, count=COUNT, rate=10_000)))


def serve_numbers(server):
    connection, _ = server.accept()
    with connection:
        for n in range(COUNT):
            connection.sendall(f"{n}\n".encode())


@contextmanager
def from_socket(pipeline, directory):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_numbers, args=[server], daemon=True)
        thread.start()
        yield plain(pipeline.read(af.sources.socket(*server.getsockname())))
        thread.join(30)


SOURCES = [
    from_collection,
    from_text,
    from_compressed_text,
    from_csv,
    from_csv_columns,
    from_json_lines,
    from_parquet,
    from_parquet_objects,
    from_generator,
    from_generator_at_a_rate,
    from_socket,
]


# --- sinks: each writes rows, and gives the values of their field n as text ------------------------------------------------------


def finished(directory, suffix):
    files = sorted(directory.iterdir())
    assert all(re.fullmatch(rf"part-\d+-\d+-[0-9a-f]{{16}}\.{suffix}", file.name) for file in files), files
    return files


def values_in(text):
    return re.findall(r"'n': '?(\d+)'?", text)


def to_text(stream, run, directory, printed):
    stream.write(af.sinks.text(directory))
    assert COUNT == run().records_out
    return values_in("".join(file.read_text() for file in finished(directory, "txt")))


def to_csv(stream, run, directory, printed):
    stream.write(af.sinks.csv(directory))
    run()
    return [row["n"] for file in finished(directory, "csv") for row in csv.DictReader(file.read_text().splitlines())]


def to_json_lines(stream, run, directory, printed):
    stream.write(af.sinks.json_lines(directory))
    run()
    return [str(json.loads(line)["n"]) for file in finished(directory, "jsonl") for line in file.read_text().splitlines()]


def to_parquet(stream, run, directory, printed):
    stream.write(af.sinks.parquet(directory))
    run()
    return [str(n) for file in finished(directory, "parquet") for n in parquet.read_table(file).column("n").to_pylist()]


def to_collect(stream, run, directory, printed):
    stream.write(af.sinks.collect())
    return [str(row["n"]) for row in run().results]


def to_discard(stream, run, directory, printed):
    stream.write(af.sinks.discard())
    return list(map(str, range(run().records_out)))


def to_print(stream, run, directory, printed):
    stream.write(af.sinks.print())
    run()
    return values_in(printed())


def to_for_each(stream, run, directory, printed):
    directory.mkdir()
    stream.write(af.sinks.for_each(lambda row: (directory / str(row["n"])).touch()))
    run()
    return [file.name for file in directory.iterdir()]


SINKS = [to_text, to_csv, to_json_lines, to_parquet, to_collect, to_discard, to_print, to_for_each]
OPPOSITES = [(source, SINKS[place % len(SINKS)], 2) for place, source in enumerate(SOURCES)]


@pytest.mark.parametrize(
    ("source", "sink", "slots"),
    [
        *((source, sink, "inline") for source in SOURCES for sink in SINKS),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in OPPOSITES),
    ],
)
def test_what_a_source_reads_a_sink_writes(source, sink, slots, tmp_path, capfd):
    pipeline = af.Pipeline("through")
    (tmp_path / "in").mkdir()
    with source(pipeline, tmp_path / "in") as rows:
        written = sink(rows, lambda: af.run(pipeline, slots=slots, parallelism=2), tmp_path / "out", lambda: capfd.readouterr().out)
    assert EXPECTED == sorted(written)


@pytest.mark.parametrize("make", [from_socket, from_text, from_parquet])
def test_a_pinned_source_reads_as_any_other(make, slots, tmp_path):
    pipeline = af.Pipeline("pinned")
    read = pipeline.read
    pipeline.read = lambda source: read(source, dispatcher="pinned")
    with make(pipeline, tmp_path) as rows:
        written = [str(row["n"]) for row in af.collect(rows, slots=slots)]
    assert EXPECTED == sorted(written)
