"""How a worker writes checkpoints without taking all of a disk, a network, or its pool: no faster than a rate, and not too many at once.

Both hold up threads of the pool, or keep work back from it; never the data. What nobody needs any more is not written to its end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from actorflow.clock import Clock
from actorflow.errors import CheckpointError
from actorflow.protocol.transfer.token_bucket import TokenBucket
from actorflow.storage.file_merging import Burst, Told
from actorflow.storage.files import Pace

Wait = Callable[[float], object]
"""Waits for some seconds."""


class UploadPace:
    """The rate at which the subtasks of a worker write together. Its calls may come from any thread.

    Args:
        bytes_per_s: the rate; 0 for none.
        clock: the node's.
        wait: stands for a thread that waits.
    """

    def __init__(self, bytes_per_s: int, clock: Clock, wait: Wait | None = None) -> None:
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._bucket = TokenBucket(bytes_per_s, bytes_per_s * _BURST_S, clock.now()) if bytes_per_s else None
        self._lock = threading.Lock()

    def __call__(self, size: int) -> None:
        """Wait until so many bytes may be written."""
        if self._bucket is None:
            return
        with self._lock:
            wait_s = self._bucket.take(size, self._clock.now())
        if wait_s > 0:
            self._wait(wait_s)


_BURST_S = 0.1


@dataclass(frozen=True, slots=True)
class Upload:
    """What one subtask stores at one time: its part of a checkpoint or savepoint.

    Attributes:
        rate: waits until so many bytes may be written.
        needless: whether nobody needs it any more; may be asked on any thread.
        burst: takes what is merged with other subtasks' parts; None if nothing is.
    """

    rate: Pace
    needless: Callable[[], bool]
    burst: Burst | None = None

    def pace(self, size: int) -> None:
        """Wait until so many bytes may be written.

        Raises:
            CheckpointError: if nobody needs them any more.
        """
        if not self.needless():
            self.rate(size)
        if self.needless():
            raise CheckpointError("it was given up while its state was being stored")

    def leave(self, told: Told | None) -> None:
        """Have it told when everything is on disk; None if nobody will refer to it."""
        if self.burst is not None:
            self.burst.leave(told)
        elif told is not None:
            told(None)


class FewAtOnce:
    """Hands work to a pool, so much of it at a time; the rest waits in order, and holds no thread.

    Args:
        submit: gives a function to the pool.
        at_once: how much may be under way.
    """

    def __init__(self, submit: Callable[[Callable[[], None]], None], at_once: int) -> None:
        self._submit = submit
        self._free = at_once
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def __call__(self, work: Callable[[], None]) -> None:
        """Have a function run, as soon as there is room."""
        with self._lock:
            if not self._free:
                self._waiting.append(work)
                return
            self._free -= 1
        self._submit(lambda: self._run(work))

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                self._free += following is None
            if following is not None:
                self._submit(lambda: self._run(following))
