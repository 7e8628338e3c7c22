"""A job that counts numbers by key, and stays in its middle until it is let go; what it writes, and must write."""

from pathlib import Path

from visible_output import committed, running_counts

import actorflow as af
from actorflow.connectors.contracts import END_OF_SPLIT, Pause
from actorflow.wire.batch import ObjectBatch

SPLITS, NUMBERS, KEYS = 6, 1000, 13


class Trickle(af.Source):
    """Numbers, a few at a time, and not the last of a split, until there is a file."""

    def __init__(self, gate):
        self.gate = gate

    def splits(self, parallelism):
        return range(SPLITS)

    def open(self, split, position):
        return Trickling(self.gate, split * NUMBERS, position or 0)


class Trickling:
    def __init__(self, gate, first, given):
        self.gate, self.first, self.given, self.paused = gate, first, given, False

    @property
    def position(self):
        return self.given

    def read(self, records_max):
        if self.given == NUMBERS:
            return END_OF_SPLIT
        opened = Path(self.gate).exists()
        count = min(100, NUMBERS - self.given) if opened else min(3, NUMBERS - 1 - self.given)
        self.paused = not opened and not self.paused
        if self.paused or not count:
            return Pause(0.005)
        start = self.first + self.given
        self.given += count
        return ObjectBatch(list(range(start, start + count)))

    def close(self):
        pass


def counting(tmp_path):
    pipeline = af.Pipeline("counting")
    numbers = pipeline.read(Trickle(str(tmp_path / "gate"))).map(abs, uid="numbers")
    numbers.key_by(lambda number: number % KEYS).count(uid="counts").write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


def written(tmp_path):
    return sorted(committed(tmp_path / "out"))


def expected():
    return running_counts(SPLITS * NUMBERS, KEYS)
