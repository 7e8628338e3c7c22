"""A real ZooKeeper server for tests: Debian's package, run as one Java process on a free port with a directory of its own."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from shutil import which

JAR = Path("/usr/share/java/zookeeper.jar")
TICK_MS = 100
"""Sessions are as short as twice this, so that tests need not wait for them to end."""

FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto", "-Xmx96m", "-Xss512k")
"""A JVM that starts quickly and stays small."""


def missing():
    """Return what is missing on this machine, or None."""
    if which("java") is None or not JAR.exists():
        return "no ZooKeeper server on this machine (Debian: apt-get install zookeeper)"
    try:
        import kazoo  # noqa: F401
    except ImportError:
        return "no kazoo in this environment (scripts/install test)"
    return None


def _free_port():
    """Return a port on which nobody listens, and that no connection takes for its own end.

    Who connects again and again to a port of the ephemeral range while nobody listens there is connected to itself at some time, and the server
    cannot have the port any more.
    """
    for port in random.Random(os.getpid()).sample(range(15_000, 30_000), 100):
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class ZooKeeperServer:
    """One server, which can be stopped for a while, killed, and started again with what it knew.

    Args:
        directory: where it keeps that.
        address: where it listens.
        prefix: what the command begins with that runs it, if it is to run on another host.
    """

    def __init__(self, directory, address="127.0.0.1", prefix=()):
        self._directory = directory
        self._prefix = prefix
        self.port = _free_port()
        self.quorum = f"{address}:{self.port}"
        self._process = None
        settings = {
            "dataDir": directory / "data",
            "clientPort": self.port,
            "clientPortAddress": address,
            "tickTime": TICK_MS,
            "minSessionTimeout": 2 * TICK_MS,
            "maxSessionTimeout": 60_000,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
        }
        (directory / "zoo.cfg").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def start(self):
        """Start the process unless it runs; who connects finds it as soon as it listens."""
        if self._process is not None and self._process.poll() is None:
            return self
        command = [*self._prefix, "java", *FLAGS, "-Dzookeeper.forceSync=no", "-cp", str(JAR)]
        main = ["org.apache.zookeeper.server.ZooKeeperServerMain", str(self._directory / "zoo.cfg")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *main], stdout=log, stderr=log)
        return self

    def kill(self):
        """End the process without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def forget(self):
        """Lose everything, while it does not run."""
        shutil.rmtree(self._directory / "data")

    def stand_still(self):
        """Stop the process in its tracks."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self):
        """Let it run again."""
        os.kill(self._process.pid, signal.SIGCONT)
