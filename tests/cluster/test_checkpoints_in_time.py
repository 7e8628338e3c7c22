"""Windows, timers and joins of jobs that fail and go on from a checkpoint, in virtual time: the output is that of an undisturbed run."""

import pytest
from visible_output import lines_left

import actorflow as af
from actorflow.testing import TestSource, run_test

RESTARTING = {
    "execution.checkpointing.interval": "1s",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 3,
    "restart-strategy.fixed-delay.delay": "10s",
}


class Later(af.OperatorActor):
    seen = af.ListState(int, ttl=af.Ttl(500, time="event"))

    def on_record(self, record, ctx):
        self.seen.add(record[1])
        ctx.timers.event(ctx.timestamp + 350)

    def on_timer(self, timestamp, ctx):
        ctx.emit((ctx.key, timestamp, self.seen.get()))


def numbered(key, window, records, ctx):
    ctx.global_state.put("firings", ctx.global_state.get("firings", 0) + 1)
    return records, ctx.global_state.get("firings")


def window(assigner, verb=lambda windowed: windowed.sum(1)):
    return lambda stream: verb(stream.key_by(0).window(assigner))


PROGRAMS = {
    "tumbling": window(af.windows.tumbling(700)),
    "sliding": window(af.windows.sliding(1000, 300)),
    "sliding, kept for late records": window(
        af.windows.sliding(1000, 300), lambda windowed: windowed.allowed_lateness(500).count()
    ),
    "sessions": window(af.windows.session(450)),
    "counted": window(af.windows.count(4, 2)),
    "applied": window(af.windows.sliding(1000, 300), lambda windowed: windowed.apply(numbered)),
    "continuous": window(
        af.windows.tumbling(1000), lambda windowed: windowed.trigger(af.triggers.continuous_event_time(300)).count()
    ),
    "all": lambda stream: stream.window_all(af.windows.sliding(1000, 200)).count(),
    "timers": lambda stream: stream.key_by(0).process(Later()),
    "own event times": lambda stream: window(af.windows.sliding(1000, 300))(
        stream.with_timestamps(lambda record: 100 * record[1], af.Watermarks.bounded(200))
    ),
    "interval join": lambda stream: stream.key_by(0).interval_join(stream.key_by(0), lower=-200, upper=200),
}


def written(program, directory, *, failures, parallelism, **config):
    """Return the lines that a run has committed, and its number of attempts."""
    source = TestSource()
    for number in range(60):
        source = source.at(100 * number, ("abc"[number % 3], number))
        if number > 3:
            source = source.watermark(100 * number - 200)
        source = source.advance("500ms")
        if number in failures:
            source = source.abort(attempts=1 + failures.index(number))
    pipeline = af.Pipeline("in time")
    program(pipeline.read(source)).map(str).write(af.sinks.text(str(directory)))
    run = run_test(pipeline, config=RESTARTING | config, parallelism=parallelism)
    return lines_left(directory), run.attempts


@pytest.mark.parametrize("parallelism", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_goes_on_from_a_checkpoint_writes_what_an_undisturbed_run_writes(tmp_path, name, parallelism):
    undisturbed, once = written(PROGRAMS[name], tmp_path / "undisturbed", failures=(), parallelism=parallelism)
    disturbed, attempts = written(PROGRAMS[name], tmp_path / "disturbed", failures=(7, 15, 40), parallelism=parallelism)

    assert (once, attempts) == (1, 4)
    assert disturbed == undisturbed
    assert len(undisturbed) > 10 or name == "sessions"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sliding", "sessions", "timers", "all", "interval join"])
def test_it_does_so_too_where_barriers_overtake(tmp_path, name):
    overtaking = {"execution.checkpointing.unaligned.enabled": True, "execution.batch-records.max": 1}
    undisturbed, _ = written(PROGRAMS[name], tmp_path / "undisturbed", failures=(), parallelism=2)
    disturbed, attempts = written(PROGRAMS[name], tmp_path / "disturbed", failures=(7, 15, 40), parallelism=2, **overtaking)

    assert attempts == 4
    assert disturbed == undisturbed
