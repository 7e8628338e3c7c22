"""Attacks every port of a cluster, as a stranger on its network could, and says whether that has harmed it.

A JobManager with REST, a TaskManager and two slot workers run a job, with keys and a token. Every port that any of these processes listens at gets
its share of so many connections of each kind:

    garbage       random bytes
    half-open     part of a greeting, or of a request, and then nothing; as many at once as `--held`
    slow          a request byte by byte
    replayed      what a node with the right key has said to that port before, byte by byte
    wrong key     messages with a pickle that writes a file, by ZeroMQ with a key of one's own
    no key        the same without encryption
    bomb          that pickle over HTTP

In the end the job goes on, nothing was executed, no process has ended, grown, or kept files open, and what was refused has been counted. The exit code is 1
if any of this is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import pickle
import random
import resource
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zmq

import actorflow as af
from actorflow.cluster.launching import Launcher, planned_nodes
from actorflow.config import Config
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.transport.curve import CurveKeys, guard_client
from actorflow.wire.frame import Kind, pack

TOKEN = "a-token-of-32-characters-or-more!"
START_S = 60.0
GROWTH_BYTES_MAX, OPEN_FILES_MAX = 32 << 20, 32
"""How much a process may have grown, and how many more files it may have open, once the connections are gone."""


class Bomb:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self._trace),)


@dataclass
class Target:
    """A port, of a process.

    Attributes:
        port: at 127.0.0.1.
        http: whether it speaks HTTP.
        recorded: what a node with the right key has said to it.
    """

    port: int
    http: bool
    recorded: bytes = b""


class Attacker:
    """Makes connections of every kind.

    Args:
        server_key: public key of the nodes.
        bomb: what must not be loaded.
        held: how many connections stay open at once.
        draw: for what is random.
    """

    def __init__(self, server_key: str, bomb: bytes, held: int, draw: random.Random) -> None:
        self._server_key, self._bomb, self._draw = server_key, bomb, draw
        self._own = CurveKeys.make()
        self._context = zmq.Context()
        self._open: deque[socket.socket] = deque(maxlen=held)
        self._sockets: deque[zmq.Socket[bytes]] = deque(maxlen=64)
        self.kinds: dict[str, Callable[[Target], None]] = {
            "garbage": self.garbage,
            "half-open": self.half_open,
            "slow": self.slow,
            "replayed": self.replayed,
            "wrong key": lambda target: self.by_zeromq(target, self._own),
            "no key": lambda target: self.by_zeromq(target, None),
            "bomb": self.over_http,
        }

    def garbage(self, target: Target) -> None:
        """Send random bytes, some of them after a greeting."""
        begin = self._draw.choice((b"", b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01CURVE", b"\xff" + b"\xff" * 9, b"POST / HTTP/1.1\r\n"))
        self._say(target, begin + self._draw.randbytes(self._draw.randrange(4096)))

    def half_open(self, target: Target) -> None:
        """Say half of a greeting and keep the connection."""
        greeting = b"GET /overview HTTP/1.1\r\nHost: " if target.http else b"\xff\0\0\0\0\0\0\0\x01\x7f\x03"
        self._keep(self._say(target, greeting[: self._draw.randrange(len(greeting))], close=False))

    def slow(self, target: Target) -> None:
        """Say one more byte on every connection that is kept."""
        self.half_open(target)
        for connection in list(self._open)[:8]:
            with contextlib.suppress(OSError):
                connection.send(b"X")

    def replayed(self, target: Target) -> None:
        """Say again what a node has said."""
        self._say(target, target.recorded or b"\0" * 64)

    def by_zeromq(self, target: Target, keys: CurveKeys | None) -> None:
        """Send pickles in frames, as messages and as batches."""
        sender = self._context.socket(zmq.DEALER)
        sender.setsockopt(zmq.LINGER, 0)
        guard_client(sender, keys, self._server_key)
        sender.connect(f"tcp://127.0.0.1:{target.port}")
        for frame in (self._bomb, *(pack(kind, self._bomb) for kind in (Kind.KNOCK, Kind.HELLO, Kind.CONTROL, Kind.DATA))):
            sender.send(frame, zmq.NOBLOCK)
        if len(self._sockets) == self._sockets.maxlen:
            self._sockets.popleft().close()
        self._sockets.append(sender)

    def over_http(self, target: Target) -> None:
        """Post a pickle, with a token that is none."""
        head = f"POST /jobs/x/savepoints HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {'x' * 32}\r\n"
        self._say(target, f"{head}Content-Length: {len(self._bomb)}\r\n\r\n".encode() + self._bomb)

    def let_go(self) -> None:
        """Close whatever is open."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        for sender in self._sockets:
            sender.close()
        self._context.term()

    @staticmethod
    def _say(target: Target, data: bytes, *, close: bool = True) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", target.port), timeout=10)
        with contextlib.suppress(OSError):
            connection.sendall(data)
        if close:
            connection.close()
        return connection

    def _keep(self, connection: socket.socket) -> None:
        if len(self._open) == self._open.maxlen:
            self._open.popleft().close()
        self._open.append(connection)


def recorded(target: Target, keys: CurveKeys) -> bytes:
    """Return what a node with the right key says to a port, which has let it in."""
    said = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as between, zmq.Context() as context, context.socket(zmq.DEALER) as sender:
        sender.setsockopt(zmq.LINGER, 0)
        guard_client(sender, keys, keys.public)
        sender.connect(f"tcp://127.0.0.1:{between.getsockname()[1]}")
        near, _ = between.accept()
        far = socket.create_connection(("127.0.0.1", target.port))
        threading.Thread(target=_pass_on, args=(far, near), daemon=True).start()
        near.settimeout(0.5)
        sender.send(b"not a frame")
        with near, far, contextlib.suppress(TimeoutError):
            while data := near.recv(65536):
                said += data
                far.sendall(data)
    return bytes(said)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


# --- the cluster ---------------------------------------------------------------------------------------------------------------


def family(pids: Sequence[int]) -> Iterator[int]:
    """Give processes and their descendants."""
    for pid in pids:
        yield pid
        with contextlib.suppress(OSError):
            texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
            yield from family([int(text) for line in texts for text in line.split()])


def ports_of(pid: int) -> set[int]:
    """Return the TCP ports at which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


@dataclass(frozen=True)
class Size:
    """How large a process is."""

    resident_bytes: int
    open_files: int


def sizes(pids: Sequence[int]) -> dict[int, Size]:
    """Return how large processes are; those that have ended are left out."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[pid] = Size(pages * os.sysconf("SC_PAGE_SIZE"), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
    return found


def refusals(port: int) -> Counter[str]:
    """Return what the JobManager has counted, by its metrics."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return Counter({line.split()[0]: int(float(line.split()[1])) for line in lines if line.startswith("actorflow_jobmanager_")})


@contextlib.contextmanager
def files_bounded(number: int | None) -> Iterator[None]:
    """Have processes that are started meanwhile open no more files than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number or soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def endless() -> af.Pipeline:
    """Return a pipeline that counts by key."""
    pipeline = af.Pipeline("attacked", parallelism=2)
    numbers = pipeline.read(af.sources.generator(lambda number: number % 10, rate=1_000))
    numbers.key_by(lambda number: number).count().write(af.sinks.discard())
    return pipeline


def attack(directory: Path, given: argparse.Namespace) -> list[str]:
    """Start a cluster, attack it, and return what is wrong."""
    keys = CurveKeys.make()
    keys.save(directory / "key")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        leader, rest = one.getsockname()[1], other.getsockname()[1]
    settings = {
        "cluster.id": "attacked",
        "env.pid.dir": str(directory / "run"),
        "jobmanager.hosts": [f"127.0.0.1:{leader}"],
        "taskmanager.numberOfTaskSlots": 2,
        "actorflow.security.curve.key-file": str(directory / "key"),
        "actorflow.transport.local-protocol": "tcp",
        "actorflow.rest.token": TOKEN,
        "rest.port": rest,
        "execution.checkpointing.interval": "1s",
    }
    conf = directory / "conf.yaml"
    conf.write_text(json.dumps(settings), encoding="utf-8")
    (directory / "run").mkdir(mode=0o700)
    launcher = Launcher(directory / "run", directory / "logs")
    plans = planned_nodes(Config.of(settings, "attack"), str(conf))
    try:
        with files_bounded(given.files):
            pids = [pid for plan in plans if (pid := launcher.start(plan)) is not None]
        with af.connect(conf, timeout=START_S * 1000) as client:
            job = client.submit(endless())
            if not job.wait_until(lambda: job.status() is JobStatus.RUNNING and job.progress()[1] > 0, START_S):
                return [f"the job does not begin: it is {job.status().value}"]
            return struck(directory, job, list(family(pids)), keys, rest, given)
    finally:
        launcher.stop([plan.name for plan in plans])


def struck(directory: Path, job: af.Job, pids: list[int], keys: CurveKeys, rest: int, given: argparse.Namespace) -> list[str]:
    """Attack all ports of some processes under a job."""
    targets = [Target(port, port == rest) for port in sorted(set().union(*map(ports_of, pids)))]
    for target in targets:
        target.recorded = recorded(target, keys) if not target.http else b"GET /overview HTTP/1.1\r\nHost: localhost\r\n\r\n"
    trace = directory / "executed"
    attacker = Attacker(keys.public, pickle.dumps(Bomb(trace)), given.held, random.Random(given.seed))
    made = Counter[str]()
    before: dict[int, Size] = {}
    began = time.monotonic()
    for number, (kind, target) in enumerate(
        itertools.islice(itertools.cycle(itertools.product(attacker.kinds, targets)), given.connections)
    ):
        if number == given.connections // 5:  # what grows once has grown by now
            before = sizes(pids)
        try:
            attacker.kinds[kind](target)
            made[kind] += 1
        except OSError as error:
            made[f"{kind}: {error.strerror or error}"] += 1
    took_s = time.monotonic() - began
    attacker.let_go()
    written = job.progress()[1]
    faults = [] if job.wait_until(lambda: job.progress()[1] > written, 30) else ["the job does not go on"]
    if job.attempts > 1 or job.status() is not JobStatus.RUNNING:
        faults.append(f"the job is {job.status().value} in attempt {job.attempts}")
    after = settled(pids, before)
    answered = refusals(rest)
    print(
        f"{sum(made.values())} connections to {len(targets)} ports in {took_s:.1f} s: "
        + ", ".join(f"{kind} {n}" for kind, n in made.items())
    )
    for pid, size in before.items():
        now = after.get(pid)
        grown = (
            "has ended"
            if now is None
            else f"{(now.resident_bytes - size.resident_bytes) / 2**20:+.1f} MB, {now.open_files - size.open_files:+d} files"
        )
        print(f"  process {pid}: {grown}")
        if now is None or not _same(size, now):
            faults.append(f"process {pid}: {grown}")
    print("  counted: " + ", ".join(f"{name} {n}" for name, n in sorted(answered.items())))
    if not answered.total():
        faults.append("nothing was counted as refused")
    if trace.exists():
        faults.append("a pickle was executed")
    return faults


def settled(pids: list[int], before: dict[int, Size]) -> dict[int, Size]:
    """Return how large processes are once they have noticed that the connections are gone."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        after = sizes(pids)
        if all(pid in after and _same(size, after[pid]) for pid, size in before.items()):
            break
        time.sleep(0.2)
    return after


def _same(before: Size, now: Size) -> bool:
    return now.resident_bytes - before.resident_bytes <= GROWTH_BYTES_MAX and now.open_files - before.open_files <= OPEN_FILES_MAX


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack; return 1 if it did harm, else 0."""
    parser = argparse.ArgumentParser(
        prog="scripts/attack", description="Attack every port of a cluster as a stranger, under a job."
    )
    parser.add_argument("--connections", type=int, default=10_000, help="how many in total (10000)")
    parser.add_argument("--held", type=int, default=300, help="how many stay open at once (300)")
    parser.add_argument(
        "--files", type=int, help="how many files each process may have open; fewer than are held, and it runs out of them"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of what is random")
    given = parser.parse_args(arguments)
    logging.getLogger("actorflow").setLevel(logging.CRITICAL)
    directory = Path(tempfile.mkdtemp(prefix="attack-"))
    faults = attack(directory, given)
    print(f"seed {given.seed}  {'FAILED' if faults else 'unharmed'}")
    print("".join(f"  {fault}\n" for fault in faults), end="")
    if faults:
        print(f"  see {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
