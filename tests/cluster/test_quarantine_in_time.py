"""Records that fail again and again are put aside, in virtual time: the state is as if they had never come."""

import pytest
from visible_output import committed, lines_of

import actorflow as af
from actorflow.testing import TestSource, run_test

DEAD = af.Tag("dead")
CHECKPOINTS = {"execution.checkpointing.interval": "1s"}
AT_ONCE = {
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 99,
    "restart-strategy.fixed-delay.delay": 0,
}


class Sums(af.OperatorActor):
    """Adds numbers up by key, and stumbles over some after it has changed its state and emitted something."""

    total = af.ValueState(int, default=0)

    def __init__(self, poison):
        self.poison = poison

    def on_record(self, record, ctx):
        self.total.set(self.total.get() + record)
        ctx.emit([ctx.key, self.total.get()])
        if record in self.poison:
            raise ValueError(f"cannot take {record}")


class Plain(af.OperatorActor):
    def on_record(self, record, ctx):
        if record % 20 == 13:
            raise ValueError(f"cannot take {record}")
        ctx.emit([record])


class Marking(af.OperatorActor):
    """Changes each record before it looks at it."""

    def on_record(self, record, ctx):
        record["seen"] = True
        if record["number"] == 13:
            raise ValueError("unlucky")
        ctx.emit(record["number"])


def numbers(values):
    source = TestSource()
    for position, value in enumerate(values):
        source = source.at(100 * position, value).advance("300ms")
    return source


def supervised(**given):
    return af.Supervise(quarantine_after=3, dead_letters=DEAD, **given)


def written(tmp_path, values, operator, *, keyed=True, parallelism=1, config=None, supervise=None):
    """Run to the end; return what came out, the dead letters as written, and the number of attempts."""
    pipeline = af.Pipeline("quarantine", parallelism=parallelism)
    stream = pipeline.read(numbers(values))
    stream = stream.key_by(lambda number: number % 3) if keyed else stream
    result = stream.process(operator, supervise=supervise or supervised())
    result.write(af.sinks.json_lines(str(tmp_path / "out")))
    result.side_output(DEAD).write(af.sinks.json_lines(str(tmp_path / "dead")))
    run = run_test(pipeline, config=CHECKPOINTS | AT_ONCE if config is None else config)
    return sorted(committed(tmp_path / "out")), committed(tmp_path / "dead"), run.attempts


def sums_without(values, poison):
    totals, expected = [0, 0, 0], []
    for value in values:
        if value not in poison:
            totals[value % 3] += value
            expected.append([value % 3, totals[value % 3]])
    return sorted(expected)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_record_that_fails_is_put_aside_and_leaves_no_trace_in_state_and_output(tmp_path, parallelism):
    values, poison = range(60), {7, 8, 40}
    out, dead, attempts = written(tmp_path, values, Sums(poison), parallelism=parallelism)
    assert sums_without(values, poison) == out
    assert [7, 8, 40] == sorted(letter["record"] for letter in dead)
    assert 1 + 3 * 3 == attempts
    letter = next(letter for letter in dead if letter["record"] == 40)
    assert (4000, "process", 3) == (letter["timestamp"], letter["operator"], letter["failures"])
    assert "ValueError: cannot take 40" == letter["error"]
    assert letter["traceback"].splitlines()[-2].strip() == 'raise ValueError(f"cannot take {record}")'


def test_equal_records_are_put_aside_one_by_one(tmp_path):
    class Twice(Sums):
        def on_record(self, record, ctx):
            if record == 5 and ctx.timestamp in {400, 3000}:
                raise ValueError("not now")
            super().on_record(record, ctx)

    values = [*range(30), 5, *range(31, 50)]
    out, dead, attempts = written(tmp_path, values, Twice(()))
    assert sums_without([*range(30), *range(31, 50)], ()) == out
    assert [(5, 3000)] == [(letter["record"], letter["timestamp"]) for letter in dead]
    assert 4 == attempts


def test_operators_without_keys_and_jobs_without_checkpoints_put_records_aside_too(tmp_path):
    out, dead, attempts = written(tmp_path, range(40), Plain(), keyed=False, parallelism=2, config=AT_ONCE)
    assert [[number] for number in range(40) if number % 20 != 13] == out
    assert [13, 33] == sorted(letter["record"] for letter in dead)
    assert 7 == attempts


def test_a_record_is_known_again_that_the_operator_has_changed_before_it_failed(tmp_path):
    out, dead, attempts = written(tmp_path, [{"number": number} for number in range(20)], Marking(), keyed=False)
    assert [number for number in range(20) if number != 13] == out
    assert [{"number": 13}] == [letter["record"] for letter in dead]
    assert 4 == attempts


def test_failures_of_an_operator_may_have_a_restart_strategy_of_their_own(tmp_path):
    out, dead, attempts = written(tmp_path, range(10), Sums({4}), config={}, supervise=supervised(restart="exponential"))
    assert (sums_without(range(10), {4}), 1, 4) == (out, len(dead), attempts)
    with pytest.raises(af.JobFailed, match="cannot take 4"):
        written(tmp_path / "b", range(10), Sums({4}), config={}, supervise=af.Supervise())


def test_nothing_is_put_aside_for_other_failures(tmp_path):
    """A reader that fails as often as a record would, just when a record is at hand, is no reason to put that record aside."""
    source = numbers(range(10)).abort("planned", attempts=4)
    pipeline = af.Pipeline("others")
    result = pipeline.read(source).process(Plain(), supervise=supervised())
    result.write(af.sinks.json_lines(str(tmp_path / "out")))
    result.side_output(DEAD).write(af.sinks.json_lines(str(tmp_path / "dead")))
    assert 5 == run_test(pipeline, config=CHECKPOINTS | AT_ONCE).attempts
    assert (10, []) == (len(lines_of(tmp_path / "out")), lines_of(tmp_path / "dead"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"quarantine_after": 0, "dead_letters": DEAD}, "a number of failures from 1, or None, not 0"),
        ({"quarantine_after": 3}, "needs quarantine_after and dead_letters together"),
        ({"dead_letters": DEAD}, "needs quarantine_after and dead_letters together"),
        ({"restart": "often"}, "must be 'job' or 'exponential', not 'often'"),
    ],
)
def test_what_makes_no_sense_is_refused(given, text):
    with pytest.raises(af.PlanError, match=text):
        af.Supervise(**given)


def test_a_policy_that_is_none_is_refused():
    stream = af.Pipeline("refused").read(numbers([1]))
    with pytest.raises(af.PlanError, match=r"must be an af\.Supervise, not 'restart'"):
        stream.process(Plain(), supervise="restart")
