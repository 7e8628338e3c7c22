"""What operators and writers see of the subtask they run in."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actorflow.actor import ActorSystem
from actorflow.clock import Clock
from actorflow.config import Config
from actorflow.ids import Address, SubtaskId
from actorflow.protocol.event_time.alignment import WatermarkReported
from actorflow.protocol.jobs.quarantine import Quarantined
from actorflow.runtime.subtasks.meter import Activity
from actorflow.runtime.workers.directory import PREFIX, Directory, packed
from actorflow.runtime.workers.file_cache import FileCache
from actorflow.state.backend import KeyedBackend

if TYPE_CHECKING:
    from actorflow.runtime.subtasks.alarms import Alarm
    from actorflow.runtime.subtasks.subtask import Subtask


class AsyncHome(Protocol):
    """Where the asynchronous operators of a worker run."""

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, which is made on first use. May be called from any thread."""
        ...

    def close(self) -> None:
        """Cancel what runs on the loop and end it."""
        ...


class AsyncThread:
    """The asyncio loop of a worker, on a thread of its own that is started on first use."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. May be called from any thread."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="actorflow-asyncio", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Cancel what runs on the loop and end its thread."""
        if self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop)
        thread.join(timeout=1.0)
        if not thread.is_alive():
            loop.close()


async def _cancel_all() -> None:
    loop = asyncio.get_running_loop()
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    loop.call_soon(loop.stop)


@dataclass(slots=True)
class OperatorContext:
    """The subtask as its operators see it (`operators.contract.SubtaskContext`)."""

    job_name: str
    subtask: SubtaskId
    parallelism: int
    max_parallelism: int
    attempt: int
    log: logging.Logger
    config: Config
    batch: bool
    system: ActorSystem
    directory: Directory
    actor: Subtask
    async_home: AsyncHome
    new_backend: Callable[[str], KeyedBackend]
    report: Callable[[WatermarkReported], None]
    worker: Address
    quarantined: Sequence[Quarantined]
    files: FileCache

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the subtask's thread between two batches. May be called from any thread."""
        self.actor.post_work(callback)

    def wake(self) -> None:
        """Make the subtask look again at what blocked it. May be called from any thread."""
        self.actor.wake()

    def processing_time(self) -> int:
        """Return the wall clock, in ms since the Unix epoch, UTC."""
        return self.actor.processing_time()

    def held_up_ms(self) -> int:
        """Return for how long, in ms, the subtask was back-pressured."""
        return round(self.actor.meter.totals_s()[Activity.BACK_PRESSURED] * 1000)

    def call_at(self, timestamp: int, callback: Callable[[], None]) -> Alarm:
        """Run `callback` on the subtask's thread once processing time has reached `timestamp` (ms), between two batches."""
        return self.actor.call_at(timestamp, callback)

    def forward_watermark(self, timestamp: int) -> None:
        """Pass a watermark (ms) on to the subtask's consumers."""
        self.actor.outputs.pass_watermark(timestamp)

    def forward_idleness(self, *, idle: bool) -> None:
        """Tell the subtask's consumers whether it holds back a watermark."""
        self.actor.event_time.tell_idleness(idle=idle)

    def report_watermark(self, operator: str, *, number: int, watermark: int, idle: bool, max_drift_ms: int) -> None:
        """Tell the JobMaster how far this subtask is in event time."""
        self.report(WatermarkReported(self.subtask, self.attempt, operator, number, watermark, idle, max_drift_ms, self.worker))

    def keyed_backend(self, operator: str) -> KeyedBackend:
        """Return a new backend for the keyed states of one operator."""
        return self.new_backend(operator)

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the asyncio loop of this worker."""
        return self.async_home.loop()

    def tell(self, to: Address | str, message: object) -> None:
        """Send a message to an operator of this job (`/jobs/<job>/<operator>/<index>`), or to any actor by address or path on this node."""
        if to.startswith(PREFIX):
            target, operator = self.directory.find(to)
            self.system.resolve(target).tell(packed(operator, message))
        else:
            self.system.resolve(to).tell(message)

    def cached_file(self, name: str) -> str:
        """Return the local path of a distributed-cache file.

        Raises:
            KeyError: if the pipeline registered no file of this name.
            SourceError: if it cannot be read, or not be kept here.
        """
        return self.files.path(name)


@dataclass(slots=True)
class SinkContext:
    """What a writer may know and use (`connectors.contracts.WriterContext`)."""

    clock: Clock
    job_name: str
    job_id: str
    subtask: SubtaskId
    parallelism: int
    attempt: int
    send: Callable[[bytes], None]

    def send_result(self, payload: bytes) -> None:
        """Send bytes to the client that waits for this job."""
        self.send(payload)
