"""Failures of user code as one clean report: the user's traceback, and where in the pipeline and at which record it happened."""

from __future__ import annotations

import os
import reprlib
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from actorflow.errors import ActorflowError, Domain, ErrorInfo, Retry, UserFunctionError

GENERATED_PREFIX: Final = "<actorflow chain "
"""What the file names of generated loops start with."""

NOTHING: Final = object()
"""Stands for a record or key that there is not."""

_REPR_CHARACTERS_MAX = 200
_TEXT_CHARACTERS_MAX = 10_000
"""Of a message, and of one part of a traceback: a report travels, and is read by people."""

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
_EXAMPLES = f"{_PACKAGE}examples{os.sep}"
_ASYNCIO = f"{Path(os.__file__).parent / 'asyncio'}{os.sep}"


def user_failure(
    error: BaseException,
    *,
    operator: str,
    subtask: str,
    function: object = None,
    line: int | None = None,
    record: Any = NOTHING,
    key: Any = NOTHING,
    window: Any = NOTHING,
    hint: str = "",
) -> ActorflowError:
    """Return what a failure of user code is reported as; raise it from `error`.

    An error of actorflow's own (an unusable key, a refused call) passes unchanged.

    Args:
        error: what was raised; also a `SystemExit` or `KeyboardInterrupt`, which end the operator and never the process.
        operator: its name.
        subtask: where it ran.
        function: the user's function that was called, or stands inlined, at this place.
        line: the line of an inlined function.
        record: the record it was called with.
        key: the record's key.
        window: the window, of an operation on windows.
        hint: what to do about it.
    """
    if isinstance(error, ActorflowError):
        return error
    context = {"operator": operator, "subtask": subtask}
    if record is not NOTHING:
        context["record"] = short_repr(record)
    if key is not NOTHING:
        context["key"] = short_repr(key)
    if window is not NOTHING:
        context["window"] = short_repr(window)
    text = user_traceback(error, function, line)
    return UserFunctionError(
        ErrorInfo(
            type(error).__name__, _message(error), hint, Domain.USER, Retry.BACKOFF, traceback=text, context=context, foreign=True
        )
    )


def refused(error: ActorflowError, *, operator: str, subtask: str, record: Any = NOTHING, key: Any = NOTHING) -> UserFunctionError:
    """Return the report of a value of the user's that cannot be used: `error` says what is wrong with it, this says where."""
    context = {"operator": operator, "subtask": subtask}
    if record is not NOTHING:
        context["record"] = short_repr(record)
    if key is not NOTHING:
        context["key"] = short_repr(key)
    return UserFunctionError(replace(error.info(), context=context))


def short_repr(value: Any) -> str:
    """Return the repr of a record, cut to a length that fits a report. Never raises, and looks at the start of large values only."""
    shortener = reprlib.Repr()
    shortener.maxlevel = 4
    shortener.maxdict = shortener.maxlist = shortener.maxtuple = shortener.maxset = shortener.maxfrozenset = 20
    shortener.maxstring = shortener.maxlong = shortener.maxother = _REPR_CHARACTERS_MAX
    try:
        text = shortener.repr(value)
    except BaseException as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _REPR_CHARACTERS_MAX else f"{text[: _REPR_CHARACTERS_MAX - 3]}..."


def shortened(text: str) -> str:
    """Return a text with its middle left out if it is very long."""
    left_out = len(text) - _TEXT_CHARACTERS_MAX
    if left_out <= 0:
        return text
    half = _TEXT_CHARACTERS_MAX // 2
    return f"{text[:half]} ... ({left_out} characters) ... {text[-half:]}"


def user_traceback(error: BaseException, function: object = None, line: int | None = None) -> str:
    """Return the traceback of `error` without the engine's frames, formatted; it ends in the user's line.

    Args:
        error: the exception, with its traceback.
        function: the user's function; if it has no frame of its own (it was inlined, or what it returned was no good), its place
            in the user's file is put first.
        line: the line of an inlined function.
    """
    report = traceback.TracebackException.from_exception(error)
    whole = list(report.stack)
    _strip(report, set())
    code = getattr(function, "__code__", None)
    if code is not None and not entered(error, function):
        place = traceback.FrameSummary(code.co_filename, line or code.co_firstlineno, code.co_name)
        report.stack.insert(0, place)
    ours = function is None or (code is not None and is_engine_file(code.co_filename))
    if ours and not report.stack:  # nothing of the user's: what helps is where the engine was
        report.stack = traceback.StackSummary.from_list(whole)
    return "".join(map(shortened, report.format()))


def _strip(report: traceback.TracebackException, seen: set[int]) -> None:
    """Remove the engine's frames from a report and from those of its causes."""
    if id(report) in seen:
        return
    seen.add(id(report))
    report.stack = traceback.StackSummary.from_list([frame for frame in report.stack if not is_engine_file(frame.filename)])
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if other is not None:
            _strip(other, seen)


def is_engine_file(filename: str) -> bool:
    """Return whether code of this file is part of the engine (or of the event loop that it runs), and not the user's."""
    if filename.startswith((GENERATED_PREFIX, _ASYNCIO)):
        return True
    return filename.startswith(_PACKAGE) and not filename.startswith(_EXAMPLES)


def entered(error: BaseException, function: object) -> bool:
    """Return whether an exception came out of a call of this Python function."""
    code = getattr(function, "__code__", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False


def frame_of(trace: TracebackType | None, filename: str) -> TracebackType | None:
    """Return the first place of a traceback that is in a file, or None."""
    while trace is not None and trace.tb_frame.f_code.co_filename != filename:
        trace = trace.tb_next
    return trace


def engine_local(error: BaseException, name: str) -> Any:
    """Return what a variable held in the innermost place of the engine that has it, when an error passed there; `NOTHING` if none has.

    So code that works on many keys need not remember the key it is at, in case something fails.
    """
    found: Any = NOTHING
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if is_engine_file(frame.f_code.co_filename):
            found = frame.f_locals.get(name, found)
        trace = trace.tb_next
    return found


def _message(error: BaseException) -> str:
    try:
        return shortened(str(error))
    except BaseException as second:
        return f"<message that raised {type(second).__name__}>"


def call_user(function: Callable[..., Any], *arguments: Any, operator: str, subtask: str) -> Any:
    """Call a function of the user outside the record loop, and report its failure.

    Raises:
        UserFunctionError: if it raises.
    """
    try:
        return function(*arguments)
    except BaseException as error:
        raise user_failure(error, operator=operator, subtask=subtask, function=function) from error
