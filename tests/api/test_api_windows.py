"""Windows as users write them: what is refused on the user's line, and what a plan shows."""

from datetime import timedelta

import pytest

import actorflow as af
from actorflow.errors import ConfigError
from actorflow.operators.windowing.windows import CountWindows, DynamicSessionWindows, SessionWindows, TimeWindows


def keyed():
    return af.Pipeline("windows").read(af.sources.collection([("a", 1)])).key_by(0)


def tumbling():
    return keyed().window(af.windows.tumbling("1min"))


def test_durations_are_written_as_everywhere():
    assert TimeWindows(60_000, 60_000) == af.windows.tumbling("1min")
    assert TimeWindows(86_400_000, 86_400_000, -28_800_000) == af.windows.tumbling("1d", "-8h")
    assert TimeWindows(10, 10, -3) == af.windows.tumbling(10, offset=-3)
    assert TimeWindows(10, 10, -3) == af.windows.tumbling(10, offset=timedelta(milliseconds=-3))
    assert TimeWindows(3_600_000, 600_000, 5, "processing") == af.windows.sliding("1h", timedelta(minutes=10), 5, time="processing")
    assert TimeWindows(10, 25) == af.windows.sliding(10, 25)
    assert SessionWindows(30_000) == af.windows.session("30s")
    assert isinstance(af.windows.session(lambda record: 5), DynamicSessionWindows)
    assert CountWindows(10, 2) == af.windows.count(10, 2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: af.windows.tumbling(0), "the size of tumbling must be longer than 0"),
        (lambda: af.windows.sliding("1h", 0), "the slide of sliding must be longer than 0"),
        (lambda: af.windows.session("0s"), "the gap of session must be longer than 0"),
        (lambda: af.windows.count(0), "the size of count windows must be a whole number of records, 1 or more"),
        (lambda: af.windows.count(3, True), "the slide of count windows must be a whole number of records"),
        (lambda: af.windows.tumbling(5, time="wall"), "the time of windows cannot be 'wall'"),
        (lambda: keyed().window("1min"), "window needs windows, not '1min' .hint: such as af.windows.tumbling"),
        (lambda: af.Pipeline("x").read(af.sources.collection([1])).window_all(5), "window_all needs windows, not 5"),
        (lambda: tumbling().trigger("count"), "trigger needs a trigger"),
        (lambda: tumbling().evict(5), "evict needs an evictor"),
        (lambda: tumbling().late_to("late"), "late_to needs a tag"),
        (lambda: tumbling().aggregate(af.Aggregate), "aggregate needs an Aggregate object"),
        (lambda: tumbling().apply(lambda key, window: 1), "apply calls its function with 4 arguments"),
        (lambda: tumbling().reduce(max, apply=lambda key: 1), "apply calls its function with 4 arguments"),
        (lambda: keyed().window(af.windows.count(3)).trigger(af.triggers.count(1)), "count windows have a trigger of their own"),
        (lambda: keyed().window(af.windows.count(3)).evict(af.evictors.count(1)), "count windows have a evictor of their own"),
        (
            lambda: keyed().window(af.windows.session(5)).trigger(af.triggers.delta(1, max)),
            "windows that merge cannot be used with DeltaTrigger: it has no on_merge",
        ),
        (lambda: keyed().window(af.windows.tumbling(5, time="processing")).allowed_lateness(1), "in these no record is late"),
        (lambda: keyed().window(af.windows.global_()).allowed_lateness(1), "in these no record is late"),
        (lambda: keyed().window(af.windows.count(2)).late_to(af.Tag("late")), "in these no record is late"),
    ],
)
def test_what_makes_no_sense_is_refused(make, text):
    with pytest.raises(af.PlanError, match=text):
        make()


@pytest.mark.parametrize(
    "make", [lambda: af.windows.tumbling("soon"), lambda: tumbling().allowed_lateness(-1), lambda: af.windows.session(1.5)]
)
def test_what_is_no_duration_is_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_a_windowed_stream_is_a_value():
    windowed = tumbling()
    windowed.allowed_lateness("5s").trigger(af.triggers.count(3))
    assert 0 == windowed._spec.lateness_ms
    assert windowed._spec.trigger is None
    assert "<WindowedStream of <Stream" in repr(windowed)


def test_event_time_windows_need_event_times():
    stream = tumbling().count()
    with pytest.raises(af.PlanError, match="'window' goes by event time, and the records from 'source' have none"):
        af.collect(stream)


def test_windows_of_all_records_run_in_one_subtask():
    pipeline = af.Pipeline("all", parallelism=4)
    stream = pipeline.read(af.sources.collection(range(10)))
    stream.window_all(af.windows.count(5)).sum(lambda n: n).write(af.sinks.discard())
    assert "window_all" in pipeline.explain()
    with pytest.raises(af.PlanError, match="window_all"):
        stream.window_all(af.windows.count(5)).sum(lambda n: n, parallelism=2).write(af.sinks.discard())
        pipeline.explain()


def test_a_function_that_cannot_travel_is_named():
    import threading

    lock = threading.Lock()
    with pytest.raises(af.PlanError, match="cannot ship 'window': its function cannot be pickled"):
        af.collect(keyed().window(af.windows.count(1)).apply(lambda key, window, records, ctx: lock))
