"""Where state lives, and what goes to local disks, in batch mode too."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, TEXT, choice, fraction, memory, optional
from actorflow.config.option import Option

# --- batch mode and local disks -----------------------------------------------------------------------------------------

TMP_DIRS = Option(
    "io.tmp.dirs",
    optional(TEXT),
    None,
    "Directories on local disks for data that does not fit into memory, separated by commas or colons. Subtasks take them in turn.",
    unset="the system's directory for temporary files",
)
SORT_MEMORY = Option(
    "actorflow.batch.sort.memory",
    memory(1 << 20),
    128 << 20,
    "Batch mode: memory in which a subtask sorts its input by key; what exceeds it goes to disk. It counts once for each keyed operator in a slot.",
)

# --- state --------------------------------------------------------------------------------------------------------------

STATE_BACKEND = Option(
    "state.backend.type",
    choice("hashmap", "rocksdb"),
    "hashmap",
    "Where keyed state lives: in memory (`hashmap`), or on local disks with a part of it in memory (`rocksdb`). In batch mode it is in memory.",
)
ROCKSDB_MEMORY = Option(
    "state.backend.rocksdb.memory.fixed-per-slot",
    memory(8 << 20),
    512 << 20,
    "`rocksdb`: memory that the states of one slot may take, all operators together.",
)
ROCKSDB_OBJECTS_RATIO = Option(
    "actorflow.state.rocksdb.objects-ratio",
    fraction(0.0, 0.9),
    0.5,
    "`rocksdb`: share of that memory in which values are kept as Python objects, ready for use. The rest is RocksDB's.",
)
ROCKSDB_WRITE_BUFFER_RATIO = Option(
    "state.backend.rocksdb.memory.write-buffer-ratio",
    fraction(0.05, 0.95),
    0.5,
    "`rocksdb`: share of RocksDB's memory for what waits to be written; the rest caches what was read.",
)
ROCKSDB_MEMORY_MANAGED = Option(
    "state.backend.rocksdb.memory.managed",
    FLAG,
    True,
    "`rocksdb`: keep RocksDB within its memory. Otherwise each operator's database takes what RocksDB takes by itself.",
)
ROCKSDB_LOCAL_DIR = Option(
    "state.backend.rocksdb.localdir",
    optional(TEXT),
    None,
    "`rocksdb`: directories on local disks for its files, separated by commas or colons. Operators take them in turn.",
    unset="those of `io.tmp.dirs`",
)
