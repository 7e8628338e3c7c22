"""What this process asks the operating system about processes: ending with another one, ending one, what one uses, why one ended. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process (SIGKILL) when its parent ends, however it ends.

    Args:
        parent_pid: the parent that was meant. If it has ended before the kernel was told, this process exits at once.

    Raises:
        OSError: if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent_pid:
        os._exit(1)


def thread_count() -> int:
    """Return the number of threads of this process, those of native libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def resident_bytes(pid: int) -> int:
    """Return how much memory a process uses (its resident set); 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def end_process(pid: int, number: int, timeout_s: float) -> bool:
    """Send a signal to a process, and return whether it ends in time."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(watched, number)
        ready, _, _ = select.select([watched], [], [], timeout_s)
        return bool(ready)
    finally:
        os.close(watched)


def used_bytes(pid: int) -> int:
    """Return how much memory a process uses, with all that it has started and that live; what they share is counted once. 0 if it has ended."""
    started = _started_by(pid)
    if not started:
        return resident_bytes(pid)
    return sum(_proportional_bytes(each) for each in (pid, *started))


def _started_by(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += map(int, children.read_text().split())
    return [each for child in found for each in (child, *_started_by(child))]


def _proportional_bytes(pid: int) -> int:
    """Return a process's memory, with its part of what it shares with others."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))


def describe_exit(exit_code: int | None, signal_number: int | None) -> str:
    """Say in words how a process ended, to stand behind its name: `slot 2 was killed by SIGKILL …`.

    Args:
        exit_code: its exit status, or None if a signal ended it.
        signal_number: the signal that ended it, or None if it exited.
    """
    if signal_number is None:
        return "exited normally" if exit_code == 0 else f"exited with code {exit_code}"
    name = _signal_name(signal_number)
    if signal_number in _CRASHES:
        return f"crashed with {name} ({_CRASHES[signal_number]} in native code)"
    if signal_number == signal.SIGKILL:
        return f"was killed by {name} (was it the kernel's out-of-memory killer?)"
    return f"was killed by {name}"


_CRASHES = {
    int(signal.SIGSEGV): "a bad memory access",
    int(signal.SIGBUS): "a bad memory access",
    int(signal.SIGABRT): "an abort",
    int(signal.SIGFPE): "an arithmetic fault",
    int(signal.SIGILL): "an illegal instruction",
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
