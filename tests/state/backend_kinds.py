"""The keyed state backends that contract tests run over: in memory, and in RocksDB's files with much, little and no room
in memory."""

import os
import shutil
import tempfile
from pathlib import Path

from actorflow.state.hashmap import HashMapBackend
from actorflow.state.rocksdb.backend import RocksDBBackend
from actorflow.state.rocksdb.memory import ObjectShares, RocksDBMemory
from actorflow.state.rocksdb.store import Store

GROUPS = 16

MEMORY_FILES = Path("/dev/shm")
MEMORY_FILES_BYTES_MIN = 1 << 30


def new_directory():
    """Return a directory, in memory where that has room for files: RocksDB waits for a disk whenever it makes a database."""
    in_memory = os.access(MEMORY_FILES, os.W_OK) and shutil.disk_usage(MEMORY_FILES).free >= MEMORY_FILES_BYTES_MIN
    return Path(tempfile.mkdtemp(prefix="actorflow-state-test-", dir=MEMORY_FILES if in_memory else None))


def rocksdb(processing_time=None, object_bytes=1 << 20):
    """Return a backend with files of its own; closing it removes them."""
    memory = RocksDBMemory(8 << 20)
    store = Store(new_directory(), memory, "count")
    return RocksDBBackend(store, ObjectShares(object_bytes), GROUPS, processing_time)


def rocksdb_without_room(processing_time=None):
    """Return a backend that keeps nothing in memory from one batch to the next."""
    return rocksdb(processing_time, object_bytes=0)


def rocksdb_with_little_room(processing_time=None):
    """Return a backend that keeps a few keys in memory."""
    return rocksdb(processing_time, object_bytes=700)


BACKENDS = [HashMapBackend, rocksdb, rocksdb_without_room, rocksdb_with_little_room]
"""How to make an empty backend of each kind: `make(processing_time=None)`."""
