"""Reads the partitions of a TaskManager to subtasks on other hosts: those on its own read the files.

    /partitions         one for each TaskManager, an actor beside it

A stream is a channel like any other to its reader: frames arrive for which it has granted credit. So the server holds nothing but open files.
It opens what lies in the directories of jobs, under names that stages give; whoever can reach this node can name anything else in vain.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from actorflow.actor import Actor
from actorflow.errors import ActorflowError, PartitionLost
from actorflow.ids import JobId, split_address
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.transfer.partitions import GrantFrames, PartitionStream, PartitionUnreadable, ReadPartition, StopReading
from actorflow.runtime.channels.links import FrameSender
from actorflow.runtime.channels.partitions import PARTITIONS
from actorflow.storage.partition_file import PartitionReader
from actorflow.wire.frame import Kind

_FILE = re.compile(r"\d+-\d+-\d+\.\d+")
_BACKLOG: Final = 8
"""What is said to wait behind each frame: the reader gives its floating buffers to channels behind which something waits, and a file has more."""


class PartitionServer(Actor):
    """Serves the partitions of one TaskManager.

    Args:
        plane: sends the frames.
        directory_of: returns the directory of a job on this host, if it has one.
        payload_bytes_max: of a frame.
    """

    def __init__(self, plane: FrameSender, directory_of: Callable[[JobId], Path | None], payload_bytes_max: int) -> None:
        super().__init__()
        self._plane = plane
        self._directory_of = directory_of
        self._payload_bytes_max = payload_bytes_max
        self._streams: dict[PartitionStream, PartitionReader] = {}

    def on_receive(self, message: object) -> None:
        """Take what a reader asks for, or the loss of one."""
        match message:
            case ReadPartition(stream=stream):
                self._begin(message)
            case GrantFrames(stream=stream, credit=credit) if stream in self._streams:
                self._send(stream, credit)
            case StopReading(stream=stream):
                self._end(stream)
            case NodeLost(node=node) | LinkBroken(node=node):
                for stream in [stream for stream in self._streams if split_address(stream.reader)[0] == node]:
                    self._end(stream)
            case _:
                pass  # a stream that is over, or no message for a server

    def _begin(self, asked: ReadPartition) -> None:
        directory = self._directory_of(asked.job)
        if directory is None or _FILE.fullmatch(asked.file) is None:
            what = f"cannot read what {asked.producer} has written to '{asked.file[:80]}': nothing of job '{asked.job}' is here"
            self._tell(PartitionUnreadable(asked.stream, what, self.ctx.system.node))
            return
        path = directory / PARTITIONS / asked.file
        self._streams[asked.stream] = PartitionReader(path, asked.reader, asked.producer, self._payload_bytes_max)

    def _send(self, stream: PartitionStream, credit: int) -> None:
        node = split_address(stream.reader)[0]
        try:
            while credit > 0:
                frame = next(self._streams[stream], None)
                if frame is None:
                    self._end(stream)
                    return
                credit -= frame.kind is Kind.DATA
                self._plane.send_data(
                    node,
                    deployment=stream.deployment,
                    channel=stream.channel,
                    kind=frame.kind,
                    sequence=frame.sequence,
                    backlog=_BACKLOG,
                    flags=frame.flags,
                    codec=frame.codec,
                    payload=frame.payload,
                )
        except ActorflowError as error:
            self._end(stream)
            self._tell(PartitionUnreadable(stream, error.message, error.lost_with if isinstance(error, PartitionLost) else ""))

    def _tell(self, news: PartitionUnreadable) -> None:
        self.ctx.system.send(news.stream.reader, news)

    def _end(self, stream: PartitionStream) -> None:
        reader = self._streams.pop(stream, None)
        if reader is not None:
            reader.close()

    def on_stop(self) -> None:
        """Close all files."""
        for stream in list(self._streams):
            self._end(stream)

    def observe(self) -> dict[str, object]:
        """Return who reads what."""
        return {"streams": [f"{stream.reader} channel {stream.channel}" for stream in self._streams]}
