"""Checkpoints of a million keys: what they cost the job, for how long they hold up its data, what they upload, how long a restore takes.

Throughput: words of Zipf's distribution over a million, each of which was seen once before, with running counts and with a checkpoint each
second, beside the same job without; start-up included. State in memory and on disk.

The rest is measured on one subtask's state, without a job: 1 % of the keys change between two checkpoints, a thousand in a batch, while another
thread makes bytes of what was captured and writes them. A pause is the longest time from one batch to the next; the first checkpoint stores
everything. The bytes are those of one checkpoint. Restored is what one subtask stored by three and then by two, in turn, each from files into a backend.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path

from harness import Benchmark, Target, per_second

import actorflow as af
from actorflow.ids import JobId
from actorflow.operators.contract import Chain
from actorflow.plan.key_groups import group_range, key_group
from actorflow.runtime.checkpoints.layered_state import LayeredState, StoredLayers
from actorflow.runtime.checkpoints.restored_layers import restored_layers
from actorflow.state.backend import KeyedBackend
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.rocksdb.backend import RocksDBBackend
from actorflow.state.rocksdb.memory import ObjectShares, RocksDBMemory
from actorflow.state.rocksdb.store import Store
from actorflow.storage.checkpoint_files import CheckpointFiles
from actorflow.wire.manifest import InlineState, SubtaskState
from actorflow.wire.stable_hash import stable_hash

WORDS_PER_LINE = 10
WORDS_AT_ONCE = 500_000
GROUPS = 128
STATE = "count"
OPERATOR = "count"
BATCH = 1000


def word(rank: int) -> str:
    return f"w{rank:x}"


def write_words(count: int, vocabulary: int, text: Path) -> None:
    """Write every word once, then `count` that are drawn with a probability proportional to 1/rank."""
    draw = random.Random(20)
    words = [word(rank) for rank in range(vocabulary)]
    cumulated = list(accumulate(1 / (rank + 1) for rank in range(vocabulary)))
    with text.open("w", encoding="utf-8") as lines:
        for start in range(-vocabulary, count, WORDS_AT_ONCE):
            size = min(WORDS_AT_ONCE, (0 if start < 0 else count) - start)
            some = words[start + vocabulary :][:size] if start < 0 else draw.choices(words, cum_weights=cumulated, k=size)
            lines.writelines(" ".join(some[at : at + WORDS_PER_LINE]) + "\n" for at in range(0, size, WORDS_PER_LINE))


def count_words(text: Path, backend: str, checkpoints: Path | None) -> None:
    config: dict[str, object] = {"state.backend.type": backend}
    if checkpoints is not None:
        config |= {"execution.checkpointing.interval": "1s", "execution.checkpointing.dir": str(checkpoints)}
    pipeline = af.Pipeline("wordcount")
    words = pipeline.read(af.sources.text(str(text))).flat_map(str.split)
    words.key_by(lambda one: one).count().write(af.sinks.discard())
    af.run(pipeline, slots=1, config=config)


class OneOperator(Chain):
    """As much of a chain as keyed state needs."""

    def __init__(self, backend: KeyedBackend) -> None:
        self._backend = backend

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return the backend."""
        return {OPERATOR: self._backend}


class Counting:
    """Running counts of one subtask, and their checkpoints.

    Args:
        backend: where they are.
        files: where checkpoints go.
        keys: how many there are.
    """

    def __init__(self, backend: KeyedBackend, files: CheckpointFiles, keys: int) -> None:
        self.backend = backend
        backend.replaced(STATE)
        self._layers = LayeredState(OneOperator(backend), files, 0)
        self._keys = [word(rank) for rank in range(keys)]
        self._checkpoint = 0
        for start in range(0, keys, BATCH):
            self._add(self._keys[start : start + BATCH])

    def _add(self, keys: Sequence[str]) -> None:
        backend = self.backend
        backend.load(STATE, keys)
        table = backend.table(STATE)
        get = table.get
        for key in keys:
            table[key] = get(key, 1000) + 1
        backend.settle()

    def checkpoint(self, changed: int, draw: random.Random) -> tuple[StoredLayers, float]:
        """Change some keys, and take a checkpoint; return what was stored, and the longest pause in seconds."""
        batches = self._batches(changed, draw)
        for keys in islice(batches, changed // BATCH):
            self._add(keys)
        self._checkpoint += 1
        done: list[StoredLayers] = []
        last = time.perf_counter()
        captured = self._layers.capture(self._checkpoint)
        storing = threading.Thread(target=lambda: done.append(self._layers.store(captured)))
        storing.start()
        pause = 0.0
        few = next(batches)
        while storing.is_alive():  # the same keys: another change of theirs belongs to the next checkpoint
            self._add(few)
            now = time.perf_counter()
            pause, last = max(pause, now - last), now
        self._layers.completed(self._checkpoint)
        return done[0], pause

    def _batches(self, changed: int, draw: random.Random) -> Iterator[list[str]]:
        keys = draw.sample(self._keys, changed)
        while True:
            yield from (keys[at : at + BATCH] for at in range(0, changed, BATCH))


def measure_changes(bench: Benchmark, keys: int, directory: Path) -> None:
    draw = random.Random(7)
    pauses: dict[str, float] = {}
    of_base: dict[str, float] = {}
    uploads: dict[str, float] = {}
    for name, backend in {"hashmap": HashMapBackend(), "rocksdb": on_disk(directory / "state")}.items():
        counting = Counting(backend, files_in(directory / name), keys)
        whole, pause = counting.checkpoint(BATCH, draw)
        of_base[name] = 1000 * pause
        measured = [counting.checkpoint(keys // 100, draw) for _ in range(5)]
        pauses[name] = 1000 * max(pause for _, pause in measured)
        uploads[name] = 100 * max(stored.stored_bytes for stored, _ in measured) / whole.state_bytes
        backend.close()
    bench.figures(
        "longest pause of the data loop, 1 % changed", "ms", pauses, targets=[Target(name, at_most=20) for name in pauses]
    )
    bench.figures("the same, everything is stored", "ms", of_base, targets=[Target(name, at_most=20) for name in of_base])
    bench.figures("uploaded, of the full state, 1 % changed", "%", uploads, targets=[Target(name, at_most=3) for name in uploads])


def measure_restore(bench: Benchmark, keys: int, directory: Path) -> None:
    times: dict[str, float] = {}
    counting = Counting(HashMapBackend(), files_in(directory / "restored"), keys)
    stored, _ = counting.checkpoint(BATCH, random.Random(7))
    parts = [part_of(0, stored)]
    for parallelism in (3, 2):
        number = 0
        restored = []
        before, parts = parts, []
        for index in range(parallelism):
            backend = HashMapBackend()
            start = time.perf_counter()
            for _, chunk in restored_layers(before, index, parallelism, GROUPS):
                backend.absorb(chunk)
            restored.append(time.perf_counter() - start)
            held = backend.table(STATE)
            number += len(held)
            mine = group_range(index, parallelism, GROUPS)
            assert all(key_group(stable_hash(key), GROUPS) in mine for key in islice(held, BATCH)), "a key that is another's"
            again = LayeredState(OneOperator(backend), files_in(directory / f"{parallelism}-{index}"), 0)
            parts.append(part_of(index, again.store(again.capture(1))))
        assert number == keys, f"{number} keys of {keys}"
        times[f"slowest of {parallelism} subtasks"] = max(restored)
    bench.figures(
        f"restore of {keys:,} keys, 1 to 3 to 2 subtasks", "s", times, targets=[Target(name, at_most=5) for name in times]
    )


def part_of(index: int, stored: StoredLayers) -> SubtaskState:
    return SubtaskState(index, InlineState(b""), dict(stored.files), layers=stored.layers, base=stored.base, top=stored.top)


def files_in(directory: Path) -> CheckpointFiles:
    return CheckpointFiles(str(directory), JobId("bench"), inline_bytes_max=0)


def on_disk(directory: Path) -> RocksDBBackend:
    memory = RocksDBMemory(128 << 20)
    return RocksDBBackend(Store(directory, memory, OPERATOR), ObjectShares(memory.object_bytes), GROUPS)


def main() -> None:
    bench = Benchmark("checkpoints", __doc__)
    keys = bench.size(1_000_000, quick=100_000)
    words = bench.size(20_000_000, quick=2_000_000)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        measure_changes(bench, keys, directory)
        measure_restore(bench, keys, directory)
        text = directory / "words.txt"
        write_words(words, keys, text)
        for backend, cost in {"hashmap": 0.05, "rocksdb": 0.10}.items():
            contenders = {
                "no checkpoints": lambda backend=backend: per_second(words + keys, lambda: count_words(text, backend, None)),
                "one each second": lambda backend=backend: per_second(
                    words + keys, lambda: count_words(text, backend, directory / "checkpoints")
                ),
            }
            target = Target("one each second", times=1 - cost, versus="no checkpoints")
            bench.compare(f"word count, state in {backend}", "words/s", contenders, floor="no checkpoints", targets=[target])
    bench.finish()


if __name__ == "__main__":
    main()
