"""The progress line: one line on a terminal, nothing when piped."""

from __future__ import annotations

import sys
import time

from actorflow.cluster.job import Job
from actorflow.cluster.job_news import JobResult

_EVERY_S = 0.2
_CLEAR = "\r\x1b[K"


def follow(job: Job, progress: bool | None) -> JobResult:  # noqa: FBT001 - tri-state of the public API
    """Wait for the end of a job; show how it goes on stderr.

    Args:
        job: what to wait for.
        progress: whether to show it; None: if stderr is a terminal.
    """
    shown = sys.stderr.isatty() if progress is None else progress
    if not shown:
        return job.wait()
    started = time.monotonic()
    try:
        while not job.wait_until(lambda: job.status().final, _EVERY_S):
            sys.stderr.write(_CLEAR + _line(job, time.monotonic() - started))
            sys.stderr.flush()
    finally:
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()
    return job.result()


def _line(job: Job, elapsed_s: float) -> str:
    records_in, records_out = job.progress()
    rate = records_out / elapsed_s if elapsed_s else 0.0
    return f"{job.name}: {job.status().value}, {records_in:,} records in, {records_out:,} out, {rate:,.0f}/s, {elapsed_s:.0f} s"
