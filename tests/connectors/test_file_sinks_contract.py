"""One suite over every file sink: readers see committed files or nothing, commits repeat, failures leave nothing behind."""

import dataclasses
import errno
import json
import os
import pickle
import resource
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
from connector_harness import Context, read_flat, write_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actorflow.connectors import sinks, sources
from actorflow.errors import ConfigError, PlanError, Retry, SinkError
from actorflow.storage import files
from actorflow.wire.batch import ColumnBatch, ObjectBatch


@dataclasses.dataclass(frozen=True)
class Format:
    """A sink, the source that reads it back, and how a word becomes a record."""

    sink: object
    source: object
    record: object


FORMATS = {
    "text": Format(sinks.text, sources.text, str),
    "csv": Format(sinks.csv, sources.csv, lambda word: {"word": word, "length": str(len(word))}),
    "json_lines": Format(sinks.json_lines, sources.json_lines, lambda word: {"word": word, "parts": [word, None, 1.5]}),
    "parquet": Format(sinks.parquet, sources.parquet, lambda word: {"word": word, "length": len(word)}),
}


@pytest.fixture(params=FORMATS)
def kind(request):
    return FORMATS[request.param]


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path.name}/out"


def records(kind, *words):
    return [kind.record(word) for word in words]


def everything(folder):
    """Names of all files in a directory, hidden ones too."""
    path = files.local_path(folder)
    if path is not None:
        return sorted(entry.name for entry in Path(path).iterdir())
    fs, inner = files.resolve(folder)
    return sorted(name.rpartition("/")[2] for name in fs._files.find(inner))


def test_what_was_written_is_read_back(kind, folder):
    words = ["one", "zwei €", 'trois, "quoted"', "четыре 😀", " spaced "]
    write_all(kind.sink(folder), records(kind, *words[:2]), records(kind, *words[2:]))
    assert records(kind, *words) == read_flat(kind.source(folder))


def test_readers_see_nothing_before_the_commit(kind, folder):
    sink = kind.sink(folder)
    writer = sink.open(Context())
    writer.write(ObjectBatch(records(kind, "a", "b")))
    writer.flush()
    assert [] == files.list_files(folder)
    finished = writer.prepare()
    assert [] == files.list_files(folder)
    sink.commit([finished])
    assert records(kind, "a", "b") == read_flat(kind.source(folder))
    writer.close()
    assert 1 == len(everything(folder))


def test_a_commit_may_be_repeated_from_another_process(kind, folder):
    finished = write_all(kind.sink(folder), records(kind, "a"))
    names = everything(folder)
    again = pickle.loads(pickle.dumps((kind.sink(folder), [finished, finished])))
    again[0].commit(again[1])
    assert names == everything(folder)
    assert records(kind, "a") == read_flat(kind.source(folder))


def test_an_abort_removes_what_is_not_committed_and_may_be_repeated(kind, folder):
    sink = kind.sink(folder)
    committed = write_all(sink, records(kind, "kept"))
    writer = sink.open(Context())
    writer.write(ObjectBatch(records(kind, "dropped")))
    finished = writer.prepare()
    writer.close()
    for _ in range(2):
        sink.abort([finished, committed])
    assert records(kind, "kept") == read_flat(kind.source(folder))
    assert 1 == len(everything(folder))


def test_a_commit_of_what_vanished_is_an_error_and_no_silent_loss(kind, folder):
    sink = kind.sink(folder)
    writer = sink.open(Context())
    writer.write(ObjectBatch(records(kind, "a")))
    finished = writer.prepare()
    sink.abort([finished])
    with pytest.raises(SinkError) as caught:
        sink.commit([finished])
    [file] = finished
    assert f"cannot commit '{file.final}': neither it nor '{file.temporary}' exists" == caught.value.message


def test_closing_without_prepare_leaves_nothing(kind, folder):
    writer = kind.sink(folder).open(Context())
    writer.write(ObjectBatch(records(kind, "a")))
    assert 1 == len(everything(folder))
    writer.close()
    assert [] == everything(folder)


def test_what_killed_writers_of_one_attempt_of_one_job_have_left_is_cleaned_up_and_nothing_else(kind, folder):
    sink = kind.sink(folder)
    sink.clean_up("job-1", 1)
    killed = [Context(), Context(index=1), Context(index=11)]
    others = [Context(job_id="job-2"), Context(attempt=2), Context(attempt=11)]
    for context in killed + others:
        writer = sink.open(context)
        writer.write(ObjectBatch(records(kind, "begun")))
        prepared = writer.prepare()
    sink.commit([prepared])
    for _ in range(2):
        sink.clean_up("job-1", 1)
    hidden = [name for name in everything(folder) if name.startswith(".")]
    assert (2, [prepared[0].final]) == (len(hidden), [join_names(folder, info) for info in files.list_files(folder)])


def join_names(folder, info):
    """The URI of a file that was listed, as the sink writes it."""
    return files.join(folder, info.uri.rpartition("/")[2])


def test_no_records_make_no_file(kind, tmp_path):
    assert write_all(kind.sink(tmp_path / "out")) is None
    assert write_all(kind.sink(tmp_path / "out"), []) is None
    assert [] == everything(str(tmp_path / "out"))
    assert [] == read_flat(kind.source(tmp_path / "out"))


def test_a_huge_record_is_written_whole(kind, tmp_path):
    huge = "hügé" * 300_000
    write_all(kind.sink(tmp_path), records(kind, "before", huge, "after"))
    assert records(kind, "before", huge, "after") == read_flat(kind.source(tmp_path))


def test_one_writer_makes_one_file_for_each_commit(kind, tmp_path):
    sink = kind.sink(tmp_path)
    writer = sink.open(Context(index=3))
    for word in "abc":
        writer.write(ObjectBatch(records(kind, word)))
        sink.commit([writer.prepare()])
    assert writer.prepare() is None
    writer.close()
    assert ["part-3-0", "part-3-1", "part-3-2"] == [name.rpartition("-")[0] for name in everything(str(tmp_path))]
    assert records(kind, *"abc") == read_flat(kind.source(tmp_path))


def test_files_are_rolled_by_size_and_become_visible_together(kind, tmp_path):
    sink = kind.sink(tmp_path, roll_size="64kb")
    writer = sink.open(Context())
    blocks = [[os.urandom(40).hex() for _ in range(1000)] for _ in range(6)]
    for words in blocks:
        writer.write(ObjectBatch(records(kind, *words)))
    assert [] == files.list_files(str(tmp_path))
    finished = writer.prepare()
    assert (kind.sink is sinks.parquet) == (len(finished) == 1), "a row group is larger than all of this"
    sink.commit([finished])
    assert len(finished) == len(files.list_files(str(tmp_path)))
    assert sorted(map(repr, records(kind, *chain.from_iterable(blocks)))) == sorted(map(repr, read_flat(kind.source(tmp_path))))


def test_files_are_rolled_by_time_and_those_that_were_not_prepared_are_removed(kind, tmp_path):
    context = Context()
    writer = kind.sink(tmp_path, roll_after="1min").open(context)
    for word in "abcd":
        writer.write(ObjectBatch(records(kind, word)))
        context.clock.advance(30.0)
    assert 2 == len(everything(str(tmp_path)))
    writer.close()
    assert [] == everything(str(tmp_path))


def test_jobs_subtasks_and_attempts_do_not_meet_in_one_directory(kind, tmp_path):
    contexts = [Context(), Context(job_id="job-2"), Context(attempt=2), Context(index=1), Context()]
    for number, context in enumerate(contexts):
        write_all(kind.sink(tmp_path), records(kind, f"w{number}"), context=context)
    words = [json.dumps(record) for record in read_flat(kind.source(tmp_path))]
    assert sorted(json.dumps(record) for record in records(kind, "w0", "w1", "w2", "w3", "w4")) == sorted(words)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.sampled_from(["write", "commit", "abort", "crash"]), max_size=12))
def test_whatever_happens_exactly_the_committed_records_are_visible(kind, tmp_path_factory, actions):
    folder = tmp_path_factory.mktemp("actions")
    sink, expected, pending = kind.sink(folder), [], []
    writer = sink.open(Context())
    for number, action in enumerate(actions):
        if action == "write":
            pending.append(str(number))
            writer.write(ObjectBatch(records(kind, str(number))))
        elif action == "crash":
            writer.close()
            writer = sink.open(Context())
            pending = []
        elif (finished := writer.prepare()) is not None:
            getattr(sink, action)([finished])
            expected += pending if action == "commit" else []
            pending = []
    writer.close()
    assert sorted(map(repr, records(kind, *expected))) == sorted(map(repr, read_flat(kind.source(folder))))
    assert not [name for name in everything(str(folder)) if name.startswith(".")]


def test_a_full_disk_names_the_file_and_leaves_nothing(kind, tmp_path):
    sink = kind.sink(tmp_path)
    writer = sink.open(Context())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # stands for a full disk: the same place, another number
    try:
        with pytest.raises(SinkError) as caught:
            for number in range(3000):
                writer.write(ObjectBatch(records(kind, f"word {number} " + os.urandom(8).hex())))
            writer.prepare()
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.message.startswith(f"cannot write '{tmp_path}/.part-")
    assert caught.value.message.endswith(".inprogress': file too large")
    assert [] == everything(str(tmp_path))


def test_a_directory_that_cannot_be_made_is_named(kind, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SinkError) as caught:
        kind.sink(tmp_path / "file").open(Context())
    assert f"cannot write '{tmp_path}/file': file exists" == caught.value.message


class Point(NamedTuple):
    x: int
    y: object


@dataclasses.dataclass
class Place:
    x: int
    y: object


@pytest.mark.parametrize("name", ["csv", "json_lines", "parquet"])
def test_dataclasses_and_named_tuples_have_columns(name, tmp_path):
    write_all(getattr(sinks, name)(tmp_path), [Point(1, 2), Place(3, 4)])
    expected = [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
    found = read_flat(getattr(sources, name)(tmp_path))
    assert expected == [{key: int(value) for key, value in row.items()} for row in found]


@pytest.mark.parametrize(
    ("sink", "record", "text"),
    [
        (sinks.csv, 7, "cannot write a record of type 'int' to '{}': it has no column names"),
        (sinks.csv, ("a", 1), "cannot write a record of type 'tuple' to '{}': it has no column names"),
        (sinks.parquet, "word", "cannot write a record of type 'str' to '{}': it has no column names"),
        (sinks.json_lines, {1, 2}, "cannot write a record of type 'set' to '{}': a value of type 'set' is not JSON"),
        (sinks.json_lines, {"a": b""}, "cannot write a record of type 'dict' to '{}': a value of type 'bytes' is not JSON"),
        (sinks.text, "\ud800", "cannot write a record of type 'str' to '{}': 'utf-8' codec can't encode"),
    ],
)
def test_a_record_of_a_wrong_type_is_named(sink, record, text, tmp_path):
    writer = sink(tmp_path).open(Context())
    with pytest.raises(SinkError) as caught:
        writer.write(ObjectBatch([record]))
    [temporary] = tmp_path.iterdir()
    assert caught.value.message.startswith(text.format(temporary))
    writer.close()


def test_files_that_would_end_before_they_begin_are_refused(tmp_path):
    with pytest.raises(PlanError, match="a file of text cannot end before its first record"):
        sinks.text(tmp_path, roll_size=0)
    with pytest.raises(ConfigError, match=r"roll_after of csv: 'often' is not a duration"):
        sinks.csv(tmp_path, roll_after="often")


@pytest.mark.parametrize(
    ("number", "retry"), [(errno.ENOSPC, Retry.BACKOFF), (errno.EIO, Retry.BACKOFF), (errno.EACCES, Retry.NEVER)]
)
def test_what_may_pass_is_worth_a_retry_also_in_another_process(number, retry):
    with pytest.raises(SinkError) as caught, files.writing("out"):
        raise OSError(number, "as planned")
    assert (retry, retry) == (caught.value.info().retry, pickle.loads(pickle.dumps(caught.value)).info().retry)


def test_csv_records_must_have_the_columns_of_the_first(tmp_path):
    writer = sinks.csv(tmp_path).open(Context())
    with pytest.raises(SinkError, match="its columns are a, c; the file's are a, b"):
        writer.write(ObjectBatch([{"a": 1, "b": 2}, {"b": 3, "a": 4}, {"a": 1, "c": 2}]))
    writer.close()


def test_csv_writes_plain_tuples_under_given_names(tmp_path):
    write_all(sinks.csv(tmp_path, columns=["word", "n"], delimiter=";"), [("a", 1), ["b", 2]])
    [part] = tmp_path.iterdir()
    assert "word;n\na;1\nb;2\n" == part.read_text()
    with pytest.raises(PlanError, match="cannot write CSV with delimiter=''"):
        sinks.csv(tmp_path, delimiter="")


def test_text_is_the_str_of_each_record_on_a_line(tmp_path):
    write_all(sinks.text(tmp_path), ["a", ("b", 1)], [None])
    [part] = tmp_path.iterdir()
    assert "a\n('b', 1)\nNone\n" == part.read_text()
    assert ".txt" == part.suffix


def test_parquet_takes_columns_and_objects_alike(tmp_path):
    sink = sinks.parquet(tmp_path)
    writer = sink.open(Context())
    writer.write(ColumnBatch(pa.RecordBatch.from_pylist([{"a": 1}, {"a": 2}])))
    writer.write(ObjectBatch([{"a": 3}]))
    writer.write(ColumnBatch(pa.RecordBatch.from_pylist([{"a": 4}])))
    sink.commit([writer.prepare()])
    assert [{"a": number} for number in (1, 2, 3, 4)] == read_flat(sources.parquet(tmp_path))


def test_parquet_infers_columns_over_a_row_group_and_not_from_the_first_record(tmp_path):
    rows = [{"a": None}] * 2000 + [{"a": 1}] + [{"a": 1.5, "b": "x"}]
    write_all(sinks.parquet(tmp_path), rows)
    expected = [{"a": row["a"], "b": row.get("b")} for row in rows]
    assert expected == read_flat(sources.parquet(tmp_path))


def test_parquet_keeps_to_a_given_schema(tmp_path):
    schema = pa.schema({"b": pa.string(), "a": pa.int8()})
    write_all(sinks.parquet(tmp_path, schema=schema), [{"a": 1}, {"b": "x", "a": 2}])
    assert [{"b": None, "a": 1}, {"b": "x", "a": 2}] == read_flat(sources.parquet(tmp_path))
    for row in ({"a": 300}, {"c": 1}, {"a": "word"}):
        writer = sinks.parquet(tmp_path, schema=schema).open(Context())
        with pytest.raises(SinkError, match=r"records do not fit its columns: .*schema="):
            writer.write(ObjectBatch([row]))
            writer.prepare()
        writer.close()


def test_parquet_writes_row_groups_as_it_goes(tmp_path):
    writer = sinks.parquet(tmp_path).open(Context())
    for start in range(0, 200_000, 10_000):
        writer.write(ObjectBatch([{"n": number} for number in range(start, start + 10_000)]))
    finished = writer.prepare()
    from pyarrow import parquet as pq

    metadata = pq.ParquetFile(finished[0].temporary).metadata
    assert (200_000, 3) == (metadata.num_rows, metadata.num_row_groups)
    writer.close()


def test_column_types_that_change_after_the_first_row_group_are_named(tmp_path):
    writer = sinks.parquet(tmp_path).open(Context())
    writer.write(ObjectBatch([{"n": 1}] * 70_000))
    with pytest.raises(SinkError, match="records do not fit its columns"):
        writer.write(ObjectBatch([{"n": "word"}] * 2000))
    writer.close()
    assert [] == list(Path(tmp_path).iterdir())
