"""What window tests share: a window operator written for clarity, steps for it and the real one, and random ones of both."""

from chain_harness import Collected, Subtask, operators, port
from hypothesis import strategies as st

from actorflow.operators.aggregate import Aggregate
from actorflow.operators.chain import compile_chain
from actorflow.operators.specs import AggregateSpec, CountSpec, MaxSpec, MinSpec, ReduceSpec, SumSpec
from actorflow.operators.windowing.window import Window, Windowed
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch

# --- steps: ("batch", [(key, timestamp, value), ...]), ("watermark", timestamp) or ("clock", processing time) ---------------------------------------------------


@st.composite
def steps(draw, *, span=25, keys="abc", records_max=9):
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


@st.composite
def clock_steps(draw, *, span=60, keys="abc"):
    """Batches while processing time passes. Event times are all 0."""
    found = draw(
        st.lists(
            st.one_of(st.lists(st.sampled_from(keys), min_size=1, max_size=4), st.integers(0, span // 3)), min_size=1, max_size=14
        )
    )
    result, now, number = [], 0, 0
    for what in found:
        if isinstance(what, int):
            now += what
            result.append(("clock", now))
        else:
            result.append(("batch", [(key, 0, number + place) for place, key in enumerate(what)]))
            number += len(what)
    return result


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


class NaiveSessions:
    """Sessions of each key as lists of records: found anew from all records that have come and not been forgotten."""

    def __init__(self, gap_of, lateness, value):
        self.gap_of = gap_of
        self.lateness = lateness
        self.value = value
        self.kept = {}  # key to [(window, records)]
        self.watermark = MIN_TIMESTAMP

    def record(self, record):
        key, timestamp, _ = record
        window = Window(timestamp, timestamp + self.gap_of(record))
        sessions = self.kept.setdefault(key, [])
        near = [session for session in sessions if session[0].start <= window.end and window.start <= session[0].end]
        if not near and window.end - 1 + self.lateness <= self.watermark:
            return [], True
        merged = (
            Window(min([window.start, *(w.start for w, _ in near)]), max([window.end, *(w.end for w, _ in near)])),
            [other for _, records in near for other in records] + [record],
        )
        self.kept[key] = [session for session in sessions if session not in near] + [merged]
        return [self.result(key, merged)] if merged[0].end - 1 <= self.watermark else [], False

    def advance(self, watermark):
        ended = [
            (key, session)
            for key, sessions in self.kept.items()
            for session in sessions
            if self.watermark < session[0].end - 1 <= watermark
        ]
        results = [self.result(key, session) for key, session in sorted(ended, key=lambda item: item[1][0].end)]
        self.watermark = watermark
        for key, sessions in self.kept.items():
            self.kept[key] = [session for session in sessions if session[0].end - 1 + self.lateness > watermark]
        return results

    def result(self, key, session):
        window, records = session
        return Windowed(key, window, self.value(records)), window.end - 1

    run = NaiveWindows.run


# --- the real one --------------------------------------------------------------------------------------------------------------------


class Runner:
    """A chain of one window operator that is told steps."""

    def __init__(self, spec, context=None):
        self.context = context or Subtask()
        self.output, self.late = Collected(), Collected()
        ports = [port(self.output, 0), *([port(self.late, 0, spec.late_tag)] if spec.late_tag else [])]
        self.chain = compile_chain(operators(spec), ports, self.context)
        self.before_open()
        self.chain.open()

    def before_open(self):
        """Nothing to restore."""

    def take(self, step):
        """Return what a step brings: results with timestamps, and late records."""
        before = len(self.output.stamped), len(self.late.records)
        kind, what = step
        if kind == "batch":
            self.chain.process(ObjectBatch(list(what), [timestamp for _, timestamp, _ in what]))
        elif kind == "clock":
            self.context.advance_to(what)
        else:
            while self.chain.advance_watermark(what) != what:
                assert self.chain.blocked
        return self.output.stamped[before[0] :], self.late.records[before[1] :]

    def run(self, steps):
        return [self.take(step) for step in steps]


def unordered(brought):
    """Results of one step may come in any order of keys."""
    return [(sorted(results, key=repr), late) for results, late in brought]


def values(_key, _window, records, _ctx):
    return list(map(value_of, records))


def runner_of(assigner, trigger=None, **options):
    return Runner(WindowSpec(key_of, assigner, function=values, trigger=trigger, **options))


def results_of(runner, given_steps):
    """Return (key, values) of all results, in order."""
    return [(result.key, result.value) for results, _ in runner.run(given_steps) for result, _ in results]


def records_of(given_steps):
    return [record for kind, what in given_steps if kind == "batch" for record in what]
