"""The watchdog of a slot worker: says where user code is stuck, while it is.

A function that does not return holds its worker: no other batch is processed there, and no message handled. The job's other workers go on,
and a cancel still ends it (the TaskManager kills the process); but somebody has to say what is going on. A thread looks once in a
while how long the present turn on each other thread has taken, and if it is too long, logs the user's line on which it stands. A pinned
subtask has a thread to itself, all others share one.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import traceback
from collections.abc import Sequence

from actorflow.operators.failures import is_engine_file
from actorflow.runtime.subtasks.meter import Activity
from actorflow.runtime.subtasks.subtask import Subtask

log = logging.getLogger("actorflow.worker")


class Watchdog:
    """Watches the subtasks of a worker.

    Args:
        subtasks: all of them.
        stuck_after_s: how long a turn may take.
    """

    def __init__(self, subtasks: Sequence[Subtask], stuck_after_s: float) -> None:
        self._subtasks = tuple(subtasks)
        self._stuck_after_s = stuck_after_s
        self._ended = threading.Event()
        self._reported_since_s: dict[int, float] = {}
        """Since when the turn goes on that was reported last, by thread."""

    def start(self) -> None:
        """Begin to watch, on a daemon thread."""
        threading.Thread(target=self._watch, name="actorflow-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._stuck_after_s / 4):
            for report in self.look():
                log.warning(report)

    def look(self) -> list[str]:
        """Return what is stuck, and where. Each turn is reported once."""
        busy: dict[int, tuple[float, Subtask]] = {}
        for subtask in self._subtasks:
            since, thread = subtask.meter.since_s, subtask.thread
            # The latest has the thread; the others there only wait for their turn, and have for longer.
            if subtask.meter.activity is Activity.BUSY and thread is not None and since > busy.get(thread, (-math.inf,))[0]:
                busy[thread] = since, subtask
        return [report for thread, (since, subtask) in busy.items() if (report := self._report(thread, since, subtask))]

    def _report(self, thread: int, since: float, subtask: Subtask) -> str:
        taken_s = subtask.meter.now() - since
        if taken_s < self._stuck_after_s or since == self._reported_since_s.get(thread):
            return ""
        self._reported_since_s[thread] = since
        return (
            f"'{subtask.name}' has worked on one batch for {taken_s:.0f} s; it stands at\n{_user_stack(thread)}"
            "(hint: if it never returns, cancel the job; calls that wait belong into map_async)"
        )


def _user_stack(thread: int) -> str:
    """Return the frames of user code on a thread, formatted; all of them if none is the user's."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    frames = traceback.extract_stack(frame)
    mine = [summary for summary in frames if not is_engine_file(summary.filename)]
    start = next((number for number, summary in enumerate(frames) if summary.filename.startswith("<actorflow chain")), 0)
    return "".join(traceback.format_list([summary for summary in frames[start:] if summary in mine] or frames[-3:]))
