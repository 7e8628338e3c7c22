"""What window tests share: a window operator written for clarity, steps for it and the real one, and random ones of both."""

from chain_harness import Collected, Subtask, operators, port
from hypothesis import strategies as st

from actorflow.operators.aggregate import Aggregate
from actorflow.operators.chain import compile_chain
from actorflow.operators.specs import AggregateSpec, CountSpec, MaxSpec, MinSpec, ReduceSpec, SumSpec
from actorflow.operators.window import Window, Windowed
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch

# --- steps: ("batch", [(key, timestamp, value), ...]) or ("watermark", timestamp) ---------------------------------------------------


@st.composite
def steps(draw, *, span=25, keys="abc", records_max=6):
    """Batches and rising watermarks, the last one at the end of time. Values are different numbers."""
    times, keys = st.integers(-span, span), st.sampled_from(keys)
    found = draw(
        st.lists(
            st.one_of(
                st.tuples(st.just("batch"), st.lists(st.tuples(keys, times), min_size=1, max_size=records_max)),
                st.tuples(st.just("watermark"), times),
            ),
            max_size=12,
        )
    )
    result, watermark, number = [], MIN_TIMESTAMP, 0
    for kind, what in found:
        if kind == "batch":
            result.append((kind, [(key, time, number + place) for place, (key, time) in enumerate(what)]))
            number += len(what)
        elif what > watermark:
            watermark = what
            result.append((kind, what))
    return [*result, ("watermark", MAX_TIMESTAMP)]


class InPlace(Aggregate):
    """An aggregation that changes what it is given as far as it may, and merges by giving parts of the second to the first."""

    def create(self):
        return {"values": []}

    def add(self, acc, value):
        acc["values"].append(value[2])
        return acc

    def merge(self, a, b):
        if not a["values"]:
            return b
        a["values"].extend(b["values"])
        return a

    def result(self, acc):
        return sorted(acc["values"])


def key_of(record):
    return record[0]


def value_of(record):
    return record[2]


FOLDS = {
    "count": (CountSpec(key_of), len),
    "sum": (SumSpec(key_of, value_of), lambda records: sum(map(value_of, records))),
    "min": (MinSpec(key_of, value_of), lambda records: min(map(value_of, records))),
    "max": (MaxSpec(key_of, lambda record: record[2]), lambda records: max(map(value_of, records))),
    "reduce": (ReduceSpec(key_of, lambda a, b: (a[0], max(a[1], b[1]), a[2] + b[2])), None),
    "aggregate": (AggregateSpec(key_of, InPlace()), lambda records: sorted(map(value_of, records))),
}
"""Aggregations, and the same over all records of a window."""


def reduced(records):
    return (records[0][0], max(time for _, time, _ in records), sum(map(value_of, records)))


def value_by(name, records):
    return (FOLDS[name][1] or reduced)(records)


# --- the oracle ----------------------------------------------------------------------------------------------------------------------


def regular_windows(size, slide, offset):
    """Return a function from a timestamp to its windows: by trying all."""

    def windows(timestamp):
        near = range(timestamp - size - slide, timestamp + 1)
        return [
            Window(start, start + size) for start in near if (start - offset) % slide == 0 and start <= timestamp < start + size
        ]

    return windows


class NaiveWindows:
    """Event-time windows that fire at their end and, while they are kept, for each late record."""

    def __init__(self, windows_of, lateness, value):
        self.windows_of = windows_of
        self.lateness = lateness
        self.value = value
        self.kept = {}
        self.watermark = MIN_TIMESTAMP

    def record(self, record):
        """Return (results, whether it is late)."""
        key, timestamp, _ = record
        windows = self.windows_of(timestamp)
        kept = [window for window in windows if window.end - 1 + self.lateness > self.watermark]
        results = []
        for window in kept:
            self.kept.setdefault((window, key), []).append(record)
            if window.end - 1 <= self.watermark:
                results.append(self.result(window, key))
        return results, bool(windows) and not kept

    def advance(self, watermark):
        """Return the results."""
        ended = [(window, key) for window, key in sorted(self.kept) if self.watermark < window.end - 1 <= watermark]
        results = [self.result(window, key) for window, key in ended]
        self.watermark = watermark
        for window, key in list(self.kept):
            if window.end - 1 + self.lateness <= watermark or watermark == MAX_TIMESTAMP:
                del self.kept[window, key]
        return results

    def result(self, window, key):
        return Windowed(key, window, self.value(self.kept[window, key])), window.end - 1

    def run(self, steps):
        """Return what each step brings: results and late records."""
        brought = []
        for kind, what in steps:
            if kind == "watermark":
                brought.append((self.advance(what), []))
                continue
            results, late = [], []
            for record in what:
                given, is_late = self.record(record)
                results += given
                late += [record] if is_late else []
            brought.append((results, late))
        return brought


# --- the real one --------------------------------------------------------------------------------------------------------------------


class Runner:
    """A chain of one window operator that is told steps."""

    def __init__(self, spec, context=None):
        self.context = context or Subtask()
        self.output, self.late = Collected(), Collected()
        ports = [port(self.output, 0), *([port(self.late, 0, spec.late_tag)] if spec.late_tag else [])]
        self.chain = compile_chain(operators(spec), ports, self.context)
        self.chain.open()

    def take(self, step):
        """Return what a step brings: results with timestamps, and late records."""
        before = len(self.output.stamped), len(self.late.records)
        kind, what = step
        if kind == "batch":
            self.chain.process(ObjectBatch(list(what), [timestamp for _, timestamp, _ in what]))
        else:
            while self.chain.advance_watermark(what) != what:
                assert self.chain.blocked
        return self.output.stamped[before[0] :], self.late.records[before[1] :]

    def run(self, steps):
        return [self.take(step) for step in steps]


def unordered(brought):
    """Results of one step may come in any order of keys."""
    return [(sorted(results, key=repr), late) for results, late in brought]
