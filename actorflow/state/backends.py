"""Which keyed state backend a job uses, and what the backends of one worker share: memory, and directories on local disks."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

from actorflow.config import Config, options
from actorflow.ids import JobId, SubtaskId
from actorflow.state.backend import KeyedBackend
from actorflow.state.directories import OwnedDirectory
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.rocksdb.memory import ObjectShares, RocksDBMemory
from actorflow.storage.spill_file import spill_directories


def local_directories(config: Config) -> list[Path]:
    """Return where workers make the directories for their state."""
    return [Path(name) for name in spill_directories(config[options.ROCKSDB_LOCAL_DIR] or config[options.TMP_DIRS])]


class StateBackends:
    """Makes the backends of one worker for one job.

    Args:
        config: the job's options.
        job: whose state it is.
        batch: whether the job runs in batch mode: then there are few keys at a time, so that all state is in memory.
    """

    def __init__(self, config: Config, job: JobId, *, batch: bool = False) -> None:
        self._config = config
        self._in_memory = batch or config[options.STATE_BACKEND] == "hashmap"
        self._job = job
        self._memory = RocksDBMemory(
            config[options.ROCKSDB_MEMORY],
            objects_ratio=config[options.ROCKSDB_OBJECTS_RATIO],
            write_buffer_ratio=config[options.ROCKSDB_WRITE_BUFFER_RATIO],
            managed=config[options.ROCKSDB_MEMORY_MANAGED],
        )
        self._shares = ObjectShares(self._memory.object_bytes)
        self._directories: dict[Path, OwnedDirectory] = {}
        self._made = 0
        self._open = 0
        self._lock = threading.Lock()

    def make(self, operator: str, subtask: SubtaskId, groups: int, processing_time: Callable[[], int]) -> KeyedBackend:
        """Return a new backend.

        Args:
            operator: whose states it holds.
            subtask: where that runs.
            groups: number of key groups.
            processing_time: returns the wall clock in ms.

        Raises:
            StateError: if its files have no place.
        """
        if self._in_memory:
            return HashMapBackend(processing_time)
        from actorflow.state.rocksdb.backend import RocksDBBackend
        from actorflow.state.rocksdb.store import Store

        self._made += 1
        name = re.sub("[^A-Za-z0-9_-]+", "-", f"{self._made}-{subtask.index}-{operator}")[:64]
        store = Store(self._directory(subtask).path / name, self._memory, operator, self._closed)
        self._open += 1
        return RocksDBBackend(store, self._shares, groups, processing_time)

    def _directory(self, subtask: SubtaskId) -> OwnedDirectory:
        """Return the directory of this worker in the local directory whose turn it is."""
        parents = local_directories(self._config)
        parent = parents[(subtask.index + self._made) % len(parents)]
        directory = self._directories.get(parent)
        if directory is None:
            directory = self._directories[parent] = OwnedDirectory(parent, self._job)
        return directory

    def _closed(self) -> None:
        """Note the end of a store; with the last one, the directories go."""
        with self._lock:  # subtasks on threads of their own close theirs there
            self._open -= 1
            if not self._open:
                for directory in self._directories.values():
                    directory.close()
                self._directories.clear()
