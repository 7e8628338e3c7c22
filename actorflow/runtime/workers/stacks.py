"""Where a worker process stands, also while user code holds it: the dump that `faulthandler` writes on a signal.

A worker that stands in user code reads no messages. So not the worker is asked but whoever has started its process, who signals it and reads what
the signal handler writes. The handler needs neither the interpreter's lock nor memory, so it answers from within a C extension, too.
"""

from __future__ import annotations

import faulthandler
import linecache
import re
import signal
import time
from pathlib import Path
from typing import IO

from actorflow.errors import ActorflowError
from actorflow.wire.message import Message

SIGNAL = signal.SIGUSR2
"""What makes a worker write where it stands."""

_WRITTEN_WITHIN_S = 1.5
_LOOK_AGAIN_S = 0.005
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')


class StackRequested(Message, frozen=True):
    """Asks whoever has started a worker process where that stands. Answered with text."""


def belongs_to(node: str, allocation: str) -> bool:
    """Return whether a node is the worker of an allocation. It is named after it."""
    return node.startswith(f"worker-{allocation}-")


def stack_file(directory: Path, allocation: str) -> Path:
    """Return the file that the worker of an allocation writes to. It is there once the worker can be signalled."""
    return directory / f"stack-{allocation}"


def write_on_signal(path: Path) -> IO[bytes]:
    """Let this process write the stacks of its threads whenever it gets `SIGNAL`. Keep what is returned open."""
    unready = path.with_name(f"{path.name}.new")  # an allocation has a dot in it, which begins no suffix
    file = unready.open("ab")
    faulthandler.register(SIGNAL, file=file, all_threads=True)
    unready.rename(path)  # from here on the signal does not kill
    return file


def read_dump(path: Path) -> str:
    """Return what a process that was signalled just now has written, once all of it is there. Waits: for a thread that may.

    The main thread comes last, and ends in the module that was run.

    Raises:
        ActorflowError: if it writes nothing: it is stopped, or its signal handler was replaced.
    """
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while time.monotonic() < deadline:
        text = path.read_text(encoding="utf-8", errors="replace")
        if text.endswith((" in <module>\n", "  ...\n")):
            return readable(text)
        time.sleep(_LOOK_AGAIN_S)
    raise ActorflowError("the worker does not say where it stands", hint=f"it is stopped, or its code handles {SIGNAL.name} itself")


def readable(dump: str) -> str:
    """Return a dump in the form of Python's tracebacks: the main thread first, the most recent call last, with the lines of code."""
    threads = [part.strip("\n").split("\n") for part in re.split(r"\n(?=Thread |Current thread )", "\n" + dump) if part.strip()]
    told = []
    for number, (_, *frames) in enumerate(reversed(threads)):
        head = "main thread" if number == 0 else f"thread {number}"
        told.append("\n".join([f"{head} (most recent call last):", *(_frame(line) for line in reversed(frames))]))
    return "\n\n".join(told)


def _frame(line: str) -> str:
    found = _FRAME.fullmatch(line)
    if found is None:
        return line
    code = linecache.getline(found[1], int(found[2])).strip() if found[2].isdecimal() else ""
    return f"{line}\n    {code}" if code else line
