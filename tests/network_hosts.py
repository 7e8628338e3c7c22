"""Hosts for tests: network namespaces on one bridge, between which single links can be cut, healed and made bad.

Each host has an address, processes of its own, and a directory of its own at one path that all share: what a process makes there, as socket files,
exists on its host only. All other files are those of this machine, as on hosts with a shared file system.

A link is cut in silence, as by a broken switch: what is sent over it goes to a card that nobody has. Needs root and the right to make namespaces.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
NOBODY = "02:00:00:00:00:fe"
"""A network card that no host has."""

MOUNTED = 'mount -t tmpfs private "$TMPDIR" && exec "$@"'


def ip(*arguments, check=True):
    return subprocess.run(["ip", *map(str, arguments)], check=check, capture_output=True, text=True)


@functools.cache
def missing():
    """Return what is missing to make hosts on this machine, or None."""
    if not sys.platform.startswith("linux") or shutil.which("ip") is None:
        return "no network namespaces: there is no `ip` (Debian: apt-get install iproute2)"
    name = f"af{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        try:
            ip("-n", name, "link", "add", "bridge", "type", "bridge")
            ip("-n", name, "link", "add", "card", "type", "veth", "peer", "name", "port")
            subprocess.run(["ip", "netns", "exec", name, "mount", "-t", "tmpfs", "try", "/mnt"], check=True, capture_output=True)
        finally:
            ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        said = (error.stderr if isinstance(error.stderr, str) else error.stderr.decode()).strip()
        return f"no network namespaces: this user or container may not make them ({said})"
    return None


class Host:
    """One host; its processes end with it."""

    def __init__(self, space, number, private):
        self.space, self.address, self._private = space, f"10.77.0.{number}", private
        self._processes = []

    def prefix(self):
        """Return what a command begins with that runs on this host."""
        return ["ip", "netns", "exec", self.space, "env", f"TMPDIR={self._private}", "sh", "-c", MOUNTED, "sh"]

    def run(self, command, log, **environment):
        """Start a process, with its output in a file."""
        command = [*self.prefix(), *map(str, command)]
        with Path(log).open("ab") as output:
            process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
        self._processes.append(process)
        return process

    @contextmanager
    def inside(self):
        """Have this thread, and those that it starts, connect from this host."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{self.space}").open() as space:
            assert 0 == libc.setns(space.fileno(), CLONE_NEWNET), os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert 0 == libc.setns(home.fileno(), CLONE_NEWNET), os.strerror(ctypes.get_errno())

    def stop(self):
        """Tell its processes to end, and wait until they have."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)

    def end(self):
        """Kill its processes."""
        for process in self._processes:
            process.kill()
            process.wait()


class Network:
    """Hosts on one bridge."""

    def __init__(self):
        self._mark = f"af{os.getpid()}"
        self._private = Path(tempfile.mkdtemp(prefix="af-host-"))
        self._switch = f"{self._mark}-switch"
        self._hosts = []
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")

    def host(self, name):
        """Make a host."""
        host = Host(f"{self._mark}-{name}", len(self._hosts) + 1, self._private)
        self._hosts.append(host)
        ip("netns", "add", host.space)
        port = f"port{len(self._hosts)}"
        ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "card", "netns", host.space)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        for card in ("lo", "card"):
            ip("-n", host.space, "link", "set", card, "up")
        ip("-n", host.space, "address", "add", f"{host.address}/24", "dev", "card")
        return host

    def cut(self, one, *others):
        """Have nothing that a host and others send each other arrive."""
        for other in others:
            for here, there in ((one, other), (other, one)):
                ip("-n", here.space, "neigh", "replace", there.address, "lladdr", NOBODY, "dev", "card", "nud", "permanent")

    def heal(self):
        """Undo all cuts, and all that is bad about links."""
        for host in self._hosts:
            ip("-n", host.space, "neigh", "flush", "dev", "card", "nud", "permanent")
            with suppress(subprocess.CalledProcessError):
                self._discipline(host, "del")

    def delay_and_lose(self, host):
        """Delay and lose some of what a host sends: at random, or, where this kernel cannot, because its link is narrow and its buffer small."""
        try:
            self._discipline(host, "add", "netem", "delay", "20ms", "10ms", "loss", "2%")
        except subprocess.CalledProcessError:
            self._discipline(host, "add", "tbf", "rate", "400kbit", "burst", "2kb", "latency", "5ms")

    @staticmethod
    def _discipline(host, verb, *what):
        command = ["tc", "-n", host.space, "qdisc", verb, "dev", "card", "root", *what]
        subprocess.run(command, check=True, capture_output=True)

    def stop(self):
        """Have all hosts shut down in good order."""
        for host in self._hosts:
            host.stop()

    def close(self):
        """End all hosts."""
        for host in self._hosts:
            host.end()
            ip("netns", "del", host.space, check=False)
        ip("netns", "del", self._switch, check=False)
        shutil.rmtree(self._private)
