"""Slot workers as processes: one actor for each, whose life is the process's life.

    TaskManager ── child ──► SlotProcess ══ fork server ══► process: SlotWorker and its subtasks
         ▲                        │
         └── ChildEnded(Failed) ──┘  process ended: by name, exit code or signal

`EndWorker` kills the process, and so does stopping the actor: whatever user code does there cannot prevent it. The first waits for its end.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from actorflow.actor import Actor, ActorContext, ActorRef, ActorSystem
from actorflow.actor.signals import Reply
from actorflow.cluster.fork_server import Exited, ForkServer, ServerLost, SpawnFailed, Started
from actorflow.cluster.process import used_bytes
from actorflow.config import Config, options
from actorflow.errors import ActorflowError, ConfigError, SlotLost
from actorflow.ids import Address, JobId
from actorflow.protocol.machine import TimerFired
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.protocol.nodes.task_manager import EndWorker, WorkerMeasured, WorkerRecipe
from actorflow.runtime.workers.stacks import SIGNAL as STACK_SIGNAL
from actorflow.runtime.workers.stacks import StackRequested, read_dump, stack_file

_ENTRY = "actorflow.cluster.worker:main"
_MEASURE = "measure"
_MEASURE_EVERY_S = 0.25
"""How long memory may grow unseen: what a process takes in that time is what it may have above its limit."""

_WORKER_BYTES_MIN = 48 << 20
"""A worker takes 38 MB (Python 3.11, with what every job needs imported) before it has read a record."""


def check_memory(config: Config, slots: int) -> None:
    """Refuse a limit under which no worker could live for long.

    Raises:
        ConfigError: if a slot's share of the memory is less than a worker needs that does nothing.
    """
    memory_bytes = config[options.TASKMANAGER_MEMORY]
    if memory_bytes is not None and memory_bytes // slots < _WORKER_BYTES_MIN:
        raise ConfigError(
            f"'{options.TASKMANAGER_MEMORY.name}' leaves each of {slots} slots {memory_bytes // slots >> 20} MB, and a worker needs "
            f"{_WORKER_BYTES_MIN >> 20} MB before it does anything",
            hint=f"give {slots * _WORKER_BYTES_MIN >> 20} MB at least, or fewer slots",
        )


class SlotProcesses:
    """Starts slot processes for the TaskManagers of one node, and tells each `SlotProcess` what becomes of it.

    Args:
        system: the node's actors; its dispatcher thread is the only one that uses this object.
        server: forks.
        arguments: what every worker is told at its start.
        backup: returns the directory in which a job keeps copies of its state on this host, if it does.
        cache: returns the directory in which a job keeps copies of cached files on this host, if it has any.
        clean_up: removes what workers that were killed have left on disks; called on a thread of its own.
    """

    def __init__(
        self,
        system: ActorSystem,
        server: ForkServer,
        arguments: Mapping[str, object],
        backup: Callable[[JobId], Path | None],
        cache: Callable[[JobId], Path | None],
        clean_up: Callable[[], None],
    ) -> None:
        self._system = system
        self._server = server
        self._arguments = dict(arguments)
        self._backup = backup
        self._cache = cache
        self._clean_up = clean_up
        self._processes: dict[str, ActorRef] = {}
        system.io.watch(server.fd, self._read)

    def launch(self, context: ActorContext, name: str, recipe: WorkerRecipe) -> ActorRef:
        """Make the actor that stands for one worker process."""
        copies = {"backup": self._backup(recipe.job), "cache": self._cache(recipe.job)}
        return context.spawn(SlotProcess, self, recipe, str(context.address), copies, name=name)

    def start(self, name: str, process: ActorRef, arguments: Mapping[str, object]) -> None:
        """Fork a worker; `process` is told its events."""
        self._processes[name] = process
        self._server.spawn(_ENTRY, {**self._arguments, **arguments}, name)

    def kill(self, name: str) -> None:
        """Kill a worker; its `SlotProcess` is told of its end. Nothing happens if it has ended."""
        if name in self._processes:
            self._server.kill(name, signal.SIGKILL)

    def read_stack(self, name: str, allocation: Allocation, then: Callable[[str | ActorflowError], None]) -> None:
        """Have a worker write where it stands, and call back on another thread with what it has written."""
        path = stack_file(Path(str(self._arguments["directory"])), allocation)
        if name not in self._processes or not path.exists():
            then(ActorflowError(f"{name} has not started, or has ended"))
            return
        path.write_bytes(b"")
        self._server.kill(name, STACK_SIGNAL)

        def read() -> None:
            try:
                then(read_dump(path))
            except ActorflowError as error:
                then(error)

        self._system.submit_work(read)

    def leave(self, name: str) -> None:
        """Kill a worker whose `SlotProcess` is gone; nothing happens if it has ended."""
        self.kill(name)
        self._processes.pop(name, None)

    def close(self) -> None:
        """End all workers and the fork server."""
        self._system.io.unwatch(self._server.fd)
        self._server.close()
        self._clean_up()

    def _read(self) -> None:
        for event in self._server.read_events():
            if isinstance(event, ServerLost):
                self._system.io.unwatch(self._server.fd)
                for name in event.names:
                    self._tell(name, event)
            else:
                self._tell(event.name, event)
                if isinstance(event, Exited):
                    self._system.submit_work(self._clean_up)

    def _tell(self, name: str, event: object) -> None:
        process = self._processes.get(name)
        if process is not None:
            process.tell_control(event)


@dataclass(frozen=True, slots=True)
class _StackRead:
    """What the worker has written, or why it has not."""

    stack: str | ActorflowError


def _answer(asker: Reply, stack: str | ActorflowError) -> None:
    if isinstance(stack, ActorflowError):
        asker.set_exception((type(stack), stack, None))
    else:
        asker.set(stack)


class SlotProcess(Actor):
    """Stands for one slot worker process.

    Args:
        processes: starts and kills it.
        recipe: the lease it is for.
        task_manager: address of its TaskManager.
        copies: where its job keeps copies on this host, by what of.
    """

    def __init__(
        self, processes: SlotProcesses, recipe: WorkerRecipe, task_manager: str, copies: Mapping[str, Path | None]
    ) -> None:
        super().__init__()
        self._processes = processes
        self._recipe = recipe
        self._task_manager = task_manager
        self._copies = {kind: None if path is None else str(path) for kind, path in copies.items()}
        self._pid: int | None = None
        self._used_bytes = 0
        """The most memory that it was seen to use."""
        self._ending = False
        self._stack_askers: list[Reply] = []
        self._name = f"slot worker {recipe.index} of {task_manager} (lease {recipe.allocation})"

    def on_start(self) -> None:
        """Fork the process."""
        arguments = {"allocation": self._recipe.allocation, "task_manager": self._task_manager, **self._copies}
        self._processes.start(self._name, self.ctx.ref, arguments)

    def on_receive(
        self, message: EndWorker | Started | SpawnFailed | Exited | ServerLost | StackRequested | _StackRead | TimerFired
    ) -> None:
        """Note the process's start, look at its memory, or kill it; its end is this actor's.

        Raises:
            SlotLost: when the process has ended, and was not told to.
        """
        match message:
            case EndWorker():
                self._ending = True
                self._processes.kill(self._name)
            case Started(pid=pid):
                self._pid = pid
                self.ctx.set_timer(_MEASURE, _MEASURE_EVERY_S)
            case TimerFired():
                self._measure()
            case StackRequested():
                self._tell_stack()
            case _StackRead(stack=stack):
                askers, self._stack_askers = self._stack_askers, []
                for asker in askers:
                    _answer(asker, stack)
            case Exited() | SpawnFailed() | ServerLost() if self._ending:
                self.ctx.finish()
            case SpawnFailed(reason=reason):
                raise SlotLost(f"{self._name} could not be started: {reason}")
            case Exited():
                raise SlotLost(
                    str(message),
                    hint="its last words are in the output of its TaskManager; 'restart-strategy.type' says whether a job tries again",
                )
            case ServerLost(reason=reason):
                raise SlotLost(f"{self._name} is gone: {reason}")
            case _:
                assert_never(message)

    def _measure(self) -> None:
        """Tell the TaskManager of memory that is used, when it is more than ever before."""
        used = used_bytes(self._pid) if self._pid is not None else 0
        if used > self._used_bytes:
            self._used_bytes = used
            self.ctx.system.send(Address(self._task_manager), WorkerMeasured(self._recipe.allocation, used))
        self.ctx.set_timer(_MEASURE, _MEASURE_EVERY_S)

    def _tell_stack(self) -> None:
        """Have the worker asked where it stands; whoever asks meanwhile gets the same answer."""
        asker = self.ctx.reply_to
        if asker is None:
            return
        self._stack_askers.append(asker)
        if len(self._stack_askers) == 1:
            me = self.ctx.ref
            self._processes.read_stack(self._name, self._recipe.allocation, lambda stack: me.tell_control(_StackRead(stack)))

    def on_stop(self) -> None:
        """Kill the process."""
        self._processes.leave(self._name)

    def observe(self) -> dict[str, object]:
        """Return the process id, the lease, and the most memory it was seen to use."""
        return {
            "pid": self._pid,
            "allocation": self._recipe.allocation,
            "slot": self._recipe.index,
            "memory_bytes_max_seen": self._used_bytes,
        }
