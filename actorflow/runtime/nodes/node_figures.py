"""What a node knows of its process and its connections, in figures under Flink's names. The process stands where Flink has its JVM."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from actorflow.actor import ActorSystem
from actorflow.transport.endpoint import Endpoint
from actorflow.transport.observation import TransportObservation


def _resident_bytes() -> float:
    return float(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


PROCESS: Mapping[str, tuple[str, Callable[[], float]]] = {
    "Status.JVM.CPU.Time": ("ns of processor time that this process has used", time.process_time_ns),
    "Status.JVM.Memory.Heap.Used": ("bytes of memory that this process holds", _resident_bytes),
    "Status.JVM.Threads.Count": ("threads of this process", threading.active_count),
}
"""Of the process, by Flink's name: what it is, and how to read it."""

CONNECTIONS: Mapping[str, tuple[str, Callable[[TransportObservation], float]]] = {
    "unknownKeys": ("connections without a known key", lambda seen: seen.turned_away),
    "failedHandshakes": ("connections that ended before they were let in", lambda seen: seen.handshakes_failed),
    "refusedFrames": ("frames that were refused", lambda seen: sum(seen.refused.values())),
}
"""Of the connections, by name (Flink has none): what they have kept out, and how to read it."""


def node_figures(system: ActorSystem) -> dict[str, float]:
    """Return the figures of the node of these actors by their names; of its connections, if it has a way to others."""
    figures = {name: float(read()) for name, (_, read) in PROCESS.items()}
    router = system.router
    if isinstance(router, Endpoint):
        seen = router.observe()
        figures |= {name: float(count(seen)) for name, (_, count) in CONNECTIONS.items()}
    return figures
