"""The fork server: starts slot worker processes in milliseconds, and reports at once when one ends.

A fresh interpreter that imports the engine takes some hundred milliseconds; a fork of one that has done so takes a few. The fork
server is that one: a child process of the TaskManager's node that imports the modules a slot worker needs and then does
nothing but fork when told.

    TaskManager's node                     fork server                        slot worker
    ForkServer ══ control socket ══►  select: control, children ── fork ──►  entry(**arguments)
      read_events ◄── Started, Exited, SpawnFailed                              │
                                      pidfd readable ◄──────── exit, crash, kill┘

- Forking is safe because the server has one thread, opens no ZeroMQ socket, and no user code runs in it: it does not even unpickle
  the arguments. Workers give up the server's descriptors before anything else.
- Nobody outlives its parent. The server ends when the control socket closes or the parent is gone (also by SIGKILL); the kernel
  kills the workers when the server is gone; what a worker itself had started is killed when the worker ends (its process group).
- Ctrl-C belongs to the parent alone: server and workers stand in process groups of their own and ignore SIGINT.
- A worker starts in the parent's present working directory and with its present `sys.path`, its environment is that of the
  server's start, where numerical libraries are told to use one thread if it does not say how many. Standard input is empty; standard
  output and error are the parent's.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from actorflow.cluster.process import describe_exit
from actorflow.errors import SlotLost

WORKER_MODULES = ("actorflow.cluster.worker", "actorflow.connectors.sinks", "actorflow.connectors.sources")
"""What every slot worker imports, and with it pykka, zmq and the codecs; none of them starts a thread. The heavy column libraries are
left to the jobs that use them."""

_REQUEST_BYTES_MAX = 128 * 1024
"""A request is one packet; the kernel's default socket buffer takes packets of this size."""

_SOCKET_PARENT_BYTES_MAX = 50
"""A socket's path may have 107 bytes; this leaves enough for our directory and the name of a node."""

RECEIVE_BYTES = 2 * _REQUEST_BYTES_MAX
"""Size of a receive buffer that surely takes a packet whole."""

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads numerical libraries start for one call. A slot is one processor, and NumPy's wait for work by spinning: 100 ms of CPU at each start."""

_LAUNCH = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from actorflow.cluster.fork_loop import serve; serve(int(sys.argv[1]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))"
)


@dataclass(frozen=True, slots=True)
class Started:
    """The worker `name` runs as process `pid`."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The operating system refused to fork a process for `name`."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The worker `name` has ended: by itself (`exit_code`) or by a signal (`signal`); the other is None."""

    name: str
    pid: int
    exit_code: int | None
    signal: int | None

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid}) {describe_exit(self.exit_code, self.signal)}"


@dataclass(frozen=True, slots=True)
class ServerLost:
    """The fork server itself has ended, and with it the workers `names`. Reported once; nothing follows it."""

    reason: str
    names: tuple[str, ...]


ProcessEvent = Started | SpawnFailed | Exited | ServerLost


@dataclass(frozen=True, slots=True)
class Spawn:
    """Request: fork a worker. The server passes `arguments` on as pickled."""

    name: str
    entry: str
    arguments: bytes
    directory: str
    search_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """Request: send a signal to a worker."""

    name: str
    signal: int


class ForkServer:
    """The parent's end of a fork server. Used from one thread; only `close` waits.

    Made by `start`. Watch `fd` for reading and call `read_events` when it is ready.

    Attributes:
        directory: for local sockets. The server removes it when it ends, for it outlives its parent: nothing stays behind one that was killed.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, directory: Path) -> None:
        self.directory = directory
        self._process = process
        self._control = control
        self._names: dict[str, None] = {}
        self._ended = ""

    @classmethod
    def start(cls, preload: Sequence[str] = WORKER_MODULES) -> Self:
        """Start the server process and return without waiting for it; workers asked for meanwhile start when it is warm.

        Args:
            preload: modules to import before the first fork. They must not start threads. One that cannot be imported is left
                out: the worker that needs it shows the error.
        """
        directory = _socket_directory()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [
                    sys.executable,
                    "-c",
                    _LAUNCH,
                    str(theirs.fileno()),
                    *map(json.dumps, (_search_path(), list(preload), str(directory))),
                ],
                stdin=subprocess.DEVNULL,
                env={**dict.fromkeys(_ONE_THREAD, "1"), **os.environ},
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        return cls(process, ours, directory)

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def fd(self) -> int:
        """The descriptor that is readable when `read_events` has something."""
        return self._control.fileno()

    def spawn(self, entry: str, arguments: Mapping[str, object], name: str) -> None:
        """Ask for a process that calls `entry` with keyword arguments. `Started` or `SpawnFailed`, then `Exited` will tell.

        Args:
            entry: `module:function`. Its return ends the process with code 0, an exception (shown on stderr) with code 1.
            arguments: picklable and small: addresses and ids, not plans.
            name: names the process in events; no living one may have it.

        Raises:
            ValueError: if the arguments are too large for one request.
            SlotLost: if the server has ended.
        """
        assert name not in self._names, f"a living process has the name {name!r}"
        request = Spawn(name, entry, pickle.dumps(dict(arguments)), str(Path.cwd()), tuple(_search_path()))
        if self._ended:
            raise SlotLost(f"cannot start {name}: {self._ended}", hint="start a new fork server")
        self._names[name] = None
        self._request(request)

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to a worker; nothing happens if it has ended."""
        self._request(Kill(name, int(signal_number)))

    def read_events(self) -> list[ProcessEvent]:
        """Return what has happened since the last call, in order. Never blocks."""
        events: list[ProcessEvent] = []
        while not self._ended:
            try:
                packet = self._control.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionError:
                packet = b""
            if not packet:
                events.append(self._lost())
                break
            event: Started | SpawnFailed | Exited = pickle.loads(packet)
            if not isinstance(event, Started):
                self._names.pop(event.name, None)
            events.append(event)
        return events

    def close(self, timeout_s: float = 5.0) -> None:
        """Kill the workers, end the server, and wait for both: afterwards no process and no directory is left. May be called again.

        Args:
            timeout_s: how long the server may take before it is killed too.
        """
        self._ended = self._ended or "the fork server was closed"
        self._control.close()
        if not self._names:  # it may still be importing
            self._process.kill()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, request: Spawn | Kill) -> None:
        packet = pickle.dumps(request)
        if len(packet) > _REQUEST_BYTES_MAX:
            self._names.pop(request.name, None)
            raise ValueError(
                f"cannot start {request.name}: its arguments take {len(packet)} bytes, at most {_REQUEST_BYTES_MAX} fit"
            )
        with contextlib.suppress(OSError):  # a server that is gone is told by read_events
            self._control.sendall(packet)

    def _lost(self) -> ServerLost:
        """Note the end of the server, which has closed its end of the socket and is dead or dying."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._ended = f"the fork server {describe_exit(code, None) if code >= 0 else describe_exit(None, -code)}"
        names = tuple(self._names)
        self._names.clear()
        return ServerLost(self._ended, names)


def _search_path() -> list[str]:
    here = str(Path.cwd())
    return [entry or here for entry in sys.path]


def _socket_directory() -> Path:
    """Make the directory for local sockets where their paths are short enough for the kernel, however long that of TMPDIR is."""
    usual = tempfile.gettempdir()
    short = len(os.fsencode(usual)) <= _SOCKET_PARENT_BYTES_MAX
    return Path(tempfile.mkdtemp(prefix="actorflow-", dir=usual if short else Path(os.sep, "tmp")))
