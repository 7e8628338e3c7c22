"""A failure of user code: which operator, which record, and a traceback that ends in the user's line."""

import linecache

import pytest
from chain_harness import chain_of, run

from actorflow.errors import Domain, PlanError, UserFunctionError
from actorflow.operators.aggregate import Aggregate
from actorflow.operators.failures import short_repr
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import (
    AggregateSpec,
    CountSpec,
    FilterSpec,
    FlatMapSpec,
    MapSpec,
    MinSpec,
    ProcessSpec,
    ReduceSpec,
    SumSpec,
)
from actorflow.wire.batch import ObjectBatch


def half(n):
    return 10 // n


def deeper(n):
    return half(n)


def failing_generator(n):
    yield n
    yield half(n)


class Brittle(OperatorActor):
    def on_record(self, record, ctx):
        ctx.emit(half(record))


class BrittleAggregate(Aggregate):
    def create(self):
        return 0

    def add(self, acc, value):
        return half(value)

    def merge(self, a, b):
        return a

    def result(self, acc):
        return acc


def failure_of(*specs, records, **options):
    with pytest.raises(UserFunctionError) as caught:
        run(*specs, records=records, **options)
    return caught.value.error


def last_user_line(error):
    """The source line of the last frame, without the markers below it."""
    lines = [line.strip() for line in error.traceback.splitlines()]
    return [line for place, line in enumerate(lines) if lines[place - 1].startswith("File ")][-1]


@pytest.mark.parametrize("timestamps", [None, [1, 2, 3]])
@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (MapSpec(deeper), None),
        (FilterSpec(deeper), None),
        (FlatMapSpec(failing_generator), None),
        (CountSpec(deeper), None),
        (SumSpec(lambda n: n, deeper), "0"),
        (MinSpec(lambda n: n, deeper), "0"),
        (AggregateSpec(lambda n: n, BrittleAggregate()), "0"),
        (ProcessSpec(None, Brittle()), None),
        (ProcessSpec(lambda n: n, Brittle()), "0"),
        (ProcessSpec(deeper, Brittle()), None),
    ],
)
def test_a_failure_names_operator_subtask_record_and_key(spec, key, timestamps):
    error = failure_of(MapSpec(lambda n: n - 1), spec, MapSpec(str), records=[3, 1, 2], timestamps=timestamps)
    expected = {"operator": f"{spec.kind}-1", "subtask": "chain/1", "record": "0"}
    assert expected | ({} if key is None else {"key": key}) == error.context
    assert ("ZeroDivisionError", Domain.USER) == (error.kind, error.domain)
    assert "return 10 // n" == last_user_line(error)
    assert "actorflow/operators" not in error.traceback
    assert "<actorflow" not in error.traceback
    assert error.traceback.endswith("ZeroDivisionError: integer division or modulo by zero\n")


def test_the_original_exception_is_the_cause():
    with pytest.raises(UserFunctionError) as caught:
        run(MapSpec(half), records=[0])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_inlined_function_is_shown_by_its_line_though_it_has_no_frame():
    error = failure_of(MapSpec(lambda n: 10 // n), records=[0])
    assert "error = failure_of(MapSpec(lambda n: 10 // n), records=[0])" == last_user_line(error)
    assert "<lambda>" in error.traceback


def test_a_function_that_returns_no_iterable_is_shown_by_its_definition():
    def half_or_nothing(n):
        return half(n) if n else None

    error = failure_of(FlatMapSpec(half_or_nothing), MapSpec(str), records=[3])
    assert "def half_or_nothing(n):" == last_user_line(error)
    assert "'int' object is not iterable" == error.message


def test_a_failing_builtin_is_reported_without_a_frame():
    error = failure_of(MapSpec(int), records=["1", "x"])
    assert ({"operator": "map-0", "subtask": "chain/1", "record": "'x'"}, "ValueError") == (error.context, error.kind)
    assert "File" not in error.traceback


def test_reduce_reports_the_record_that_was_being_added():
    error = failure_of(ReduceSpec(lambda n: n % 2, lambda a, b: a // b), records=[4, 6, 0])
    assert ("0", "0", "reduce-0") == (error.context["record"], error.context["key"], error.context["operator"])


def test_an_error_of_the_engine_passes_unchanged():
    def refuse(n):
        raise PlanError("no such key")

    with pytest.raises(PlanError, match="no such key"):
        run(MapSpec(refuse), records=[1])


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exception_that_would_end_the_process_is_a_failure_like_others(ending):
    def leave(n):
        raise ending

    assert ending.__name__ == failure_of(MapSpec(leave), records=[1]).kind


def test_causes_are_shown_without_engine_frames_too():
    def wrapping(n):
        try:
            half(n)
        except ZeroDivisionError as error:
            raise ValueError("wrapped") from error

    text = failure_of(MapSpec(wrapping), records=[0]).traceback
    assert text.index("ZeroDivisionError") < text.index("direct cause") < text.index("ValueError: wrapped")
    assert "actorflow/operators" not in text


class Unprintable:
    def __repr__(self):
        raise SystemExit("no repr")


class UnprintableError(Exception):
    def __str__(self):
        raise ValueError("no text")


def test_records_and_errors_that_cannot_be_printed_do_not_hide_the_failure():
    def fail(record):
        raise UnprintableError

    error = failure_of(MapSpec(fail), records=[Unprintable()])
    assert "<Unprintable whose repr raised SystemExit>" == error.context["record"]
    assert ("UnprintableError", "<message that raised ValueError>") == (error.kind, error.message)


def test_a_long_record_is_shortened():
    assert 200 >= len(short_repr("x" * 1_000_000))
    assert 200 >= len(short_repr([{"k": "v" * 50}] * 100))
    assert "'abc'" == short_repr("abc")


def test_the_generated_source_is_known_to_tracebacks():
    chain, _ = chain_of(MapSpec(deeper), FilterSpec(lambda n: n > 3))
    with pytest.raises(UserFunctionError) as caught:
        chain.process(ObjectBatch([0]))
    trace = caught.value.__cause__.__traceback__
    names = []
    while trace is not None:
        names.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    [(filename, line)] = [place for place in names if place[0].startswith("<actorflow chain")]
    assert filename.endswith("map-0 -> filter-1>")
    assert "v1 = f1(v0)" == linecache.getline(filename, line).strip()
