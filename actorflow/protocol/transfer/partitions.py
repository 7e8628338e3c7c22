"""How a subtask reads from another host what an earlier stage has written there: the messages between its worker and that host's TaskManager.

    reader ──ReadPartition──► server ──frames of the channel, for as much credit as was granted──► reader
           ──GrantFrames────►        ──PartitionUnreadable: gone, or damaged────────────────────►
           ──StopReading────►

None is sent again. Those that get lost do so with a connection, and both ends hear of that: the server forgets the reader, and the reader fails, so
that its region reads from the start.

Late rule: what is said of a stream that was never begun, or has ended, is dropped. Numbers of deployments rise, so a stream is never begun again.
"""

from __future__ import annotations

from actorflow.ids import Address, JobId
from actorflow.wire.message import Message


class PartitionsAt(Message, frozen=True):
    """Where the partitions are that a subtask has written.

    Attributes:
        location: on its host: the path of its files, without the number of an edge.
        server: who reads them to other hosts; nothing where there are none.
        endpoints: where the server's node can be reached.
    """

    location: str = ""
    server: Address = Address("")
    endpoints: tuple[str, ...] = ()


class PartitionStream(Message, frozen=True):
    """Names what one channel reads.

    Attributes:
        reader: the worker of the consumer; gets the frames, and is told what cannot be read.
        deployment: of the consumer.
        channel: number of the channel.
    """

    reader: Address
    deployment: int
    channel: int


class ReadPartition(Message, frozen=True):
    """To the server: begin a stream.

    Attributes:
        stream: its name.
        job: whose partition it is.
        file: name of the file.
        reader: which of the readers of the file this is.
        producer: the subtask that has written it, for errors.
    """

    stream: PartitionStream
    job: JobId
    file: str
    reader: int
    producer: str


class GrantFrames(Message, frozen=True):
    """To the server: the reader has room for so many more batches."""

    stream: PartitionStream
    credit: int


class StopReading(Message, frozen=True):
    """To the server: the reader wants no more."""

    stream: PartitionStream


class PartitionUnreadable(Message, frozen=True):
    """To the reader: the stream has ended before its end, because its partition is gone, or damaged.

    Attributes:
        stream: its name.
        reason: why.
        lost_with: the node or directory of which all is gone, if it is.
    """

    stream: PartitionStream
    reason: str
    lost_with: str = ""


PARTITION_MESSAGES: tuple[type[Message], ...] = (ReadPartition, GrantFrames, StopReading, PartitionUnreadable)
"""The messages of this file that are sent as such."""
