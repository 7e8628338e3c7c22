"""Who gets the interpreter: whoever waits for it beside a busy dispatcher, soon.

CPython's lock on the interpreter is asked for only by a thread that has waited for a whole switch interval (5 ms) without anybody letting go
of it. A busy dispatcher lets go of it once a slice (1 ms), to poll its `Io`: for a microsecond, which is over before a waiting thread
has woken up, and the interval begins anew. So a snapshot that was stored on the pool took 13 s now and then, beside an inline job with
tiny batches, which is a matter of luck. With an interval shorter than a slice the lock is asked for in time, and whoever is asked waits until
somebody has taken it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from actorflow.actor.dispatcher import SLICE_S

SWITCH_INTERVAL_S = SLICE_S / 2


@contextmanager
def prompt_switches() -> Iterator[None]:
    """Have threads that wait for the interpreter ask for it before a dispatcher that is driven inside polls again.

    The interval is the whole process's: it is the former one again afterwards, and one that is shorter already is left alone.
    """
    before = sys.getswitchinterval()
    if before <= SWITCH_INTERVAL_S:
        yield
        return
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
