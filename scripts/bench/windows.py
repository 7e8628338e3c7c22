"""Counts of words in event-time windows over 10 M words of 1,000 different ones: beside running counts, and windows of several lengths.

Lines of a text file begin with their event time, ten words follow, all of that time. They are split, keyed by word and counted; the sink discards.
A minute of event time holds 60,000 words, and its watermark follows at once.

    running          the count of the word-count benchmark: a result for every word
    tumbling 1 min   a result for every word and minute. The floor is the same as a loop written by hand
    sliding          60 min by 1 min: as many results, each of sixty minutes
    sessions         a gap of five seconds; a word comes once a second, so that a session lasts for some minutes

Slots are processes; seconds are those of the whole call, with their start.
"""

from __future__ import annotations

import random
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Benchmark, Target, per_second

import actorflow as af

VOCABULARY = 1000
WORDS_PER_LINE = 10
WORDS_PER_SECOND = 1000
START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
TIME_DIGITS = 13

Windowed = Callable[[Any], Any]


def word(number: int) -> str:
    """Return one of the words: three letters."""
    letters = ""
    number += 26**2
    while number:
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def write_input(count: int, path: Path) -> None:
    """Write lines of a time and ten words, always the same."""
    draw = random.Random(7)
    vocabulary = [word(number) for number in range(VOCABULARY)]
    with path.open("w", encoding="utf-8") as lines:
        for line in range(count // WORDS_PER_LINE):
            time = START_MS + line * WORDS_PER_LINE * 1000 // WORDS_PER_SECOND
            lines.write(f"{time} {' '.join(draw.choices(vocabulary, k=WORDS_PER_LINE))}\n")


def time_of(line: str) -> int:
    return int(line[:TIME_DIGITS])


def words_of(line: str) -> list[str]:
    return line[TIME_DIGITS:].split()


def hand_written_loop(path: Path) -> None:
    """Count the words of each minute, and give them out when a later minute begins."""
    counts: dict[str, int] = {}
    window = 0
    emit = deque[tuple[str, int, int]](maxlen=0).append
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            time = int(line[:TIME_DIGITS])
            if time >= window + MINUTE_MS:
                for one, number in counts.items():
                    emit((one, window, number))
                counts = {}
                window = time - time % MINUTE_MS
            seen = counts.get
            for one in line[TIME_DIGITS:].split():
                counts[one] = seen(one, 0) + 1
    for one, number in counts.items():
        emit((one, window, number))


def count_words(path: Path, slots: int, windows: Any = None) -> None:
    """Count the words of a file in windows; without windows give running counts."""
    pipeline = af.Pipeline("windows", parallelism=slots)
    lines = pipeline.read(af.sources.text(str(path)))
    if windows is not None:
        lines = lines.with_timestamps(time_of, af.Watermarks.bounded(out_of_order="1h"))  # two readers, at different places
    words = lines.flat_map(words_of).key_by(lambda one: one)
    counted = words.count() if windows is None else words.window(windows).count()
    counted.write(af.sinks.discard())
    af.run(pipeline, slots=slots)


def main() -> None:
    bench = Benchmark("windows", __doc__)
    words = bench.size(10_000_000, quick=500_000)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "words.txt"
        write_input(words, path)
        contenders: dict[str, Callable[[], float]] = {
            "hand-written loop": lambda: per_second(words, lambda: hand_written_loop(path))
        }
        kinds = {
            "running": None,
            "tumbling 1 min": af.windows.tumbling("1min"),
            "sliding 60 by 1 min": af.windows.sliding("60min", "1min"),
            "sessions": af.windows.session("5s"),
        }
        for slots in (1, 2):
            for name, windows in kinds.items():
                contenders[f"{name}, {slots} slot{'s' * (slots - 1)}"] = lambda slots=slots, windows=windows: per_second(
                    words, lambda: count_words(path, slots, windows)
                )
        targets = [
            Target("tumbling 1 min, 2 slots", times=0.5, versus="running, 2 slots"),
            Target("sliding 60 by 1 min, 2 slots", times=0.5, versus="tumbling 1 min, 2 slots"),
            Target("sliding 60 by 1 min, 1 slot", times=0.5, versus="tumbling 1 min, 1 slot"),
        ]
        bench.compare("counts by word", "words/s", contenders, floor="hand-written loop", targets=targets)
    bench.finish()


if __name__ == "__main__":
    main()
