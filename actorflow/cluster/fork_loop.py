"""Inside the fork server's process: the loop that forks workers and tells their ends, and a worker's first steps.

See `actorflow.cluster.fork_server` for the picture and the rules. Everything here runs in the server process, except
`_become_worker` and `_call`, which run in the fork.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import io
import os
import pickle
import selectors
import shutil
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, assert_never

from actorflow.cluster.fork_server import RECEIVE_BYTES, Exited, Kill, Spawn, SpawnFailed, Started
from actorflow.cluster.process import die_with_parent, thread_count


def serve(control_fd: int, preload: Sequence[str], directory: str) -> None:
    """Run the fork server until its parent goes. The main function of the server process.

    Args:
        control_fd: this process's end of the control socket.
        preload: modules to import first.
        directory: to be removed at the end, when the workers are gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # or else the first collection in a worker would touch, and so copy, every page it shares with the server
    _Server(socket.socket(fileno=control_fd), os.getppid()).run()
    shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    pidfd: int


class _Server:
    """The loop of the server process: one selector over the control socket, the parent and every worker."""

    def __init__(self, control: socket.socket, parent_pid: int) -> None:
        self._control = control
        self._control.setblocking(False)
        self._children: dict[str, _Child] = {}
        self._outbox: deque[bytes] = deque()
        self._running = True
        self._parent_fd = os.pidfd_open(parent_pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._control, selectors.EVENT_READ, self._on_control)
        self._selector.register(self._parent_fd, selectors.EVENT_READ, self._stop)

    def run(self) -> None:
        while self._running:
            for key, _ in self._selector.select():
                act: Callable[[], None] = key.data
                act()
        for child in self._children.values():
            _kill_group(child)
        for child in self._children.values():
            os.waitpid(child.pid, 0)

    def _stop(self) -> None:
        self._running = False

    def _on_control(self) -> None:
        self._flush()
        while self._running:
            try:
                packet = self._control.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if not packet:
                self._stop()
                return
            request: Spawn | Kill = pickle.loads(packet)
            match request:
                case Spawn():
                    self._spawn(request)
                case Kill(name, number):
                    if child := self._children.get(name):
                        signal.pidfd_send_signal(child.pidfd, number)
                case _ as never:
                    assert_never(never)

    def _spawn(self, request: Spawn) -> None:
        assert thread_count() == 1, "the fork server has one thread, or what it forks may hang on a lock that nobody holds"
        server_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(SpawnFailed(request.name, error.strerror or str(error)))
            return
        if pid == 0:
            self._become_worker(request, server_pid)
        with contextlib.suppress(OSError):  # the worker does the same: whoever comes first, it is done before anybody is told
            os.setpgid(pid, pid)
        child = _Child(pid, os.pidfd_open(pid))
        self._children[request.name] = child
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._reap(request.name))
        self._tell(Started(request.name, pid))

    def _reap(self, name: str) -> None:
        child = self._children.pop(name)
        self._selector.unregister(child.pidfd)
        _kill_group(child)  # before the wait: until then the process id cannot belong to anyone else
        _, status = os.waitpid(child.pid, 0)
        os.close(child.pidfd)
        code = os.waitstatus_to_exitcode(status)
        self._tell(Exited(name, child.pid, code if code >= 0 else None, -code if code < 0 else None))

    def _tell(self, event: Started | SpawnFailed | Exited) -> None:
        self._outbox.append(pickle.dumps(event))
        self._flush()

    def _flush(self) -> None:
        """Send what the socket takes. The server never waits for a parent that is busy, or each could wait for the other."""
        with contextlib.suppress(BlockingIOError, ConnectionError):  # a parent that is gone is told by the selector
            while self._outbox:
                self._control.send(self._outbox[0])
                self._outbox.popleft()
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        self._selector.modify(self._control, wanted, self._on_control)

    def _become_worker(self, request: Spawn, server_pid: int) -> NoReturn:
        """Turn the fresh fork into the worker: never returns into the server's loop."""
        code = 1
        try:
            die_with_parent(server_pid)
            os.setpgid(0, 0)
            self._let_go()
            faulthandler.enable()
            _print_by_line()
            os.chdir(request.directory)
            sys.path[:] = request.search_path
            code = _call(request.entry, request.arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):  # a closed stdout must not change how the worker ended
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _let_go(self) -> None:
        self._selector.close()
        self._control.close()
        os.close(self._parent_fd)
        for sibling in self._children.values():
            os.close(sibling.pidfd)


def _kill_group(child: _Child) -> None:
    """Kill a worker and what it has started (all that stayed in its process group)."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _print_by_line() -> None:
    """Write each line that is printed at once, even into a pipe or file: a worker is killed in the end, and what it buffers is lost."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # and not None: the parent may have closed its own
        sys.stdout.reconfigure(line_buffering=True)


def _call(entry: str, arguments: bytes) -> int:
    """Call the worker's main function and return the exit code of its process."""
    module, _, function = entry.partition(":")
    try:
        getattr(importlib.import_module(module), function)(**pickle.loads(arguments))
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)  # noqa: T201 - as the interpreter does for sys.exit("text")
        return 1
    return 0
