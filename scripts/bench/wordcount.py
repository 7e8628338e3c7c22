"""Word count over 10 M words with Zipf's distribution: a record at a time with running counts, and on columns.

Objects: lines of a text file are split into words, keyed, counted; every record gives a running count `(word, n)`, which the sink
discards. The floor is the same as a hand-written loop over the same file; two of these at once, in processes that have nothing to do with
each other, show what two slots could reach on this machine if an exchange cost nothing, and two that exchange words by key (`exchange_floor`) what
an exchange leaves of that without any engine. Columns: a Parquet file of words, read several times so
that both sides work for seconds; every batch is counted by polars, the batches' counts are summed by key. The floor is one polars
query over the same files. Polars has one thread on either side (`POLARS_MAX_THREADS=1`); a slot decodes its files on a second one,
which shows in its seconds but not in the work that it does: the second table has the CPU time of both.

Seconds are those of the whole call, `af.run` with the start of its processes, and for the query those of the query alone; Flink's
(`--peers`) are those of `execute()` in a JVM that is already running, with the start of its local cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from exchange_floor import two_loops_exchanging
from harness import Benchmark, Target, per_second
from peers import flink

import actorflow as af

if TYPE_CHECKING:
    import polars as pl

VOCABULARY = 100_000
WORDS_PER_LINE = 10
WORDS_AT_ONCE = 500_000
FILE_READ_TIMES = 10

POLARS_QUERY = """
import sys, time
import polars as pl
start, start_cpu = time.perf_counter(), time.process_time()
pl.scan_parquet(sys.argv[1:]).group_by("word").len().collect()
print(time.perf_counter() - start, time.process_time() - start_cpu)
"""


def word(rank: int) -> str:
    """Return the word of a rank: four letters, the average of English text being 4.7."""
    letters = ""
    number = 26**3 + rank
    while number:
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def zipf_words(count: int) -> Iterator[list[str]]:
    """Give `count` words in lists: the word of rank r is drawn with a probability proportional to 1/r. Always the same words."""
    draw = random.Random(20)
    vocabulary = [word(rank) for rank in range(VOCABULARY)]
    cumulated = list(accumulate(1 / (rank + 1) for rank in range(VOCABULARY)))
    for start in range(0, count, WORDS_AT_ONCE):
        yield draw.choices(vocabulary, cum_weights=cumulated, k=min(WORDS_AT_ONCE, count - start))


def write_inputs(count: int, text: Path, columns: Path) -> None:
    """Write the same words as lines of text and as a Parquet column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"word": pa.string()})
    with text.open("w", encoding="utf-8") as lines, pq.ParquetWriter(columns, schema) as table:
        for words in zipf_words(count):
            for start in range(0, len(words), WORDS_PER_LINE):
                lines.write(" ".join(words[start : start + WORDS_PER_LINE]) + "\n")
            table.write_table(pa.table({"word": words}, schema=schema))


def hand_written_loop(text: Path) -> None:
    counts: dict[str, int] = {}
    seen = counts.get
    emit = deque[tuple[str, int]](maxlen=0).append
    with text.open(encoding="utf-8") as lines:
        for line in lines:
            for one in line.split():
                n = counts[one] = seen(one, 0) + 1
                emit((one, n))


def two_loops(text: Path) -> None:
    """Run the hand-written loop in two processes at once."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(hand_written_loop, [text, text], chunksize=1)


def count_objects(text: Path, slots: int) -> None:
    pipeline = af.Pipeline("wordcount", parallelism=slots)
    words = pipeline.read(af.sources.text(str(text))).flat_map(str.split)
    words.key_by(lambda one: one).count().write(af.sinks.discard())
    af.run(pipeline, slots=slots)


def count_batch(batch: pl.DataFrame) -> pl.LazyFrame:
    return batch.lazy().group_by("word").len("n")


def count_columns(columns: Sequence[str], slots: int | Literal["inline"]) -> None:
    pipeline = af.Pipeline("wordcount-columns", parallelism=1 if slots == "inline" else slots)
    counted = pipeline.read(af.sources.parquet(columns)).map_batches(count_batch)
    counted.key_by("word").sum("n").write(af.sinks.discard())
    af.run(pipeline, slots=slots)


def polars_query(columns: Sequence[str]) -> tuple[float, float]:
    """Run the query in a process of its own, since polars keeps its threads; return its seconds and its CPU seconds."""
    done = subprocess.run([sys.executable, "-c", POLARS_QUERY, *columns], stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu_seconds = map(float, done.stdout.split())
    return seconds, cpu_seconds


def cpu_per_second(count: int, work: Callable[[], object]) -> float:
    """Run `work`, which handles `count` things in this process, and return things per second of CPU time."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def compare_columns(bench: Benchmark, file: Path, words: int) -> None:
    """Compare the engine on columns with one polars query, by seconds and by CPU seconds."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # for the query, for the slots' processes, and for this one, which has no polars yet
    columns = [str(file)] * FILE_READ_TIMES
    count = words * len(columns)
    target = Target("actorflow, 1 slot", times=0.6, versus="one polars query")
    bench.compare(
        "counts of columns",
        "words/s",
        {
            "one polars query": lambda: count / polars_query(columns)[0],
            "actorflow, 1 slot": lambda: per_second(count, lambda: count_columns(columns, 1)),
            "actorflow, 2 slots": lambda: per_second(count, lambda: count_columns(columns, 2)),
        },
        floor="one polars query",
        targets=[target],
    )
    bench.compare(
        "counts of columns, by CPU time (the slot in the client's process)",
        "words/s of CPU",
        {
            "one polars query": lambda: count / polars_query(columns)[1],
            "actorflow, 1 slot": lambda: cpu_per_second(count, lambda: count_columns(columns, "inline")),
        },
        floor="one polars query",
        targets=[target],
    )


def main() -> None:
    bench = Benchmark("wordcount", __doc__)
    words = bench.size(10_000_000, quick=2_000_000)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        text, columns = Path(directory) / "words.txt", Path(directory) / "words.parquet"
        write_inputs(words, text, columns)
        objects: dict[str, Callable[[], float]] = {
            "hand-written loop": lambda: per_second(words, lambda: hand_written_loop(text)),
            "two loops at once": lambda: per_second(2 * words, lambda: two_loops(text)),
            "two loops that exchange": lambda: per_second(words, lambda: two_loops_exchanging(text)),
            "actorflow, 1 slot": lambda: per_second(words, lambda: count_objects(text, 1)),
            "actorflow, 2 slots": lambda: per_second(words, lambda: count_objects(text, 2)),
        }
        targets = [
            Target("actorflow, 1 slot", times=0.7, versus="hand-written loop"),
            Target("actorflow, 2 slots", times=1.5, versus="actorflow, 1 slot"),
        ]
        if bench.peers and (reason := flink.missing()):
            bench.note(f"Flink left out: {reason}")
        elif bench.peers:
            peer, run = f"Flink {flink.version()}, parallelism 2", running.enter_context(flink.compiled("FlinkWordCount"))
            objects[peer] = lambda: words / run(str(text), "2")
            targets.append(Target("actorflow, 2 slots", times=1.0, versus=peer))
        bench.compare("running counts, a record at a time", "words/s", objects, floor="hand-written loop", targets=targets)
        compare_columns(bench, columns, words)
    bench.finish()


if __name__ == "__main__":
    main()
