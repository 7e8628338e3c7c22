"""Who has written what into ZooKeeper, by the transaction log of the server itself: whether ever two leaders have acted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zookeeper_server import JAR


@dataclass
class History:
    """Who wrote what, by the transaction log of ZooKeeper.

    Attributes:
        epochs: how many were granted.
        writes: how many transactions of leaders there were.
        faults: what should not be there.
    """

    epochs: int = 0
    writes: int = 0
    faults: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, directory: Path) -> History:
        """Read the log of a server that has ended."""
        history, leading = cls(), ""
        for session, operations in transactions(directory):
            raised = re.search(r"setData:[^;]*/epoch\W+(\d+)", operations)
            if raised is not None:
                history.epochs += 1
                leading = session
                if int(raised[1]) != history.epochs:
                    history.faults.append(f"epoch {raised[1]} comes after {history.epochs - 1}")
            elif re.search(r"/(jobs|checkpoints|results|leader)\b", operations):
                history.writes += 1
                if session != leading:
                    history.faults.append(
                        f"session {session} writes in epoch {history.epochs}, which is of {leading}: {operations[:200]!r}"
                    )
        return history


def transactions(directory: Path) -> Iterator[tuple[str, str]]:
    """Give the session and the operations of each transaction that has happened, in their order."""
    for file in sorted(directory.rglob("log.*"), key=lambda file: int(file.suffix[1:], 16)):
        toolkit = "org.apache.zookeeper.server.persistence.TxnLogToolkit"
        printed = subprocess.run(["java", "-cp", str(JAR), toolkit, "-d", str(file)], capture_output=True, check=True).stdout
        entries = re.split(r"^(?=\S+, \S+ \S+ \S+ session 0x)", printed.decode(errors="replace"), flags=re.MULTILINE)
        for entry in entries:
            found = re.search(r"session (0x\w+) .*? multi (.*)", entry, re.DOTALL)
            if found is not None and "error:" not in found[2]:
                yield found[1], found[2]
