"""Apache Flink as a peer: finds the jars of PyPI's `apache-flink`, compiles the Java job beside this file, runs it in a local JVM.

Only `apache-flink-libraries` (the jars) is needed, and a JDK: `pip install --no-deps apache-flink-libraries`.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED = ("java.lang", "java.util", "java.util.concurrent", "java.nio", "java.net", "java.time")
"""Packages of the Java runtime that Flink reaches into by reflection."""


def missing() -> str:
    """Return what keeps Flink from running here, or an empty text."""
    if shutil.which("javac") is None:
        return "no Java compiler (install a JDK, 17 or later)"
    if not _jars():
        return "not installed (pip install --no-deps apache-flink-libraries)"
    return ""


def version() -> str:
    """Return the version in the name of the Flink jar."""
    return next(jar.stem.removeprefix("flink-dist-") for jar in _jars() if jar.name.startswith("flink-dist-"))


@contextmanager
def compiled(job: str) -> Iterator[Callable[..., float]]:
    """Compile `<job>.java` of this directory; give a function that runs it with arguments and returns the seconds it printed."""
    with tempfile.TemporaryDirectory() as classes:
        path = ":".join([classes, *map(str, _jars())])
        subprocess.run(["javac", "-nowarn", "-d", classes, "-cp", path, Path(__file__).with_name(f"{job}.java")], check=True)
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]

        def run(*arguments: str) -> float:
            command = ["java", "-Xmx2g", *opened, "-cp", path, job, *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            return float(done.stdout.split()[-1])

        yield run


def _jars() -> list[Path]:
    package = importlib.util.find_spec("pyflink")
    places = package.submodule_search_locations if package and package.submodule_search_locations else []
    return sorted(jar for place in places for jar in (Path(place) / "lib").glob("*.jar"))
