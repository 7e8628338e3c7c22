"""Savepoints that were asked for over REST: each request has an id, and a status to come back for.

The JobMaster answers to an actor of the JobManager's node; requests are looked at from the server's threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from actorflow.actor import Actor, ActorSystem
from actorflow.ids import Address, JobId, unique_suffix
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointRequested, CheckpointTaken
from actorflow.storage.files import as_uri, join
from actorflow.wire.batch import SavepointFormat, SavepointOrder, SavepointThen

REQUESTS_MAX = 1_000
"""Requests that are remembered; of more the oldest are forgotten."""


class SavepointRequests:
    """The savepoints that were asked for.

    Args:
        system: the JobManager's actors.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._lock = threading.Lock()
        self._requests: dict[str, tuple[JobId, CheckpointTaken | None]] = {}
        self._ear = system.spawn(_Ear, self._taken, name=f"rest-{unique_suffix()}")

    def ask(self, job: JobId, master: Address, directory: str, then: SavepointThen, form: SavepointFormat) -> str:
        """Ask for a savepoint below a directory; return the id of the request.

        Raises:
            ActorflowError: if there is no file system for that directory.
        """
        request = unique_suffix()
        order = SavepointOrder(join(as_uri(directory), f"savepoint-{job}-{request}"), then, form)
        with self._lock:
            self._requests[request] = job, None
            if len(self._requests) > REQUESTS_MAX:
                del self._requests[next(iter(self._requests))]
        self._system.send(master, CheckpointRequested(request, self._ear.address, order))
        return request

    def status(self, job: JobId, request: str) -> CheckpointTaken | None:
        """Return the answer to a request; None if there is none yet.

        Raises:
            KeyError: if there was no such request for this job.
        """
        with self._lock:
            asked_for, taken = self._requests[request]
        if asked_for != job:
            raise KeyError(request)
        return taken

    def close(self) -> None:
        """Hear no more answers."""
        self._ear.stop(block=False)

    def _taken(self, answer: CheckpointTaken) -> None:
        with self._lock:
            if answer.request in self._requests:
                self._requests[answer.request] = self._requests[answer.request][0], answer


class _Ear(Actor):
    """Hears the answers of JobMasters."""

    def __init__(self, taken: Callable[[CheckpointTaken], None]) -> None:
        super().__init__()
        self._taken = taken

    def on_receive(self, message: CheckpointTaken) -> None:
        """Pass an answer on."""
        self._taken(message)
