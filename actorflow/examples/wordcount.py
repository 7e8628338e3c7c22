"""Word count: how often each word occurs in text files, counted by key on several slot processes.

The pipeline keeps running counts: every word that is read gives `(word, n)`. Of those only the last of each word is of interest here,
so the pipeline ends in a sink of its own, which shows how one is written: it keeps the latest count of each word, and sends them to
the caller when its input has ended.
"""

from __future__ import annotations

import pickle
import re
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import actorflow as af
from actorflow.connectors.contracts import Writer, WriterContext
from actorflow.connectors.file_splits import list_all, paths_of
from actorflow.wire.batch import Batch, ObjectBatch

_WORD = re.compile("[a-z]+")


def build(paths: str | Sequence[str | Path]) -> af.Pipeline:
    """Return the pipeline; it is a value, and runs nothing.

    Args:
        paths: file, directory, glob or URI, or several of them.
    """
    pipeline = af.Pipeline("wordcount")
    counts = (
        pipeline.read(af.sources.text(paths, errors="replace"))  # source trees contain files in every encoding
        .flat_map(words, name="words")
        .key_by(itself)
        .count()
    )
    counts.write(LatestCounts())
    return pipeline


def words(line: str) -> list[str]:
    """Return the words of a line: its runs of letters, in lower case."""
    return _WORD.findall(line.lower())


def itself(word: str) -> str:
    """Return the word: it is its own key."""
    return word


class LatestCounts(af.Sink):
    """Gives the caller one `(word, n)` for each word: the last."""

    sends_results = True

    def open(self, ctx: WriterContext) -> Writer:
        """Return the writer of one subtask. All counts of a word come to the same one, because the stream is keyed."""
        return LatestCountsWriter(ctx)


class LatestCountsWriter:
    """Keeps the latest count of each word that its subtask gets.

    Args:
        ctx: leads to the caller.
    """

    def __init__(self, ctx: WriterContext) -> None:
        self._ctx = ctx
        self._latest: dict[str, int] = {}

    def write(self, batch: Batch) -> None:
        """Note a batch of counts; a later one of a word replaces an earlier."""
        assert isinstance(batch, ObjectBatch), "a sink that takes objects, as is the default, gets objects"
        self._latest.update(batch.records)

    def flush(self) -> None:
        """Nothing: what is kept is only of interest at the end."""

    def close(self) -> None:
        """Send the counts."""
        self._ctx.send_result(pickle.dumps(list(self._latest.items())))


def standard_library() -> list[Path]:
    """Return the Python files of this interpreter's standard library: megabytes of real text on every machine."""
    root = Path(sysconfig.get_paths()["stdlib"])
    return sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)


def main(paths: Sequence[str | Path] = (), *, slots: int = 2, top: int = 20) -> None:
    """Count the words of files, print the most frequent and how fast it went.

    Args:
        paths: files, directories, globs or URIs; the standard library's source if there is none.
        slots: number of slot processes.
        top: how many words to show.
    """
    inputs = paths or standard_library()
    files = list_all(paths_of(inputs))
    started = time.perf_counter()
    result = af.run(build(inputs), parallelism=slots, slots=slots)
    seconds = time.perf_counter() - started
    counts = dict(result.results)
    ranking = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
    for word, count in ranking:
        print(f"{count:>12,}  {word}")
    total, megabytes = sum(counts.values()), sum(info.size_bytes for info in files) / 1e6
    print(
        f"\n{total:,} words ({len(counts):,} different) in {len(files):,} files, {megabytes:.1f} MB\n"
        f"{seconds:.2f} s on {slots} slots, the start of their processes included: "
        f"{total / seconds / 1e6:.2f} M records/s, {megabytes / seconds:.1f} MB/s\n\n"
        "where to go next\n"
        "  your own text           actorflow example wordcount PATH...\n"
        f"  how this is written     {__file__}\n"
        "  a pipeline of yours     actorflow run SCRIPT (docs/tutorial.md)"
    )
