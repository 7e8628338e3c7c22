"""Programs that put numbers into sliding windows of a second and into sessions, and remember them by key; and what these must write."""

from collections import Counter
from pathlib import Path

import actorflow as af

AT_THE_END = 10**15


class Sums(af.OperatorActor):
    """Has every kind of state, and timers: what is lost or doubled shows in what it emits.

    Args:
        where: a directory in which each subtask says at the end of its input how many records it has had, or None.
    """

    total = af.ValueState(int, default=0)
    seen = af.MapState(str, int)
    last = af.ListState(int)
    records = af.OperatorListState(int)

    def __init__(self, where=None):
        self.where = where and str(where)

    def on_record(self, number, ctx):
        self.total.set(self.total.get() + number)
        parity = "odd" if number % 2 else "even"
        self.seen.put(parity, self.seen.get(parity, 0) + 1)
        self.last.update([*self.last.get(), number][-2:])
        self.records.add(number)
        ctx.timers.event(ctx.timestamp + 500)
        ctx.timers.event(AT_THE_END)

    def on_timer(self, timestamp, ctx):
        if timestamp < AT_THE_END:
            ctx.emit(["timer", ctx.key, timestamp])
        else:
            ctx.emit(["sums", ctx.key, self.total.get(), self.seen.get("odd", 0), self.seen.get("even", 0), len(self.last.get())])

    def on_stop(self, ctx):
        if self.where and ctx.watermark == 2**63 - 1:
            Path(self.where, f"{ctx.parallel_index}-{ctx.attempt}").write_text(str(len(self.records.get())))


def by_key(numbers, keys):
    """Ten times a number is its event time, its remainder is its key."""
    stamped = numbers.with_timestamps(lambda number: number * 10, af.Watermarks.bounded(out_of_order="20s"))
    return stamped, stamped.key_by(lambda number: number % keys)


def timed(numbers, keys, where=None):
    """Return the outputs of windows, sessions and sums of numbers, as one stream."""
    stamped, keyed = by_key(numbers, keys)
    windows = keyed.window(af.windows.sliding("1s", "250ms")).count().map(lambda w: ["window", w.key, w.window.start, w.value])
    sessions = stamped.key_by(lambda number: number % 500).window(af.windows.session("4s")).count()
    named = sessions.map(lambda w: ["session", w.key, w.window.start, w.value])
    return windows.union(named, keyed.process(Sums(where), uid="sums"))


def expected_of_sums(records, keys):
    """Return what `Sums` emits for the first natural numbers."""
    expected = [["timer", number % keys, number * 10 + 500] for number in range(records)]
    for key in range(keys):
        numbers = range(key, records, keys)
        odd = sum(number % 2 for number in numbers)
        expected.append(["sums", key, sum(numbers), odd, len(numbers) - odd, min(2, len(numbers))])
    return expected


def expected_of_timed(records, keys):
    """Return what `timed` gives for the first natural numbers."""
    windows = Counter()
    for number in range(records):
        start = number * 10 // 250 * 250
        while start > number * 10 - 1000:
            windows[number % keys, start] += 1
            start -= 250
    expected = expected_of_sums(records, keys)
    expected += [["window", key, start, count] for (key, start), count in windows.items()]
    expected += [["session", number % 500, number * 10, 1] for number in range(records)]
    return sorted(expected)
