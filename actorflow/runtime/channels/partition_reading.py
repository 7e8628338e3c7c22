"""Channels that are read from what an earlier stage has written: from the file, where it is on this host, else through its TaskManager's server.

To the gate either is a producer that sends what it has credit for. What fails is the reader, on its own thread: a partition that is gone or damaged,
or whose host is lost, has to be written again (`PartitionLost`); one to which the connection broke is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol, assert_never

from actorflow.actor import ActorContext
from actorflow.errors import PartitionLost, TransportError
from actorflow.ids import Address, JobId, SubtaskId, split_address
from actorflow.plan.execution import Channel
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.transfer.partitions import (
    GrantFrames,
    PartitionsAt,
    PartitionStream,
    PartitionUnreadable,
    ReadPartition,
    StopReading,
)
from actorflow.runtime.channels.links import DataPlane, received
from actorflow.storage.partition_file import PartitionReader
from actorflow.wire.batch import EndOfInput
from actorflow.wire.frame import Frame, Kind
from actorflow.wire.message import Message

PartitionNews = PartitionUnreadable | NodeLost | LinkBroken
"""What a reader may have to fail with."""


class Reading(Protocol):
    """Where a channel gets its frames from."""

    def granted(self, credit: int) -> None:
        """Have as many batches given as there is room for, and what lies between them."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class NearReading:
    """Reads a file.

    Args:
        reader: of the file.
        take: gets the frames.
    """

    def __init__(self, reader: PartitionReader, take: Callable[[Frame], None]) -> None:
        self._reader = reader
        self._take = take
        self._credit = 0
        self._giving = False

    def granted(self, credit: int) -> None:
        """Give what that allows.

        Raises:
            PartitionLost: if the partition is gone, or damaged.
        """
        self._credit += credit
        if self._giving:
            return  # the gate grants more while it is given something
        self._giving = True
        while self._credit:
            frame = next(self._reader, None)
            if frame is None:
                self._credit = 0
                break
            self._credit -= frame.kind is Kind.DATA
            self._take(frame)
        self._giving = False

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


@dataclass(frozen=True, slots=True)
class FarPartitions:
    """How one deployment on a worker reads from other hosts.

    Attributes:
        context: of the worker, which is told what cannot be read.
        plane: brings the frames.
        job: whose partitions they are.
        number: of the deployment.
    """

    context: ActorContext
    plane: DataPlane
    job: JobId
    number: int

    def begin(self, channel: Channel, file: str, reader: int, at: PartitionsAt, take: Callable[[Frame], None]) -> FarReading:
        """Begin to read what a channel reads.

        Args:
            channel: which.
            file: name of its partition's file.
            reader: which of the readers of the file it is.
            at: where that is.
            take: gets the frames, on the node's dispatcher thread.
        """
        stream = PartitionStream(self.context.address, self.number, channel.id)
        reading = FarReading(stream, at, channel.producer, take, self.context.system.send)
        self.plane.learn(split_address(at.server)[0], at.endpoints)
        self.plane.register_input(self.number, channel.id, reading.arrived)
        self.context.system.send(at.server, ReadPartition(stream, self.job, file, reader, str(channel.producer)))
        return reading


class FarReading:
    """Reads what a server sends. Its channels are forgotten with those of its deployment.

    Args:
        stream: its name there.
        at: where that is.
        producer: who has written it.
        take: gets the frames.
        send: sends a message to an address.
    """

    def __init__(
        self,
        stream: PartitionStream,
        at: PartitionsAt,
        producer: SubtaskId,
        take: Callable[[Frame], None],
        send: Callable[[Address, Message], None],
    ) -> None:
        self._stream = stream
        self._at = at
        self._node = split_address(at.server)[0]
        self._producer = producer
        self._take = take
        self._send = send
        self._over = False

    def granted(self, credit: int) -> None:
        """Let the server send so many batches more."""
        self._send(self._at.server, GrantFrames(self._stream, credit))

    def arrived(self, frame: Frame) -> None:
        """Take a frame."""
        self._over = frame.kind is Kind.EVENT and isinstance(received(frame), EndOfInput)
        self._take(frame)

    def concerns(self, news: PartitionNews) -> bool:
        """Return whether something is missing because of that."""
        if self._over:
            return False
        if isinstance(news, PartitionUnreadable):
            return news.stream == self._stream
        return news.node == self._node

    def fail(self, news: PartitionNews) -> NoReturn:
        """Fail with what concerns it.

        Raises:
            PartitionLost: if what it reads is lost.
            TransportError: if only the connection to it is.
        """
        match news:
            case PartitionUnreadable(reason=reason, lost_with=lost_with):
                raise PartitionLost(f"{reason} (on {self._node})", producer=str(self._producer), lost_with=lost_with)
            case NodeLost(reason=reason):
                subject = f"cannot read what {self._producer} has written"
                raise PartitionLost(
                    f"{subject}: {self._node} is lost: {reason}", producer=str(self._producer), lost_with=self._node
                )
            case LinkBroken():
                raise TransportError(
                    f"the connection to {self._node} broke, from which what {self._producer} has written is read",
                    hint="'restart-strategy.type' says whether a job tries again",
                )
            case _:
                assert_never(news)

    def close(self) -> None:
        """Have the server stop, unless all has come."""
        if not self._over:
            self._over = True
            self._send(self._at.server, StopReading(self._stream))


class PartitionInput:
    """Gives a channel of a gate what its partition holds, as far as there is credit.

    Args:
        producer: who has written it.

    Attributes:
        producer: see above.
        begins: begins to read, given where its producer's are.
    """

    def __init__(self, producer: SubtaskId) -> None:
        self.producer = producer
        self.begins: Callable[[PartitionsAt], Reading]
        self._reading: Reading | None = None

    def read(self, at: PartitionsAt) -> None:
        """Learn where its producer's partitions are. They are read when there is credit."""
        self._reading = self.begins(at)

    def granted(self, credit: int, records_max: int) -> None:  # noqa: ARG002 - batches have the size that they were written with
        """Take credit.

        Raises:
            PartitionLost: if the partition is gone, or damaged.
        """
        assert self._reading is not None, "a stage begins when it knows what it reads"
        self._reading.granted(credit)

    def failing(self, news: PartitionNews) -> Callable[[], NoReturn] | None:
        """Return what is to be done on the reader's thread because of such news; None if it needs nothing that is lost."""
        reading = self._reading
        return (lambda: reading.fail(news)) if isinstance(reading, FarReading) and reading.concerns(news) else None

    def close(self) -> None:
        """Let go of what it reads."""
        if self._reading is not None:
            self._reading.close()
