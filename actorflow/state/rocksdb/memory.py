"""How much memory the RocksDB states of one worker may take, and what they share.

    limit ──┬── a fifth: what nobody counts (buffers of compactions, readers of files, what the allocator keeps)
            ├── objects: values as Python objects, in front of the files; an equal share for each backend
            └── RocksDB: one block cache for all databases of the worker, which their write buffers count against

RocksDB may overrun its write buffers by half before it stops writers; so the cache is made smaller by that (Flink's formulas):
`cache = (3 - ratio) / 3`, `write buffers = 2 * ratio / 3` of what RocksDB gets.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actorflow.storage.record_size import sampled_bytes

if TYPE_CHECKING:
    from rocksdict import Options

    from actorflow.state.rocksdb.cached_table import CachedTable

_COUNTED: Final = 0.8
"""Share of the limit that is given to what is counted. Ten million keys in a limit of 512 MB took 541 MB with all of it, 530 with nine tenths, 477
with four fifths, all at the same rate."""

_PLACE_BYTES: Final = 200
"""What a key takes beside itself and its value: a place in the line, and one in a dict, which makes itself three times as large as it
need be when removed keys have filled it, and exists twice meanwhile."""

_CACHED_BYTES: Final = 4096
"""What most entries of the block cache take: a block."""

_MAPPED_BYTES_MIN: Final = 1 << 20
_M_MMAP_THRESHOLD: Final = -3
"""A name in `malloc.h`."""

_WRITE_BUFFER_BYTES: Final = 64 << 20
"""RocksDB's own size of a write buffer."""

_BUFFER_BYTES_PER_BUCKET: Final = 200
"""A row of a number takes about 80 bytes in a write buffer."""

_BUCKETS_MIN: Final = 1024
_WHOLE_KEY_BYTES: Final = 128
"""What rows are put into buckets by: longer keys share one if they begin with the same bytes."""

_SAMPLES: Final = 16
_LOOKS_BETWEEN: Final = 64


@dataclass(frozen=True)
class RocksDBMemory:
    """The memory of one worker's RocksDB states.

    Attributes:
        limit_bytes: for everything.
        objects_ratio: share for Python objects of what is counted.
        write_buffer_ratio: share of RocksDB's part for write buffers.
        managed: whether RocksDB's part is limited at all. Otherwise every database has RocksDB's own defaults.
    """

    limit_bytes: int
    objects_ratio: float = 0.5
    write_buffer_ratio: float = 0.5
    managed: bool = True

    @property
    def object_bytes(self) -> int:
        """What the Python objects may take."""
        return int(self.limit_bytes * _COUNTED * self.objects_ratio)

    @property
    def cache_bytes(self) -> int:
        """Size of the block cache."""
        return int(self._rocksdb_bytes * (3 - self.write_buffer_ratio) / 3)

    @property
    def write_buffer_bytes(self) -> int:
        """Size of all write buffers together."""
        return int(self._rocksdb_bytes * 2 * self.write_buffer_ratio / 3)

    @property
    def _rocksdb_bytes(self) -> int:
        return int(self.limit_bytes * _COUNTED) - self.object_bytes

    @functools.cached_property
    def _shared(self) -> tuple[Any, Any]:
        from rocksdict import Cache, WriteBufferManager

        _map_large_blocks()
        # Not the default cache, whose parts are smaller than the filter of a file: one filter throws all else out of its part.
        cache = Cache.new_hyper_clock_cache(self.cache_bytes, _CACHED_BYTES)
        return cache, WriteBufferManager.new_write_buffer_manager_with_cache(self.write_buffer_bytes, False, cache)

    def options(self, *, hashed: bool = False) -> Options:
        """Return RocksDB options that keep a database within this memory, and suit state: no compression, a filter in front of blocks.

        Args:
            hashed: whether rows are looked up one by one, and hardly ever in order: what was written of late is found by hash.
        """
        from rocksdict import BlockBasedOptions, DataBlockIndexType, DBCompressionType, MemtableFactory, Options, SliceTransform

        made = Options(raw_mode=True)
        made.create_if_missing(True)
        made.set_compression_type(DBCompressionType.none())
        made.set_allow_concurrent_memtable_write(False)  # tables that are found by hash cannot, and there is one writer
        if hashed:
            buckets = (self.write_buffer_bytes if self.managed else _WRITE_BUFFER_BYTES) // _BUFFER_BYTES_PER_BUCKET
            made.set_memtable_factory(MemtableFactory.hash_link_list(max(_BUCKETS_MIN, buckets)))  # type: ignore[call-arg]
            made.set_prefix_extractor(SliceTransform.create_max_len_prefix(_WHOLE_KEY_BYTES))
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(10, False)
        blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
        if self.managed:
            cache, manager = self._shared
            blocks.set_block_cache(cache)
            blocks.set_cache_index_and_filter_blocks(True)
            blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
            made.set_write_buffer_manager(manager)
        made.set_block_based_table_factory(blocks)
        return made


class ObjectShares:
    """The memory for Python objects of one worker: an equal share for each backend.

    Args:
        object_bytes: all of it.
    """

    def __init__(self, object_bytes: int) -> None:
        self._bytes = object_bytes
        self._members = 0
        self._lock = threading.Lock()

    @property
    def share_bytes(self) -> float:
        """What each backend has."""
        return self._bytes / max(1, self._members)

    def join(self) -> ObjectShare:
        """Return the share of one more backend."""
        with self._lock:
            self._members += 1
        return ObjectShare(self)

    def leave(self) -> None:
        """Have one backend less."""
        with self._lock:  # subtasks on threads of their own close there
            self._members -= 1


class ObjectShare:
    """How many keys one backend may hold in memory, by the size that they have."""

    def __init__(self, shares: ObjectShares) -> None:
        self._shares = shares
        self._key_bytes = 0.0
        self._looks = 0

    def excess(self, line: deque[tuple[CachedTable, list[Any]]], count: int) -> int:
        """Return how many keys are too many; not positive if none are.

        Args:
            line: the keys in memory, by table.
            count: their number.
        """
        self._looks -= 1
        if self._looks <= 0 and count:
            self._looks = _LOOKS_BETWEEN
            self._key_bytes = _PLACE_BYTES + _sampled(line)
        return count - int(self._shares.share_bytes / (self._key_bytes or _PLACE_BYTES))

    def leave(self) -> None:
        """Give the share back."""
        self._shares.leave()


def _sampled(line: deque[tuple[CachedTable, list[Any]]]) -> float:
    """Return about how many bytes a key in the line takes with its value."""
    pairs = []
    for place in range(0, len(line), max(1, len(line) // _SAMPLES)):
        table, keys = line[place]
        pairs += [(key, table.entries[key]) for key in keys[-1:] if key in table.entries]
    return sampled_bytes(tuple(zip(*pairs, strict=True)), _SAMPLES) / len(pairs) if pairs else 0.0


def _map_large_blocks() -> None:
    """Have the allocator give back large blocks of memory when they are freed.

    Else glibc keeps blocks of up to 32 MB, and puts small ones into them: tables of keys are such blocks, and when one is copied the old
    one's place is soon full of RocksDB's blocks, so that the next copy takes new memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN)
