"""Operators as one Python function: the loop over a batch that a good programmer would have written by hand.

    map(f) → filter(g) → count()                def chain(records, timestamps, f1=f1, f2=f2, state3=..., get3=...):
                                                    out3 = []
                                                    for v0 in records:
                                                        v1 = f1(v0)
                                                        if not f2(v1):
                                                            continue
                                                        s3 = get3(v1, 0) + 1
                                                        state3[v1] = s3
                                                        out3.append((v1, s3))
                                                    return (out3,)

Nothing else happens per record: functions are locals, simple ones stand inline (see `inline`), keyed aggregations work on their dict,
and results go into the list of their output at once; the output partitions whole lists. Each line is known by the operator it belongs
to and by the variables that hold record and key, so that a failure is reported without any bookkeeping while all is well.

These are statements and not comprehensions: `out.append(v)` is specialised by the interpreter and costs the same to 5 %, and from
Python 3.12 on a comprehension that fails has forgotten its variables, so that nobody could tell at which record.

The value after operator number i is in `v<i>`; `v0` is the input. `t` is the record's event time in the timed variant.
"""

from __future__ import annotations

import functools
import itertools
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Final

from actorflow.operators.compiled.inline import inlined
from actorflow.operators.failures import GENERATED_PREFIX, NOTHING, frame_of, user_failure
from actorflow.operators.specs import (
    AggregateSpec,
    CountSpec,
    FilterSpec,
    FlatMapSpec,
    KeyedSpec,
    MapSpec,
    MaxSpec,
    MinSpec,
    ReduceSpec,
    Selector,
    SumSpec,
)
from actorflow.plan.graph import OperatorSpec
from actorflow.state.backend import KeyedBackend

FUSABLE: Final = (MapSpec, FlatMapSpec, FilterSpec, KeyedSpec)
"""The specs that a generated loop can hold."""

MISSING: Final = object()
"""Stands for the value of a key that has none yet."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FusedOperator:
    """An operator inside a loop.

    Attributes:
        name: for reports.
        spec: one of `FUSABLE`.
        state: of a keyed aggregation: keeps its accumulators, as the state named like the operator's kind.
    """

    name: str
    spec: OperatorSpec
    state: KeyedBackend | None = None

    @property
    def entries(self) -> dict[Any, Any] | None:
        """The dict of a keyed aggregation, from key to accumulator."""
        return None if self.state is None else self.state.table(self.spec.kind)


@dataclass(frozen=True, slots=True)
class Site:
    """What a line of a loop does.

    Attributes:
        operator: number of the operator, from 1.
        record: variable that holds the operator's record.
        key: variable that holds the record's key, if it is known there.
        function: the user's function that is called or stands inlined on the line.
        line: the user's line of an inlined function.
    """

    operator: int
    record: str
    key: str | None = None
    function: object = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """A generated function.

    Attributes:
        run: of a chain, `run(records, timestamps)` returns the list of each collected position, in order, and behind each the list of
            its timestamps in the timed variant. If keys are given, they are the third argument.
        filename: under which `linecache` knows the source.
        sites: what its lines do, by line number.
    """

    run: Callable[..., Any]
    filename: str
    sites: dict[int, Site]


def generate(
    title: str,
    operators: Sequence[FusedOperator],
    collected: Sequence[bool],
    *,
    timed: bool,
    start: int = 0,
    final: bool = False,
    keyed: bool = False,
) -> Loop:
    """Return the loop for operators number `start + 1` and up.

    Args:
        title: names the chain in tracebacks.
        operators: the whole sequence.
        collected: after which operators records are collected into a list.
        timed: whether records have timestamps.
        start: operators to leave out, because they are done already.
        final: the last operator is an aggregation that only updates its state: its results are wanted once a key, at the end.
        keyed: whether the keys of the first operator are given to the loop.
    """
    numbers = range(start + 1, len(operators) + 1)
    lists = [number for number in numbers if collected[number - 1]]
    uneven = next(
        (number for number in numbers if isinstance(operators[number - 1].spec, FilterSpec | FlatMapSpec)), len(operators) + 1
    )
    writer = LoopWriter(lists, [number for number in lists if timed and number >= uneven], final=final)
    record = writer.header(start, keyed=keyed)
    for number in numbers:
        writer.last = number == len(operators)
        record = writer.operator(number, operators[number - 1], record)
    return writer.finish(title, timed=timed)


@dataclass
class LoopWriter:
    """Collects the lines of a loop. Also used for loops that are no chains.

    Attributes:
        lists: numbers of the operators whose results are collected.
        stamped: those of `lists` that need timestamps of their own. Up to the first filter or flat_map, those of the input serve.
        last: whether the operator that is being written is the last one.
        final: whether the last one gives nothing.
        keyed_number: number of the operator whose keys are given, or 0.
    """

    lists: Sequence[int]
    stamped: Sequence[int]
    last: bool = False
    final: bool = False
    keyed_number: int = 0
    lines: list[str] = field(default_factory=list)
    sites: dict[int, Site] = field(default_factory=dict)
    bindings: dict[str, object] = field(default_factory=dict)
    depth: int = 1

    def line(self, text: str, site: Site | None = None) -> None:
        """Add a line at the current depth."""
        self.lines.append("    " * self.depth + text)
        if site is not None:
            self.sites[len(self.lines) + 1] = site  # the def line comes before all of them

    def bind(self, name: str, value: object) -> str:
        """Make a value a local of the loop."""
        self.bindings[name] = value
        return name

    def call(self, name: str, function: object, site: Site, *arguments: str) -> tuple[str, Site]:
        """Return the expression that applies a function of the user, and the site of a line that holds it."""
        assert callable(function), f"not a function: {function!r}"
        simple = inlined(function, len(arguments))
        site = Site(site.operator, site.record, site.key, function, simple.line if simple else None)
        if simple is not None:
            return simple.text(*arguments), site
        return f"{self.bind(name, function)}({', '.join(arguments)})", site

    def select(self, name: str, selector: Selector, site: Site, record: str) -> tuple[str, Site]:
        """Return the expression for a part of a record."""
        if isinstance(selector, str):
            return f"{record}[{selector!r}]", site
        return self.call(name, selector, site, record)

    def header(self, start: int, *, keyed: bool = False) -> str:
        """Open the lists and the loop; return the variable that holds the input."""
        for number in self.lists:
            self.line(f"out{number} = []")
        for number in self.stamped:
            self.line(f"times{number} = []")
        record = f"v{start}"
        taken = {record: "records"}
        if self.stamped:
            taken["t"] = "timestamps"
        if keyed:
            self.keyed_number = start + 1
            taken[f"k{start + 1}"] = "keys"
        given = next(iter(taken.values())) if len(taken) == 1 else f"zip({', '.join(taken.values())}, strict=True)"
        self.line(f"for {', '.join(taken)} in {given}:")
        self.depth += 1
        return record

    def operator(self, number: int, operator: FusedOperator, record: str) -> str:
        """Write one operator; return the variable that holds its result."""
        site, spec = Site(number, record), operator.spec
        match spec:
            case FilterSpec():
                condition, called = self.call(f"f{number}", spec.fn, site, record)
                self.line(f"if not {condition}:", called)
                self.line("    continue")
                self.collect(number, record)
                return record
            case FlatMapSpec():
                return self.flat_map(number, spec, record)
            case MapSpec():
                return self.result(number, *self.call(f"f{number}", spec.fn, site, record))
            case KeyedSpec():
                updated = self.keyed(number, spec, operator, record)
                return record if self.final else self.result(number, *updated)
            case _:
                raise AssertionError(f"{spec!r} is not fusable")

    def flat_map(self, number: int, spec: FlatMapSpec, record: str) -> str:
        """Write a nested loop, or extend the output at once if that is all that remains to do."""
        values, called = self.call(f"f{number}", spec.fn, Site(number, record), record)
        result = f"v{number}"
        if self.last and number in self.lists:
            self.line(f"out{number}.extend({values})", called)
            if number in self.stamped:
                self.line(f"times{number} += [t] * (len(out{number}) - len(times{number}))")
            return result
        self.line(f"for {result} in {values}:", called)
        self.depth += 1
        self.collect(number, result)
        return result

    def result(self, number: int, expression: str, site: Site) -> str:
        """Put the value of an operator where it goes: into a variable, or straight into the list if nothing else wants it."""
        result = f"v{number}"
        if self.last and number in self.lists:
            self.collect(number, expression, site)
        else:
            self.line(f"{result} = {expression}", site)
            self.collect(number, result)
        return result

    def collect(self, number: int, value: str, site: Site | None = None) -> None:
        """Append a value to the list of its operator, if there is one."""
        if number in self.lists:
            self.line(f"out{number}.append({value})", site)
        if number in self.stamped:
            self.line(f"times{number}.append(t)")

    def keyed(self, number: int, spec: KeyedSpec, operator: FusedOperator, record: str) -> tuple[str, Site]:
        """Write the update of a running aggregation; return the expression of its result."""
        entries = operator.entries
        assert entries is not None, "a keyed aggregation has state"
        site = self.key(number, spec.key, record)
        held = f"s{number}"
        table, get = self.bind(f"state{number}", entries), self.bind(f"get{number}", entries.get)
        note = None if operator.state is None else operator.state.noting(spec.kind)
        if note is not None and isinstance(spec, ReduceSpec | AggregateSpec):  # these may change an accumulator in place
            self.line(f"{self.bind(f'note{number}', note)}({site.key})", site)
        self.fold(number, spec, site, table, get)
        match spec:
            case ReduceSpec():
                return held, site
            case AggregateSpec():
                result = self.bind(f"result{number}", spec.aggregate.result)
                return f"({site.key}, {result}({held}))", Site(number, record, site.key, spec.aggregate.result)
            case _:
                return f"({site.key}, {held})", site

    def key(self, number: int, selector: Selector, record: str) -> Site:
        """Write how the key is got, and return the site of what follows."""
        if number == self.keyed_number:
            return Site(number, record, f"k{number}")
        key, called = self.select(f"key{number}", selector, Site(number, record), record)
        if not key.isidentifier():
            self.line(f"k{number} = {key}", called)
            key = f"k{number}"
        return Site(number, record, key)

    def fold(self, number: int, spec: KeyedSpec, site: Site, table: str, get: str) -> None:
        """Write how a record is added to the accumulator of its key, which then is in `s<number>`.

        Args:
            number: of the operator.
            spec: the aggregation.
            site: its key is known.
            table: variable of the dict from key to accumulator.
            get: variable of its method `get`.
        """
        held, record, key = f"s{number}", site.record, site.key
        match spec:
            case CountSpec():
                self.line(f"{held} = {get}({key}, 0) + 1", site)
            case SumSpec():
                value, called = self.value(number, spec.value, site, record)
                self.line(f"{held} = {get}({key}, 0) + {value}", called)
            case MinSpec() | MaxSpec():
                value, called = self.value(number, spec.value, site, record)
                self.line(f"x{number} = {value}", called)
                self.line(f"{held} = {get}({key}, {self.bind('MISSING', MISSING)})", site)
                better = "<" if isinstance(spec, MinSpec) else ">"
                self.line(f"if {held} is MISSING or x{number} {better} {held}:", called)
                self.line(f"    {held} = x{number}")
            case ReduceSpec():
                self.line(f"{held} = {get}({key}, {self.bind('MISSING', MISSING)})", site)
                value, called = self.call(f"f{number}", spec.fn, site, held, record)
                self.line(f"{held} = {record} if {held} is MISSING else {value}", called)
            case AggregateSpec():
                self.aggregate(number, spec, site, table, get)
                return
            case _:
                raise AssertionError(f"unknown aggregation {spec!r}")
        self.line(f"{table}[{key}] = {held}", site)

    def aggregate(self, number: int, spec: AggregateSpec, site: Site, table: str, get: str) -> None:
        """Write how a record is added to an accumulator of the user's aggregation."""
        held, user = f"s{number}", spec.aggregate
        called = [Site(number, site.record, site.key, function) for function in (user.create, user.add)]
        self.line(f"{held} = {get}({site.key}, {self.bind('MISSING', MISSING)})", site)
        self.line(f"if {held} is MISSING:")
        self.line(f"    {held} = {self.bind(f'create{number}', user.create)}()", called[0])
        self.line(f"{table}[{site.key}] = {held} = {self.bind(f'add{number}', user.add)}({held}, {site.record})", called[1])

    def value(self, number: int, selector: Selector | None, site: Site, record: str) -> tuple[str, Site]:
        """Return the expression of the value that is aggregated."""
        return (record, site) if selector is None else self.select(f"value{number}", selector, site, record)

    def finish(self, title: str, *, timed: bool) -> Loop:
        """Close the loop over a batch, and compile it."""
        if self.lines[-1].endswith(":"):
            self.line("pass")  # records of the innermost loop go nowhere
        self.depth = 1
        lists = [f"out{number}" for number in self.lists]
        if timed:
            times = [f"times{number}" if number in self.stamped else "timestamps" for number in self.lists]
            lists = [name for pair in zip(lists, times, strict=True) for name in pair]
        self.line(f"return ({', '.join(lists)}{',' if len(lists) == 1 else ''})")
        return self.compiled(title, "records", "timestamps", *(["keys"] if self.keyed_number else []))

    def compiled(self, title: str, *arguments: str) -> Loop:
        """Compile what was written as a function of these arguments, and make its source known to tracebacks."""
        parameters = ", ".join([*arguments, *(f"{name}={name}" for name in self.bindings)])
        source = "\n".join([f"def chain({parameters}):", *self.lines, ""])
        code = _compiled(title, source)
        namespace: dict[str, Any] = dict(self.bindings)
        exec(code, namespace)  # noqa: S102 - source made above, from literals and our own names
        loop = namespace["chain"]
        # The interpreter adapts code to what it calls, and each loop calls functions of its own.
        loop.__code__ = loop.__code__.replace()
        return Loop(loop, code.co_filename, self.sites)


@functools.lru_cache(maxsize=1024)
def _compiled(title: str, source: str) -> CodeType:
    """Return the code of a loop, which is the same for all subtasks that run it, and make its source known to tracebacks."""
    filename = f"{GENERATED_PREFIX}{next(_numbers)}: {title}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return compile(source, filename, "exec")


def loop_failure(error: BaseException, loop: Loop, names: Sequence[str], subtask: str) -> BaseException:
    """Return what to raise when a loop has failed: the line where it happened says which operator, record and key.

    Args:
        error: what was raised.
        loop: where.
        names: of the operators, by their numbers.
        subtask: for the report.
    """
    frame = frame_of(error.__traceback__, loop.filename)
    site = loop.sites.get(frame.tb_lineno) if frame is not None else None
    if frame is None or site is None:
        return error
    values = frame.tb_frame.f_locals
    return user_failure(
        error,
        operator=names[site.operator],
        subtask=subtask,
        function=site.function,
        line=site.line,
        record=values.get(site.record, NOTHING),
        key=values.get(site.key, NOTHING) if site.key is not None else NOTHING,
    )
