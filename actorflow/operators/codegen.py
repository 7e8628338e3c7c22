"""Operators as one Python function: the loop over a batch that a good programmer would have written by hand.

    map(f) → filter(g) → key router             def chain(records, timestamps, f1=f1, g2=g2, ...):
                                                    appends3, lanes3 = router3.record_appends, router3.lane_of
                                                    for v0 in records:
                                                        v1 = f1(v0)
                                                        if not g2(v1): continue
                                                        appends3[lanes3[v1]](v1)
                                                    return ()

Nothing else happens per record: functions are locals, simple ones stand inline (see `inline`), keyed aggregations work on their dict,
and results go into the output list or the key router's open buffers at once. Each line is known by the operator it belongs to and
by the variables that hold record and key, so that a failure is reported without any bookkeeping while all is well.

The value after operator number i is in `v<i>`; `v0` is the input. `t` is the record's event time in the timed variant.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from actorflow.operators.contract import KeyRouter
from actorflow.operators.failures import GENERATED_PREFIX
from actorflow.operators.inline import inlined
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

FUSABLE: Final = (MapSpec, FlatMapSpec, FilterSpec, KeyedSpec)
"""The specs that a generated loop can hold."""

MISSING: Final = object()
"""Stands for the value of a key that has none yet."""

LoopFunction = Callable[[list[Any], list[int] | None], tuple[Any, ...]]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FusedOperator:
    """An operator inside a loop.

    Attributes:
        name: for reports.
        spec: one of `FUSABLE`.
        entries: of a keyed aggregation: its state, from key to accumulator.
    """

    name: str
    spec: OperatorSpec
    entries: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """Where the records at one position of the loop go.

    Attributes:
        collected: into a list that the loop returns (with the list of timestamps behind it, in the timed variant).
        routers: and into the open buffers of these.
    """

    collected: bool = False
    routers: tuple[KeyRouter, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """What a line of a loop does.

    Attributes:
        operator: number of the operator from 1; 0 is the loop's input.
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
        run: `run(records, timestamps)` returns the lists of the collecting exits, in order.
        filename: under which `linecache` knows the source.
        sites: what its lines do, by line number.
    """

    run: LoopFunction
    filename: str
    sites: dict[int, Site]


def generate(title: str, operators: Sequence[FusedOperator], exits: Sequence[Exit], *, timed: bool, start: int = 0) -> Loop:
    """Return the loop for operators number `start + 1` and up.

    Args:
        title: names the chain in tracebacks.
        operators: the whole sequence.
        exits: one more than operators: those of the input first. Those of position `start` collect nothing, since the caller has it.
        timed: whether records have timestamps.
        start: operators to leave out, because they are done already.
    """
    writer = _Writer(timed=timed, start=start)
    writer.header(exits)
    record = f"v{start}"
    writer.leave(start, exits[start], record, Site(start, record))
    for number in range(start + 1, len(operators) + 1):
        spec = operators[number - 1].spec
        writer.last = number == len(operators)
        record = writer.operator(number, spec, operators[number - 1].entries, record, exits[number])
    return writer.finish(title, exits)


@dataclass
class _Writer:
    """Collects the lines of a loop."""

    timed: bool
    start: int
    last: bool = False
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

    def header(self, exits: Sequence[Exit]) -> None:
        """Open the lists and buffers of all exits, and the loop."""
        start = self.start
        for number in range(start, len(exits)):
            if exits[number].collected and number > start:
                self.line(f"out{number} = []")
                if self.timed:
                    self.line(f"times{number} = []")
            for place, router in enumerate(exits[number].routers):
                tail = f"{number}_{place}"
                source = self.bind(f"router{tail}", router)
                self.line(f"lanes{tail} = {source}.lane_of")
                self.line(f"appends{tail} = {source}.record_appends")
                if self.timed:
                    self.line(f"stamps{tail} = {source}.timestamp_appends")
        self.line(f"for v{start}, t in zip(records, timestamps, strict=True):" if self.timed else f"for v{start} in records:")
        self.depth += 1

    def operator(self, number: int, spec: OperatorSpec, entries: dict[Any, Any] | None, record: str, leaving: Exit) -> str:
        """Write one operator and its exits; return the variable that holds its result."""
        site = Site(number, record)
        match spec:
            case FilterSpec():
                condition, called = self.call(f"f{number}", spec.fn, site, record)
                self.line(f"if not {condition}:", called)
                self.line("    continue")
                self.leave(number, leaving, record, site)
                return record
            case FlatMapSpec():
                return self.flat_map(number, spec, record, leaving)
            case MapSpec():
                expression, called = self.call(f"f{number}", spec.fn, site, record)
                return self.result(number, expression, called, leaving)
            case KeyedSpec():
                assert entries is not None, "a keyed aggregation has state"
                expression, called = self.keyed(number, spec, entries, record)
                return self.result(number, expression, called, leaving)
            case _:
                raise AssertionError(f"{spec!r} is not fusable")

    def flat_map(self, number: int, spec: FlatMapSpec, record: str, leaving: Exit) -> str:
        """Write a nested loop, or extend the output at once if that is all that remains to do."""
        values, called = self.call(f"f{number}", spec.fn, Site(number, record), record)
        result = f"v{number}"
        if self.last and not self.timed and not leaving.routers:
            self.line(f"out{number}.extend({values})" if leaving.collected else f"for {result} in {values}: pass", called)
            return result
        self.line(f"for {result} in {values}:", called)
        self.depth += 1
        self.leave(number, leaving, result, Site(number, result))
        return result

    def result(self, number: int, expression: str, site: Site, leaving: Exit) -> str:
        """Put the value of an operator where it goes: into a variable, or straight into the only list that wants it."""
        if self.last and leaving.collected and not leaving.routers:
            self.line(f"out{number}.append({expression})", site)
            if self.timed:
                self.line(f"times{number}.append(t)")
            return ""
        result = f"v{number}"
        self.line(f"{result} = {expression}", site)
        self.leave(number, leaving, result, Site(number, result))
        return result

    def keyed(self, number: int, spec: KeyedSpec, entries: dict[Any, Any], record: str) -> tuple[str, Site]:
        """Write the update of a running aggregation; return the expression of its result."""
        site = Site(number, record)
        key, called = self.select(f"key{number}", spec.key, site, record)
        if not key.isidentifier():
            self.line(f"k{number} = {key}", called)
            key = f"k{number}"
        site = Site(number, record, key)
        table = self.bind(f"state{number}", entries)
        get = self.bind(f"get{number}", entries.get)
        held = f"s{number}"
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
                return self.aggregate(number, spec, site, table, get)
            case _:
                raise AssertionError(f"unknown aggregation {spec!r}")
        self.line(f"{table}[{key}] = {held}", site)
        return (held, site) if isinstance(spec, ReduceSpec) else (f"({key}, {held})", site)

    def aggregate(self, number: int, spec: AggregateSpec, site: Site, table: str, get: str) -> tuple[str, Site]:
        """Write the update of a user's aggregation."""
        held, user = f"s{number}", spec.aggregate
        called = [Site(number, site.record, site.key, function) for function in (user.create, user.add, user.result)]
        self.line(f"{held} = {get}({site.key}, {self.bind('MISSING', MISSING)})", site)
        self.line(f"if {held} is MISSING:")
        self.line(f"    {held} = {self.bind(f'create{number}', user.create)}()", called[0])
        self.line(f"{table}[{site.key}] = {held} = {self.bind(f'add{number}', user.add)}({held}, {site.record})", called[1])
        return f"({site.key}, {self.bind(f'result{number}', user.result)}({held}))", called[2]

    def value(self, number: int, selector: Selector | None, site: Site, record: str) -> tuple[str, Site]:
        """Return the expression of the value that is aggregated."""
        return (record, site) if selector is None else self.select(f"value{number}", selector, site, record)

    def leave(self, number: int, leaving: Exit, record: str, site: Site) -> None:
        """Write what happens to a value at a position."""
        if leaving.collected and number > self.start:
            self.line(f"out{number}.append({record})")
            if self.timed:
                self.line(f"times{number}.append(t)")
        for place, router in enumerate(leaving.routers):
            tail = f"{number}_{place}"
            key, called = self.call(f"route{tail}", router.key, site, record)
            if not self.timed:
                self.line(f"appends{tail}[lanes{tail}[{key}]]({record})", called)
                continue
            self.line(f"lane = lanes{tail}[{key}]", called)
            self.line(f"appends{tail}[lane]({record})")
            self.line(f"stamps{tail}[lane](t)")

    def finish(self, title: str, exits: Sequence[Exit]) -> Loop:
        """Compile what was written, and make its source known to tracebacks."""
        lists = [f"out{number}" for number in range(self.start + 1, len(exits)) if exits[number].collected]
        if self.timed:
            lists = [name for out in lists for name in (out, out.replace("out", "times"))]
        if self.lines[-1].endswith(":"):
            self.line("pass")  # records of the innermost loop go nowhere
        self.depth = 1
        self.line(f"return ({', '.join(lists)}{',' if len(lists) == 1 else ''})")
        parameters = ", ".join(["records", "timestamps", *(f"{name}={name}" for name in self.bindings)])
        source = "\n".join([f"def chain({parameters}):", *self.lines, ""])
        filename = f"{GENERATED_PREFIX}{next(_numbers)}: {title}>"
        namespace: dict[str, Any] = dict(self.bindings)
        exec(compile(source, filename, "exec"), namespace)  # noqa: S102 - source made above, from literals and our own names
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        return Loop(namespace["chain"], filename, self.sites)
