"""Joins as they are written: what they become, and what is refused."""

import pytest

import actorflow as af
from actorflow.errors import ConfigError, PlanError


async def look_up(key):
    return key


def keyed():
    pipeline = af.Pipeline("job")
    return [
        pipeline.read(af.sources.collection([{"id": 1, "time": 1}]), name=name)
        .with_timestamps("time", af.Watermarks.monotonous())
        .key_by("id")
        for name in ("a", "b")
    ]


def operators(stream):
    graph = stream.graph_into(af.sinks.discard())
    return [operator.name for operator in graph.operators if not operator.name.startswith(("with_timestamps", "sink"))]


def test_joins_are_operators_of_two_inputs_or_windows_over_tagged_records():
    window = af.windows.tumbling("1s")
    verbs = {
        "interval_join": lambda a, b: a.interval_join(b, lower=0, upper=1),
        "as_of_join": lambda a, b: a.as_of_join(b),
        "join": lambda a, b: a.join(b),
        "map, map-2, prices, map-3": lambda a, b: a.join(b, window=window, name="prices"),
        "map, map-2, window": lambda a, b: a.co_group(b, window=window),
        "map_async, filter": lambda a, _: a._stream.lookup_join(look_up, "id", how="inner"),
    }
    for names, verb in verbs.items():
        assert names == ", ".join(name for name in operators(verb(*keyed())) if name not in {"a", "b"})


REFUSED = {
    "not keyed": (
        lambda a, b: a.join(b._stream),
        "join needs another keyed stream, not Stream (hint: write a.key_by(f).join(b.key_by(g), ...))",
    ),
    "another pipeline": (
        lambda a, _: a.as_of_join(af.Pipeline("other").read(af.sources.collection([])).key_by(0)),
        "cannot join streams of two pipelines, 'job' and 'other' (hint: read both sources in one pipeline, or exchange files)",
    ),
    "how": (
        lambda a, b: a.join(b, how="outer"),
        "how of join cannot be 'outer' (hint: valid are 'inner', 'left', 'right', 'full')",
    ),
    "how of as-of": (
        lambda a, b: a.as_of_join(b, how="full"),
        "how of as_of_join cannot be 'full' (hint: valid are 'left', 'inner')",
    ),
    "ttl and window": (
        lambda a, b: a.join(b, window=af.windows.tumbling("1s"), ttl="1h"),
        "a join in windows has no ttl: records are kept until their windows end (hint: leave one of them out)",
    ),
    "no ttl": (
        lambda a, b: a.join(b, ttl=0),
        "the ttl of join must be longer than 0, not 0 (hint: leave it out to keep records until the end)",
    ),
    "no window": (
        lambda a, b: a.co_group(b, window="1s"),
        "co_group needs windows, not '1s' (hint: such as af.windows.tumbling('1min'); others derive from af.WindowAssigner)",
    ),
    "empty interval": (
        lambda a, b: a.interval_join(b, lower="1s", upper="1s", upper_inclusive=False),
        "interval_join finds nothing between '1s' and '1s' (hint: lower is below upper: '-5min', '5min')",
    ),
    "tag": (
        lambda a, b: a.interval_join(b, lower=0, upper=0, late_left="late"),
        "late_left needs a tag, not 'late' (hint: make one with af.Tag('late'))",
    ),
    "cache": (
        lambda a, _: a._stream.lookup_join(look_up, "id", cache_size=-1),
        "cache_size of lookup_join must be at least 0, not -1",
    ),
    "look-up": (lambda a, _: a._stream.lookup_join("id", look_up), "lookup_join needs a function, not str: 'id'"),
}


@pytest.mark.parametrize(("verb", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_where_it_is_written(verb, expected):
    with pytest.raises(PlanError) as caught:
        verb(*keyed())
    assert expected == str(caught.value)


def test_bounds_are_durations_that_may_be_negative():
    a, b = keyed()
    with pytest.raises(ConfigError, match="upper of interval_join"):
        a.interval_join(b, lower="-1.5h", upper="soon")
    join = a.interval_join(b, lower="-1.5h", upper="1s", lower_inclusive=False).graph_into(af.sinks.discard()).operators[-2]
    assert (-5_399_999, 1000) == (join.spec.operator._lower, join.spec.operator._upper)


def test_joins_in_event_time_need_event_times():
    pipeline = af.Pipeline("job")
    a = pipeline.read(af.sources.collection([1])).key_by(str)
    for stream in (a.interval_join(a, lower=0, upper=1), a.as_of_join(a), a.join(a, window=af.windows.tumbling("1s"))):
        with pytest.raises(PlanError, match=r"goes by event time, and the records from '(source|map)' have none"):
            af.collect(stream)
    assert [(1, 1)] == af.collect(a.join(a), slots="inline")
