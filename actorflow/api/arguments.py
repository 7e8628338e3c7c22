"""What verbs accept: functions, keys, values, operators, sources and sinks; all else is refused while the user's line is on the stack.

A function is refused if it is certain not to work: not callable, of the wrong number of arguments, a coroutine or generator
function where records are wanted, a key that differs between processes. The rest is found when records come.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import PurePath
from typing import Any

from actorflow.connectors.contracts import Sink, Source
from actorflow.errors import PlanError
from actorflow.operators.aggregate import Aggregate
from actorflow.operators.event_time.watermarks import Watermarks
from actorflow.operators.processing.actor import BroadcastOperator, OperatorActor, TwoInputOperator
from actorflow.operators.processing.supervise import Supervise
from actorflow.state.descriptors import declared_states
from actorflow.state.operator_state import BroadcastState, declared_operator_states

Selector = Callable[[Any], Any] | str | int
"""A function of a record, or what to put into `record[...]`: a column or field name, or a position."""

_PER_PROCESS: tuple[object, ...] = (id, hash)
"""Functions whose results mean nothing in another process: an address, and a hash that is salted."""


_OPERATOR_KINDS: dict[type[OperatorActor], tuple[str, str]] = {
    BroadcastOperator: ("data and what is broadcast to it", "write data.connect(rules.broadcast_state()).process(...)"),
    TwoInputOperator: ("a left and a right stream", "write left.connect(right).process(...)"),
    OperatorActor: ("one stream", "write stream.process(...)"),
}
"""What each takes, for errors, and how it is given that; the most specific first."""


def check_supervise(supervise: object) -> Supervise | None:
    """Return what was given for `supervise=`.

    Raises:
        PlanError: if it is something else.
    """
    if supervise is None or isinstance(supervise, Supervise):
        return supervise
    raise PlanError(f"supervise of process() must be an af.Supervise, not {_short(supervise)}", hint="write af.Supervise(...)")


def check_function(verb: str, function: object, arguments: int, *, may_yield: bool = False, may_await: bool = False) -> None:
    """Check a function that a verb will call with `arguments` positional arguments.

    Args:
        verb: the verb, for errors.
        function: what the user gave.
        arguments: with how many arguments it will be called.
        may_yield: whether a generator function makes sense.
        may_await: whether a coroutine function makes sense.

    Raises:
        PlanError: if it cannot work.
    """
    if not callable(function):
        raise PlanError(f"{verb} needs a function, not {type(function).__name__}: {_short(function)}")
    code = function if inspect.isroutine(function) or isinstance(function, type) else getattr(function, "__call__", function)  # noqa: B004
    if not may_await and (inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code)):
        raise PlanError(f"{verb} cannot await {name_of(function)}", hint="use map_async for functions that await")
    if not may_yield and inspect.isgeneratorfunction(code):
        raise PlanError(f"{verb} got the generator function {name_of(function)}", hint="use flat_map for functions that yield")
    _check_arguments(verb, function, arguments)


def selector(verb: str, select: Selector) -> Callable[[Any], Any]:
    """Return the function that a selector stands for.

    Raises:
        PlanError: if it is neither a function of one argument, nor a name or position.
    """
    if isinstance(select, str | int) and not isinstance(select, bool):
        return itemgetter(select)
    if select is None or isinstance(select, bool) or not callable(select):
        raise PlanError(
            f"{verb} needs a function, a field name or a position, not {_short(select)}",
            hint=f"write {verb}(lambda record: ...), {verb}('field') or {verb}(0)",
        )
    check_function(verb, select, 1)
    return select


def value_selector(verb: str, select: Selector) -> Callable[[Any], Any] | str:
    """Return a selector as operators take it: the name of a field stays a name, so that columns can be used without Python.

    Raises:
        PlanError: see `selector`.
    """
    return select if isinstance(select, str) else selector(verb, select)


def check_operator(operator: object, *, keyed: bool, base: type[OperatorActor] = OperatorActor) -> None:
    """Check an operator of the user's own.

    Args:
        operator: what the user gave.
        keyed: whether the stream, or both streams, have keys.
        base: which kind of operator it has to be.

    Raises:
        PlanError: if it is not one, has keyed state or timers on a stream without keys, or state of a type that cannot be kept.
    """
    if isinstance(operator, type) and issubclass(operator, OperatorActor):
        raise PlanError(
            f"process needs an object of '{operator.__name__}', not the class", hint=f"write process({operator.__name__}())"
        )
    kind = next((kind for kind in _OPERATOR_KINDS if isinstance(operator, kind)), None)
    if kind is None or not isinstance(operator, OperatorActor):
        raise PlanError(
            f"process needs {'an' if base is OperatorActor else 'a'} {base.__name__}, not {type(operator).__name__}",
            hint=f"derive a class from af.{base.__name__}, or use map, flat_map or filter for a plain function",
        )
    name = type(operator).__name__
    if kind is not base:
        place, hint = _OPERATOR_KINDS[kind]
        raise PlanError(f"'{name}' takes {place}, and is given {_OPERATOR_KINDS[base][0]}", hint=hint)
    if kind is not BroadcastOperator:
        broadcast = [
            f"'{key}'" for key, state in declared_operator_states(type(operator)).items() if isinstance(state, BroadcastState)
        ]
        if broadcast:
            raise PlanError(
                f"'{name}' has broadcast state ({', '.join(broadcast)}), but nothing is broadcast to it",
                hint="derive it from af.BroadcastOperator and write data.connect(rules.broadcast_state()).process(...)",
            )
    _check_keyed_needs(operator, keyed=keyed)
    _check_states(type(operator))


def _check_keyed_needs(operator: OperatorActor, *, keyed: bool) -> None:
    if keyed:
        return
    cls = type(operator)
    hint = "write stream.key_by(key).process(...)"
    if isinstance(operator, TwoInputOperator):
        hint = "write left.key_by(key).connect(right.key_by(key)).process(...)"
    if isinstance(operator, BroadcastOperator):
        hint = "write data.key_by(key).connect(rules.broadcast_state()).process(...)"
    states = declared_states(cls)
    if states:
        names = ", ".join(f"'{name}'" for name in states)
        raise PlanError(f"'{cls.__name__}' keeps state by key ({names}), but the stream has no key", hint=hint)
    if cls.on_timer is not OperatorActor.on_timer:
        raise PlanError(f"'{cls.__name__}' takes timers, which belong to keys, but the stream has no key", hint=hint)


def _check_states(cls: type[OperatorActor]) -> None:
    from actorflow.state.schema import schema_of_state

    for state in declared_states(cls).values():
        schema_of_state(state)
    for operator_state in declared_operator_states(cls).values():
        schema_of_state(operator_state)


def check_aggregate(aggregate: object) -> None:
    """Check an aggregation of the user's own.

    Raises:
        PlanError: if it is not one.
    """
    if not isinstance(aggregate, Aggregate):
        raise PlanError(
            f"aggregate needs an Aggregate object, not {aggregate!r}",
            hint="derive a class from af.Aggregate with create, add, merge and result, and pass an object of it",
        )


def check_source(source: object) -> None:
    """Check what a pipeline is to read.

    Raises:
        PlanError: if it is not a source; the hint says how to make one of it.
    """
    if isinstance(source, Source):
        return
    hint = "sources are in af.sources"
    if isinstance(source, str | PurePath):
        hint = f"to read lines of text use read(af.sources.text({str(source)!r}))"
    elif isinstance(source, Sequence):
        hint = "to read records in memory use read(af.sources.collection(records))"
    raise PlanError(f"read needs a source, not {type(source).__name__}: {_short(source)}", hint=hint)


def check_sink(sink: object) -> None:
    """Check what a stream is to be written to.

    Raises:
        PlanError: if it is not a sink; the hint says how to make one of it.
    """
    if isinstance(sink, Sink):
        return
    hint = "to call a function on each record use write(af.sinks.for_each(function))" if callable(sink) else "sinks are in af.sinks"
    raise PlanError(f"write needs a sink, not {type(sink).__name__}: {_short(sink)}", hint=hint)


def check_watermarks(watermarks: object) -> None:
    """Check what a stream's watermarks are to follow from.

    Raises:
        PlanError: if it is no `Watermarks` value.
    """
    if not isinstance(watermarks, Watermarks):
        raise PlanError(
            f"with_timestamps needs watermarks, not {_short(watermarks)}",
            hint="write with_timestamps('time', af.Watermarks.bounded(out_of_order='10s')), or monotonous() or none()",
        )
    if watermarks.factory is not None:
        check_function("Watermarks.custom", watermarks.factory, 0)


def check_stable_key(verb: str, key: object) -> None:
    """Check a key function as far as it can be known before it is called. Values are checked when they come.

    Raises:
        PlanError: if its keys cannot hash equal in every process.
    """
    hint = "a key is text, number, bytes, date, None, a tuple of those or a frozen dataclass"
    if any(key is function for function in _PER_PROCESS):
        raise PlanError(f"{verb} cannot use {name_of(key)}: it gives other keys in another process", hint=hint)
    if isinstance(key, type):
        own_hash: object = key.__hash__
        if own_hash is None:
            raise PlanError(f"{verb} cannot use {key.__name__} objects as keys: they are mutable", hint=hint)
        if own_hash is object.__hash__:
            raise PlanError(f"{verb} cannot use {key.__name__} objects as keys: each is equal to itself only", hint=hint)


def name_of(function: object) -> str:
    """Return how to call a function in an error: its name in quotes, or its type."""
    name = getattr(function, "__name__", None)
    return f"'{name}'" if isinstance(name, str) else f"a {type(function).__name__}"


def _check_arguments(verb: str, function: Callable[..., object], arguments: int) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return  # many builtins do not tell
    try:
        signature.bind(*range(arguments))
    except TypeError as error:
        number = f"{arguments} argument{'' if arguments == 1 else 's'}"
        raise PlanError(f"{verb} calls its function with {number}, {name_of(function)} takes {signature}: {error}") from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
