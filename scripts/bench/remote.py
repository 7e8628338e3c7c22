"""Two nodes in two processes: tell + reply, frames of a channel, and a heartbeat's way past a blob.

The floor of each table is bare ZeroMQ between the same processes: one message there and back, or frames of the same size with the same window.
"""

from __future__ import annotations

import multiprocessing as mp
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import zmq
from harness import Benchmark, Target

from actorflow.actor.actor import Actor
from actorflow.actor.messages import MESSAGES
from actorflow.actor.system import ActorSystem
from actorflow.clock import SystemClock
from actorflow.ids import NodeId
from actorflow.transport.endpoint import Endpoint
from actorflow.wire.frame import Kind
from actorflow.wire.message import Message, MessageCodec

FRAME_BYTES = 32 << 10
WINDOW = 64
CREDIT_STEP = 8
BLOB_BYTES = 64 << 20
DEADLINE_S = 120.0


class Ping(Message, frozen=True):
    """Goes there and back."""

    number: int
    back: str


class Echo(Actor):
    """Tells each ping back."""

    def on_receive(self, message: Ping) -> None:
        """See the class."""
        self.ctx.system.resolve(message.back).tell(message)


class Pinger(Actor):
    """Sends `count` pings one after the other and adds their round-trip times to `times_us`."""

    def __init__(self, target: str, count: int, times_us: list[float], finished: threading.Event) -> None:
        super().__init__()
        self.target = self.ctx.system.resolve(target)
        self.count, self.times_us, self.finished = count, times_us, finished
        self.sent_at = 0.0

    def on_start(self) -> None:
        """Begin."""
        self.ping()

    def ping(self) -> None:
        """Send one."""
        self.sent_at = time.perf_counter()
        self.target.tell(Ping(len(self.times_us), self.ctx.address))

    def on_receive(self, _message: Ping) -> None:
        """Note the time, and go on until there are enough."""
        self.times_us.append((time.perf_counter() - self.sent_at) * 1e6)
        if len(self.times_us) < self.count:
            self.ping()
        else:
            self.finished.set()


def make_node(name: str, bind: str) -> tuple[ActorSystem, Endpoint]:
    endpoint = Endpoint(NodeId(name), MessageCodec([Ping, *MESSAGES]), bind=[bind], clock=SystemClock())
    system = ActorSystem(NodeId(name), io=endpoint.io)
    system.router = endpoint
    endpoint.attach(system)
    system.start()
    return system, endpoint


def wait(event: threading.Event) -> None:
    if not event.wait(DEADLINE_S):
        raise TimeoutError("the other process does not answer")


# --- the other process ---------------------------------------------------------------------------------------------------


def serve(pipe: Connection, bind: str, bare_bind: str) -> None:
    system, endpoint = make_node("far", bind)
    system.spawn(Echo, name="echo")
    endpoint.receive_blobs(lambda _piece: None)
    taken = 0

    def take(_frame: object) -> None:
        nonlocal taken
        taken += 1
        if taken % CREDIT_STEP == 0:
            endpoint.send_credit(NodeId("near"), 1, 0, CREDIT_STEP, 0)

    endpoint.register_input(1, 0, take)
    context = zmq.Context()
    bare = context.socket(zmq.ROUTER)
    bare.bind(bare_bind)
    pipe.send((endpoint.endpoints, bare.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()))
    threading.Thread(target=answer_bare, args=(bare,), daemon=True).start()
    pipe.recv()
    system.shutdown()


def answer_bare(bare: zmq.Socket[bytes]) -> None:
    taken = 0
    while True:
        identity, payload = bare.recv_multipart()
        taken += 1
        if len(payload) < FRAME_BYTES or taken % CREDIT_STEP == 0:
            bare.send_multipart([identity, payload[:100]])


# --- this process --------------------------------------------------------------------------------------------------------


class Pair:
    """This node, the other process, and a bare socket to it."""

    def __init__(self, bind: str, bare_bind: str, far_bind: str) -> None:
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, far_bind, bare_bind), daemon=True)
        self.process.start()
        endpoints, bare_url = self.pipe.recv()
        self.system, self.endpoint = make_node("near", bind)
        self.endpoint.learn(NodeId("far"), endpoints)
        self.context = zmq.Context()
        self.bare = self.context.socket(zmq.DEALER)
        self.bare.setsockopt(zmq.LINGER, 0)
        self.bare.connect(bare_url)
        self.sequence = 0
        self.credit: Callable[[int], None] = lambda _credit: None
        self.endpoint.register_output(1, 0, lambda credit, _records: self.credit(credit))
        self.runs = 0

    def round_trips_us(self, count: int) -> list[float]:
        """Return the round-trip times of pings between two actors."""
        self.runs += 1
        finished, times = threading.Event(), []
        pinger = self.system.spawn(Pinger, "far/echo", count, times, finished, name=f"pinger-{self.runs}")
        wait(finished)
        pinger.stop()
        return times

    def bare_round_trips_us(self, count: int) -> list[float]:
        """Return the same for bare ZeroMQ."""
        times = []
        for _ in range(count):
            started = time.perf_counter()
            self.bare.send(b"ping, about as long as ours are: 64 bytes of text in one message")
            self.bare.recv()
            times.append((time.perf_counter() - started) * 1e6)
        return times

    def megabytes_per_s(self, frames: int) -> float:
        """Return the throughput of a channel."""
        payload, finished, left, acknowledged = b"x" * FRAME_BYTES, threading.Event(), frames, 0

        def send(count: int) -> None:
            nonlocal left
            for _ in range(min(count, left)):
                left -= 1
                self.sequence += 1
                self.endpoint.send_data(
                    NodeId("far"),
                    deployment=1,
                    channel=0,
                    kind=Kind.DATA,
                    sequence=self.sequence,
                    backlog=0,
                    flags=0,
                    codec=0,
                    payload=payload,
                )

        def credited(count: int) -> None:
            nonlocal acknowledged
            acknowledged += count
            send(count)
            if acknowledged == frames:
                finished.set()

        self.credit = credited
        started = time.perf_counter()
        self.system.call_soon(lambda: send(WINDOW))
        wait(finished)
        return frames * FRAME_BYTES / (time.perf_counter() - started) / 1e6

    def bare_megabytes_per_s(self, frames: int) -> float:
        """Return the same for bare ZeroMQ."""
        payload = b"x" * FRAME_BYTES
        started = time.perf_counter()
        for sent in range(frames):
            if sent >= WINDOW and sent % CREDIT_STEP == 0:
                self.bare.recv()
            self.bare.send(payload)
        for _ in range(WINDOW // CREDIT_STEP):
            self.bare.recv()
        return frames * FRAME_BYTES / (time.perf_counter() - started) / 1e6

    def past_a_blob_us(self) -> list[float]:
        """Return the round-trip times of pings while a blob is under way."""
        sent, times = threading.Event(), []
        self.endpoint.send_blob(NodeId("far"), "blob", b"x" * BLOB_BYTES, lambda _delivered: sent.set())
        while not sent.is_set():
            times += self.round_trips_us(1)
        return times

    def close(self) -> None:
        """End both."""
        self.pipe.send("done")
        self.process.join()
        self.system.shutdown()
        self.bare.close()
        self.context.term()


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def main() -> None:
    bench = Benchmark("remote", __doc__)
    pings, frames = bench.size(5000, quick=500), bench.size(32_000, quick=3200)
    with tempfile.TemporaryDirectory(prefix="af-bench-") as folder:
        where = Path(folder)
        tcp = Pair("tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0")
        ipc = Pair(f"ipc://{where}/near", f"ipc://{where}/bare", f"ipc://{where}/far")
        names = {
            "actorflow tcp": tcp.round_trips_us,
            "actorflow ipc": ipc.round_trips_us,
            "bare zmq tcp": tcp.bare_round_trips_us,
            "bare zmq ipc": ipc.bare_round_trips_us,
        }
        all_times: dict[str, list[list[float]]] = {name: [] for name in names}

        def median_us(name: str) -> float:
            times = names[name](pings)
            all_times[name].append(times)
            return statistics.median(times)

        bench.compare(
            "tell + reply, p50",
            "us",
            {name: lambda name=name: median_us(name) for name in names},
            floor="bare zmq tcp",
            targets=[Target("actorflow tcp", at_most=250)],
        )
        bench.figures(
            "tell + reply, p99 of the best round",
            "us",
            {name: min(percentile(times, 0.99) for times in rounds) for name, rounds in all_times.items()},
            targets=[Target("actorflow tcp", at_most=1000)],
        )
        bench.compare(
            f"frames of {FRAME_BYTES // 1024} kB in a channel",
            "MB/s",
            {
                "actorflow tcp": lambda: tcp.megabytes_per_s(frames),
                "actorflow ipc": lambda: ipc.megabytes_per_s(frames),
                "bare zmq tcp": lambda: tcp.bare_megabytes_per_s(frames),
                "bare zmq ipc": lambda: ipc.bare_megabytes_per_s(frames),
            },
            floor="bare zmq tcp",
        )
        delays = [tcp.past_a_blob_us() for _ in range(bench.rounds)]
        bench.figures(
            "tell + reply while a 64 MB blob is under way, tcp",
            "ms",
            {
                "p50": min(percentile(times, 0.5) for times in delays) / 1e3,
                "worst of a round, median of rounds": statistics.median(max(times) for times in delays) / 1e3,
            },
            targets=[Target("worst of a round, median of rounds", at_most=50)],
        )
        tcp.close()
        ipc.close()
    bench.finish()


if __name__ == "__main__":
    main()
