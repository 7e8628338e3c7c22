"""What RocksDB and disks refuse, and what stays on them."""

import subprocess
import sys

import pytest
from backend_kinds import rocksdb, rocksdb_without_room

from actorflow.config import Config
from actorflow.errors import SerializationError, StateError
from actorflow.ids import JobId, SubtaskId, VertexId
from actorflow.state.backends import StateBackends
from actorflow.state.descriptors import ValueState
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.rocksdb.backend import RocksDBBackend

SUBTASK = SubtaskId(VertexId("count"), 1)


def backends(tmp_path, **options):
    settings = {
        "state.backend.type": "rocksdb",
        "state.backend.rocksdb.localdir": str(tmp_path),
        "actorflow.state.rocksdb.objects-ratio": 0.0,
    }
    return StateBackends(Config.of(settings | options, "test"), JobId("job-1"))


def make(made, operator="count"):
    return made.make(operator, SUBTASK, 128, lambda: 0)


def fill(backend, count=5000, name="count"):
    for start in range(0, count, 1000):
        keys = list(range(start, start + 1000))
        backend.load(name, keys)
        backend.table(name).update(zip(keys, keys, strict=True))
        backend.settle()


def test_the_backend_is_what_the_option_says(tmp_path):
    hashmap, disk = make(backends(tmp_path, **{"state.backend.type": "hashmap"})), make(backends(tmp_path))
    assert (HashMapBackend, RocksDBBackend) == (type(hashmap), type(disk))
    disk.close()


def test_nothing_is_written_while_state_fits_into_memory(tmp_path):
    backend = make(backends(tmp_path, **{"actorflow.state.rocksdb.objects-ratio": 0.5}))
    fill(backend)
    (directory,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert [] == list(directory.iterdir())
    assert 5000 == len(backend)
    backend.close()


def test_files_lie_in_a_directory_of_the_job_and_operator_until_the_last_backend_closes(tmp_path):
    made = backends(tmp_path)
    first, second = make(made), make(made, "count by/day")
    for backend in (first, second):
        fill(backend)
    (directory,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert directory.name.startswith("actorflow-state-job-1-")
    assert {"1-1-count", "2-1-count-by-day"} == {path.name for path in directory.iterdir()}
    first.close()
    assert ["2-1-count-by-day"] == [path.name for path in directory.iterdir()]
    second.close()
    assert [] == list(tmp_path.iterdir())


def test_operators_take_the_directories_in_turn(tmp_path):
    parents = [tmp_path / name for name in ("a", "b")]
    made = backends(tmp_path, **{"state.backend.rocksdb.localdir": f"{parents[0]},{parents[1]}"})
    opened = [make(made), make(made)]
    for backend in opened:
        fill(backend)
    assert [1, 1] == [len(list(parent.glob("*/*"))) for parent in parents]
    for backend in opened:
        backend.close()
    assert [[], []] == [list(parent.iterdir()) for parent in parents]


def test_a_directory_that_cannot_be_written_is_an_error_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot keep state in '.*/file/state': Not a directory"):
        make(backends(tmp_path, **{"state.backend.rocksdb.localdir": str(tmp_path / "file" / "state")}))


FILL_A_SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from actorflow.errors import StateError
from actorflow.state.rocksdb.backend import RocksDBBackend
from actorflow.state.rocksdb.memory import ObjectShares, RocksDBMemory
from actorflow.state.rocksdb.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
backend = RocksDBBackend(Store(Path(sys.argv[1]) / "db", RocksDBMemory(8 << 20), "count"), ObjectShares(0), 128)
try:
    for start in range(0, 10_000_000, 1000):
        keys = [f"key {n} {n * n}" for n in range(start, start + 1000)]
        backend.load("count", keys)
        backend.table("count").update(dict.fromkeys(keys, 1))
        backend.settle()
except StateError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_an_error_that_names_operator_and_directory(tmp_path):
    ended = subprocess.run([sys.executable, "-c", FILL_A_SMALL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert f"cannot write the state of 'count' in '{tmp_path}/db': IO error: " in ended.stdout
    assert "(hint: state.backend.rocksdb.localdir" in ended.stdout


def test_a_damaged_file_is_an_error_that_names_operator_and_directory(tmp_path):
    backend = make(backends(tmp_path, **{"state.backend.rocksdb.memory.fixed-per-slot": "8mb"}))
    fill(backend, 200_000)
    database = backend._store._database
    database.cancel_all_background(True)  # else it may remove a file just now, or put a sound one in its place
    for file in tmp_path.glob("*/*/*.sst"):
        data = bytearray(file.read_bytes())
        data[100:-100] = bytes(len(data) - 200)
        file.write_bytes(data)
    with pytest.raises(StateError, match=r"cannot read the state of 'count' in '.*': Corruption"):
        backend.load("count", list(range(200_000)))
    backend.close()


def test_a_value_of_another_type_than_declared_is_an_error_with_its_key():
    class Declared:
        total = ValueState(int)

    backend = rocksdb_without_room()
    total = backend.bind(Declared.total)
    backend.current_key = "ann"
    total.set("many")
    with pytest.raises(SerializationError, match=r"cannot write state 'total': it .*, for key 'ann'"):
        backend.settle()
    backend.close()


def test_state_restored_before_its_type_is_known_is_written_as_its_type_says():
    class Declared:
        total = ValueState(int)

    backend = rocksdb_without_room()
    backend.restore([{"total": {f"key {n}": n for n in range(100)}}])
    total = backend.bind(Declared.total)
    backend.current_key = "key 5"
    assert 5 == total.get()
    total.set(6)
    backend.settle()
    assert 6 == total.get()
    assert {f"key {n}": 6 if n == 5 else n for n in range(100)} == dict(backend.entries("total"))
    backend.close()


def test_timers_find_the_values_that_their_keys_have_by_then():
    class Declared:
        total = ValueState(int, default=-1)

    backend = rocksdb_without_room()
    total, timers = backend.bind(Declared.total), backend.timers("event")
    for key in range(3000):
        backend.current_key = key
        total.set(key)
        timers.set(key // 1000, key)
    backend.settle()
    expected, fired = {key: key for key in range(3000)}, 0
    while (timer := timers.take(10)) is not None:
        fired += 1
        backend.current_key = timer.key
        assert expected.pop(timer.key, -1) == total.get()
        total.clear()
        # Keys that come soon are changed, whose values have been read together with this one's.
        backend.current_key = timer.key + 3
        total.set(fired)
        expected[timer.key + 3] = fired
        backend.current_key = timer.key + 5
        expected.pop(timer.key + 5, None)
        total.clear()
        if fired % 100 == 0:
            backend.settle()
    assert 3000 == fired
    assert expected == dict(backend.entries("total"))
    backend.close()


def test_the_memory_for_objects_is_shared_by_all_backends_of_a_worker(tmp_path):
    made = backends(
        tmp_path, **{"state.backend.rocksdb.memory.fixed-per-slot": "8mb", "actorflow.state.rocksdb.objects-ratio": 0.9}
    )
    alone = make(made)
    fill(alone, 200_000)
    held = len(alone.table("count"))
    other = make(made)
    alone.settle()
    assert held // 3 < len(alone.table("count")) < held * 2 // 3
    other.close()
    alone.close()


def test_memory_holds_only_what_fits():
    backend = rocksdb(object_bytes=1 << 20)
    fill(backend, 100_000)
    assert 1000 < len(backend.table("count")) < 20_000
    assert {n: n for n in range(100_000)} == dict(backend.entries("count"))
    backend.close()
