"""How commands end: 0 all well, 1 the job or its work failed, 2 used or configured wrongly, 124 not in time, 130 interrupted.

An error is one line with its hint, on stderr. A job that failed adds where it did and the traceback of the user's own code
(`JobFailed` has both). The engine's own frames are shown only with `-v`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from actorflow.errors import ActorflowError, ConfigError, TimedOut

FAILED = 1
USAGE = 2
LATE = 124
"""As `timeout(1)` has it: what was waited for may still come."""
INTERRUPTED = 130


@contextlib.contextmanager
def told(*, verbose: bool, script: str = "") -> Iterator[None]:
    """Turn what the block raises into a message on stderr and the exit code.

    Args:
        verbose: show the whole Python traceback too.
        script: path of the user's script that runs in the block: what it raises is shown from its own frames on.

    Raises:
        SystemExit: if the block raised.
    """
    try:
        yield
    except KeyboardInterrupt:
        _say("interrupted", verbose=verbose)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone (`actorflow … | head`); the interpreter's last flush must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except ActorflowError as error:
        line = _line_in(script, error)
        _say(f"error: {error}" + (f"\n  at {script}, line {line}" if line else ""), verbose=verbose)
        sys.exit(_code(error))
    except Exception as error:
        if not script or verbose:
            raise
        shown = traceback.TracebackException(type(error), error, _frames_from(script, error))
        print("".join(shown.format()).rstrip(), file=sys.stderr)
        sys.exit(FAILED)


def _code(error: ActorflowError) -> int:
    if isinstance(error, TimedOut):
        return LATE
    return USAGE if isinstance(error, ConfigError) else FAILED


def _say(text: str, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    sys.stdout.flush()
    print(text, file=sys.stderr)


def _frames_from(script: str, error: BaseException) -> TracebackType | None:
    """Return the traceback from the script's first frame on, or None if no frame is the script's (it does not even parse)."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != script:
        frame = frame.tb_next
    return frame


def _line_in(script: str, error: BaseException) -> int:
    """Return the number of the script's line where the error came up, 0 if none did."""
    line, frame = 0, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == script:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line
