"""The watchdog of a slot worker: says where user code is stuck, while it is.

A function that does not return holds its worker: no other batch is processed there, and no message handled. The job's other workers go on,
and a cancel still ends it (the TaskManager kills the process); but somebody has to say what is going on. A thread looks once in a
while how long the present turn has taken, and if it is too long, logs the user's line on which it stands.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

from actorflow.operators.failures import is_engine_file
from actorflow.runtime.meter import Activity
from actorflow.runtime.subtask import Subtask

log = logging.getLogger("actorflow.worker")


class Watchdog:
    """Watches the subtasks that run on one thread.

    Args:
        subtasks: who runs there now.
        stuck_after_s: how long a turn may take.
        thread: the thread's id.
    """

    def __init__(self, subtasks: Callable[[], Sequence[Subtask]], stuck_after_s: float, thread: int) -> None:
        self._subtasks = subtasks
        self._stuck_after_s = stuck_after_s
        self._thread = thread
        self._ended = threading.Event()
        self._reported_since_s: float | None = None

    def start(self) -> None:
        """Begin to watch, on a daemon thread."""
        threading.Thread(target=self._watch, name="actorflow-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._stuck_after_s / 4):
            report = self.look()
            if report:
                log.warning(report)

    def look(self) -> str:
        """Return what is stuck and where, or an empty text. Each turn is reported once."""
        busy = [(subtask.meter.since_s, subtask) for subtask in self._subtasks() if subtask.meter.activity is Activity.BUSY]
        if not busy:
            return ""
        since, subtask = max(busy, key=lambda entry: entry[0])  # the others only wait for their turn, and have for longer
        taken_s = subtask.meter.now() - since
        if taken_s < self._stuck_after_s or since == self._reported_since_s:
            return ""
        self._reported_since_s = since
        return (
            f"'{subtask.name}' has worked on one batch for {taken_s:.0f} s; it stands at\n{_user_stack(self._thread)}"
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
