"""Bad inputs of every kind: a clear error or a correct result; no hang, no process left."""

import os
import shutil
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet
from script_harness import run_script

import actorflow as af

SLOW = pytest.mark.slow


@pytest.fixture
def pipeline():
    return af.Pipeline("bad inputs")


def numbers(pipeline, count=10, **options):
    return pipeline.read(af.sources.collection(range(count)), **options)


def failure_of(stream, slots, **options):
    with pytest.raises(af.JobFailed) as caught:
        af.collect(stream, slots=slots, **options)
    return str(caught.value)


# --- files ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [af.sources.text, af.sources.csv, af.sources.json_lines, af.sources.parquet])
def test_a_missing_file_is_named(make, slots, pipeline, tmp_path):
    error = failure_of(pipeline.read(make(tmp_path / "missing")), slots)
    assert f"cannot read '{tmp_path}/missing': no such file or directory" in error


@SLOW
def test_a_directory_without_permission_is_named(slots, tmp_path):
    """Root may read everything, so where the tests run as root the script runs without that right."""
    script = """
        numbers().write(af.sinks.text("secret/out"))
        show_error(lambda: af.run(pipeline, slots=SLOTS))
        show_error(lambda: af.collect(pipeline.read(af.sources.text("secret")), slots=SLOTS))
    """
    (tmp_path / "secret").mkdir(mode=0)
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
    ended = run_script(script, tmp_path, slots, prefix=prefix)
    write, read = (line for line in ended.out.splitlines() if line.startswith("JobFailed"))
    assert f"cannot read '{tmp_path}/secret': permission denied" in read
    assert f"cannot write '{tmp_path}/secret/out': permission denied" in write
    assert 0 == ended.code


def test_a_binary_file_is_not_text(slots, pipeline, tmp_path):
    shutil.copy(sys.executable, tmp_path / "program")
    error = failure_of(pipeline.read(af.sources.text(tmp_path / "program")), slots)
    assert f"cannot read '{tmp_path}/program': byte " in error
    assert "is not valid utf-8" in error


@SLOW
@pytest.mark.parametrize("slots", [2])
def test_a_line_of_200_mb_is_refused_or_read_if_the_limit_is_raised(slots, pipeline, tmp_path):
    length = 200_000_000
    with (tmp_path / "long").open("wb") as file:
        file.write(b"short\n")
        file.writelines(b"x" * 1_000_000 for _ in range(length // 1_000_000))
        file.write(b"\nend\n")
    error = failure_of(pipeline.read(af.sources.text(tmp_path)), slots)
    assert f"cannot read '{tmp_path}/long': the line at byte 6 is longer than " in error
    assert "raise line_bytes_max" in error
    lines = pipeline.read(af.sources.text(tmp_path, line_bytes_max=length))
    assert [3, 5, length] == sorted(af.collect(lines.map(len), slots=slots))


def test_empty_inputs_give_empty_results(slots, pipeline, tmp_path):
    (tmp_path / "empty.txt").touch()
    parquet.write_table(pa.table({"n": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    text = pipeline.read(af.sources.text(tmp_path / "empty.txt")).map(len)
    rows = pipeline.read(af.sources.parquet(tmp_path / "empty.parquet")).map(lambda row: row["n"])
    nothing = pipeline.read(af.sources.collection([])).map(len)
    sizes = text.union(rows, nothing)
    sizes.key_by(lambda n: n).count().write(af.sinks.json_lines(tmp_path / "out"))
    assert [] == af.collect(sizes, slots=slots)
    assert (0, 0) == ((result := af.run(pipeline, slots=slots)).records_in, result.records_out)
    assert [] == list((tmp_path / "out").iterdir())


# --- functions ------------------------------------------------------------------------------------------------------------------


def raises(n):
    raise ValueError(f"not {n}")


def exits(n):
    sys.exit(f"not {n}")


def interrupts(n):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("function", "last", "line"),
    [
        (raises, "ValueError: not 7", 'raise ValueError(f"not {n}")'),
        (exits, "SystemExit: not 7", 'sys.exit(f"not {n}")'),
        (interrupts, "KeyboardInterrupt", "raise KeyboardInterrupt"),
    ],
)
@pytest.mark.parametrize("dispatcher", ["default", "pinned"])
def test_a_function_that_raises_is_reported_with_its_line_operator_and_record(function, last, line, dispatcher, slots, pipeline):
    stream = numbers(pipeline).filter(lambda n: n == 7).map(function, name="culprit", dispatcher=dispatcher)
    error = failure_of(stream, slots).splitlines()
    assert "  operator: culprit" in error
    assert "  record: 7" in error
    assert last == error[-1]
    assert line in "\n".join(error[-4:])
    assert not any(f"{os.sep}actorflow{os.sep}" in text for text in error)


@SLOW
@pytest.mark.parametrize(
    ("action", "words"),
    [("os._exit(3)", "exited with code 3"), ("ctypes.string_at(0)", "crashed with SIGSEGV")],
)
@pytest.mark.parametrize("dispatcher", ["default", "pinned"])
def test_a_function_that_ends_its_process_fails_the_job(action, words, dispatcher, tmp_path):
    script = f"""
        show_error(lambda: af.collect(numbers().map(lambda n: {action}, dispatcher="{dispatcher}"), slots=2))
    """
    ended = run_script(script, tmp_path, 2)
    assert 0 == ended.code
    assert f") {words}" in ended.out
    assert ended.out.startswith("JobFailed: job 'script' failed: slot worker ")


def test_an_error_whose_text_is_very_long_is_reported_shortened(slots, pipeline):
    def shout(n):
        raise ValueError("x" * 5_000_000)

    error = failure_of(numbers(pipeline).map(shout), slots)
    assert "ValueError: xxx" in error
    assert len(error) < 100_000


def test_an_error_whose_text_cannot_be_made_is_reported(slots, pipeline):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("mute")

    def fail(n):
        raise MuteError

    assert "MuteError: <message that raised RuntimeError>" in failure_of(numbers(pipeline).map(fail), slots)


# --- records --------------------------------------------------------------------------------------------------------------------


HUGE = 50_000_000


def test_a_huge_record_passes_an_exchange(slots, pipeline):
    sizes = numbers(pipeline, 3, parallelism=1).map(lambda n: "x" * HUGE, parallelism=1).broadcast().map(len, parallelism=2)
    assert [HUGE] * 6 == af.collect(sizes, slots=slots)


def test_a_record_larger_than_a_frame_may_be_is_refused_with_the_option_to_raise(pipeline):
    config = {"actorflow.transport.frame-bytes-max": "64kb", "actorflow.transport.blob-chunk-bytes": "64kb"}
    large = numbers(pipeline, 1000, parallelism=1).map(lambda n: b"x" * 100_000, parallelism=1)
    error = failure_of(large.broadcast().map(len, parallelism=2), 2, config=config)
    assert "raise actorflow.transport.frame-bytes-max" in error


def test_a_record_that_becomes_very_many_is_one_burst(slots, pipeline):
    burst = numbers(pipeline, 1, parallelism=1).flat_map(lambda _: range(100_000)).rebalance().map(lambda n: n, parallelism=2)
    assert list(range(100_000)) == sorted(af.collect(burst, slots=slots))


def test_a_collection_of_many_megabytes_is_read(slots, pipeline):
    texts = [f"{n:>100}" for n in range(100_000)]
    assert texts == sorted(af.collect(pipeline.read(af.sources.collection(texts)), slots=slots))


def test_a_function_with_many_megabytes_of_its_own_is_shipped(slots, pipeline):
    table = {n: f"{n:>100}" for n in range(100_000)}
    assert [table[n] for n in range(10)] == sorted(af.collect(numbers(pipeline).map(lambda n: table[n]), slots=slots))


def test_a_huge_record_is_collected(slots, pipeline):
    [text] = af.collect(numbers(pipeline, 1).map(lambda n: "x" * HUGE), slots=slots)
    assert HUGE == len(text)


@pytest.mark.parametrize("count", [1, 20_000])
def test_a_record_that_cannot_be_pickled_cannot_cross_an_exchange(count, slots, pipeline):
    import threading

    locks = numbers(pipeline, count, parallelism=1).map(lambda n: threading.Lock() if n == count - 1 else n, parallelism=1)
    error = failure_of(locks.broadcast().map(str, parallelism=2), slots)
    assert "cannot pickle '_thread.lock' object" in error


def test_a_record_that_cannot_be_pickled_cannot_be_collected(slots, pipeline):
    import threading

    error = failure_of(numbers(pipeline).map(lambda n: threading.Lock()), slots)
    assert "cannot collect a record of type 'lock': cannot pickle '_thread.lock' object" in error


class OnlyItself:
    """Equal to nothing but itself: its hash is its address."""


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda n: [n], "unhashable type: 'list'"),
        (lambda n: OnlyItself(), "a key of type 'OnlyItself' has no stable hash"),
        (lambda n: float("nan"), "nan is not equal to itself"),
        (lambda n: 1 // 0, "ZeroDivisionError"),
    ],
    ids=["unhashable", "unstable", "nan", "raises"],
)
def test_a_bad_key_is_refused_with_the_operator_that_wants_it(key, words, slots, pipeline):
    error = failure_of(numbers(pipeline).key_by(key).count(name="totals"), slots, parallelism=2)
    assert words in error
    assert "totals" in error


def test_none_is_a_record_and_a_key(slots, pipeline):
    nones = pipeline.read(af.sources.collection([None, 1, None])).rebalance().map(lambda record: record)
    assert {None: 2, 1: 1} == dict(sorted(af.collect(nones.key_by(lambda record: record).count(), slots=slots), key=str))


def test_records_of_classes_of_the_script_come_back_as_such(slots, tmp_path):
    script = """
        from dataclasses import dataclass
        from enum import Enum

        class Colour(Enum):
            RED = 1

        @dataclass(frozen=True)
        class Point:
            x: int
            colour: Colour = Colour.RED

        points = pipeline.read(af.sources.collection([Point(1), Point(2), Point(1)])).rebalance().map(lambda p: Point(p.x * 10))
        counts = dict(af.collect(points.key_by(lambda p: p).count(), slots=SLOTS))
        print(counts == {Point(10): 2, Point(20): 1}, all(type(p) is Point for p in counts))
    """
    ended = run_script(script, tmp_path, slots)
    assert ("True True\n", "") == (ended.out, ended.err)


def test_a_partitioner_that_chooses_what_is_not_there_is_refused(slots, pipeline):
    error = failure_of(numbers(pipeline).partition_by(lambda key, n: 7, lambda n: n).map(str, parallelism=2), "inline")
    assert "the partitioner chose 7 for key" in error
    assert "return an integer from 0 to 1" in error


@pytest.mark.parametrize("result", [5, "abc", {"n": 1}])
def test_a_batch_function_that_returns_no_batch_is_refused(result, pipeline):
    stream = numbers(pipeline).map(lambda n: {"n": n}).map_batches(lambda frame: result, name="culprit")
    assert "the function of 'culprit' returned a " in failure_of(stream, "inline")


def test_records_without_a_common_type_are_no_columns(slots, pipeline):
    mixed = pipeline.read(af.sources.collection([{"n": 1}, {"n": "one"}, {"n": [1]}]), parallelism=1)
    error = failure_of(mixed.map_batches(lambda frame: frame, name="culprit"), slots)
    assert "'n'" in error


# --- plans ----------------------------------------------------------------------------------------------------------------------


def test_more_slots_than_cores_are_fine(pipeline):
    slots = 2 * len(os.sched_getaffinity(0))
    counts = af.collect(numbers(pipeline, 100).key_by(lambda n: n % 9).count(), slots="inline", parallelism=slots)
    assert {n % 9: len(range(n % 9, 100, 9)) for n in range(9)} == dict(counts)


@SLOW
def test_more_slots_than_cores_are_fine_in_processes(pipeline):
    counts = af.collect(numbers(pipeline, 100).key_by(lambda n: n % 9).count(), slots=6)
    assert {n % 9: len(range(n % 9, 100, 9)) for n in range(9)} == dict(counts)


@pytest.mark.parametrize("slots", ["inline", 2])
def test_no_parallelism_at_all_is_refused(slots, pipeline):
    with pytest.raises(af.PlanError, match="parallelism of 'source' must be at least 1, not 0"):
        af.collect(numbers(pipeline), slots=slots, parallelism=0)


@pytest.mark.parametrize(
    ("slots", "words"),
    [(0, "at least one slot, not 0"), (-1, "at least one slot, not -1"), ("two", "slots cannot be 'two'")],
)
def test_slots_that_make_no_sense_are_refused(slots, words, pipeline):
    with pytest.raises(af.ConfigError, match=words):
        af.collect(numbers(pipeline), slots=slots)


def test_a_job_that_needs_more_slots_than_there_will_ever_be_is_refused_at_once(pipeline):
    with pytest.raises(af.ActorflowError, match="job 'bad inputs' needs 3 slots, this cluster has 1"):
        af.collect(numbers(pipeline).map(str, parallelism=3), slots=1)


def test_an_unknown_option_is_refused_with_the_nearest(pipeline):
    with pytest.raises(af.ConfigError, match=r"did you mean 'restart-strategy\.type'"):
        af.collect(numbers(pipeline), slots="inline", config={"restart-strategy.typ": "none"})


def test_a_function_with_a_lock_is_refused_before_anything_runs(slots, pipeline):
    import threading

    lock = threading.Lock()
    with pytest.raises(af.PlanError, match=r"cannot ship 'guarded': its fn cannot be pickled because of fn\.__closure__\['lock'\]"):
        af.collect(numbers(pipeline).map(lambda n: (lock, n), name="guarded"), slots=slots)


VANISHING = """
    import shutil
    sys.path.append("{directory}")
    import gone_soon
    stream = numbers(3).map(gone_soon.double)
    shutil.rmtree("{directory}")
    show_error(lambda: sorted(af.collect(stream, slots=SLOTS)))
"""


@SLOW
@pytest.mark.parametrize(
    ("directory", "out"),
    [
        ("project", "RESULT [0, 2, 4]"),
        (
            "site-packages",
            "JobFailed: job 'script' failed: cannot load user code: ModuleNotFoundError: No module named 'gone_soon'",
        ),
    ],
)
def test_a_module_of_the_users_is_shipped_and_an_installed_one_that_a_worker_lacks_is_named(directory, out, tmp_path):
    """The module can be imported where the pipeline is built, and is gone when the workers start."""
    (tmp_path / directory).mkdir()
    (tmp_path / directory / "gone_soon.py").write_text("def double(n):\n    return 2 * n\n")
    ended = run_script(VANISHING.format(directory=directory), tmp_path, 2)
    assert out == ended.out.splitlines()[0].removesuffix(" (hint: install 'gone_soon' on every node)")
