"""Blocking exchanges: lanes that end in a file, and channels that are read from the files of an earlier stage.

    lane ──frames──► partition file, whole when the producer ends            partition file ──as credit allows──► input gate

To the producer it is a link that always has room; to the consumer it is a producer that sends what it is granted credit for. So exchanges, gates
and feeds are those of pipelined channels, and what is read goes through the same decoding as what comes from another node (see `partition_reading`).

The files of a subtask are `<directory of the job>/partitions/<deployment>-<vertex>-<subtask>.<edge>`. Where they are goes to the JobMaster when
it has finished, and from there to their readers. They go with the job's directory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from actorflow.ids import NodeId, SubtaskId
from actorflow.plan.execution import Channel, ExecutionEdge, ExecutionGraph
from actorflow.plan.graph import Partitioning
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.protocol.transfer.partitions import PartitionsAt
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.channels.lanes import Lane
from actorflow.runtime.channels.links import RemoteLink, received
from actorflow.runtime.channels.partition_reading import FarPartitions, NearReading, PartitionInput, Reading
from actorflow.storage.partition_file import PartitionReader, PartitionWriter
from actorflow.transport.addresses import on_this_host
from actorflow.wire.batch import Element, EndOfInput
from actorflow.wire.frame import Frame, Kind, pack

PARTITIONS: Final = "partitions"
"""The directory in that of a job."""

_NOWHERE: Final = NodeId("")
_ALWAYS_ROOM: Final = 1 << 62


class PartitionOutput:
    """Writes what an exchange gives (`links.FrameSender`).

    Args:
        writer: the file.
        channels: of the exchange, to its readers.
    """

    def __init__(self, writer: PartitionWriter, channels: Sequence[Channel]) -> None:
        self._writer = writer
        self._reader = {int(channel.id): channel.consumer.index for channel in channels}
        self._open = len(channels)

    def send_data(
        self,
        node: NodeId,  # noqa: ARG002 - who reads it will be known later
        *,
        deployment: int,
        channel: int,
        kind: Kind,
        sequence: int,
        backlog: int,  # noqa: ARG002 - nobody waits
        flags: int,
        codec: int,
        payload: bytes | memoryview,
    ) -> None:
        """Add a frame."""
        frame = pack(kind, payload, flags=flags, codec=codec, deployment=deployment, channel=channel, sequence=sequence)
        self._writer.add(self._reader[channel], frame)

    def lane_ended(self) -> None:
        """Note that a lane has ended; with the last one the file is whole."""
        self._open -= 1
        if not self._open:
            self._writer.finish()

    def close(self) -> None:
        """Remove the file, unless it is whole."""
        self._writer.close()


class PartitionLink:
    """From a lane to its part of a partition file.

    Args:
        output: the file.
        frames: encodes what is sent.
    """

    __slots__ = ("_frames", "_output")

    def __init__(self, output: PartitionOutput, frames: RemoteLink) -> None:
        self._output = output
        self._frames = frames

    def send(self, element: Element, backlog: int) -> int:
        """Write one element; return the size of its payload, or `TOO_LARGE`."""
        size = self._frames.send(element, backlog)
        if isinstance(element, EndOfInput):
            self._output.lane_ended()
        return size


class Partitions:
    """The blocking exchanges of one deployment on one worker.

    Args:
        graph: of the job.
        number: of the deployment.
        directory: of the job on this host.
        served: by whom what is written there is read to other hosts, if there are any.
        far: reads from them; None where there are none.
        payload_bytes_max: larger batches are cut, where they can be.
    """

    def __init__(
        self,
        graph: ExecutionGraph,
        number: int,
        directory: Path | None,
        served: PartitionsAt,
        far: FarPartitions | None,
        payload_bytes_max: int,
    ) -> None:
        self._graph = graph
        self._number = number
        self._directory = directory
        self._served = served
        self._far = far
        self._payload_bytes_max = payload_bytes_max
        self._vertices = {vertex.id: place for place, vertex in enumerate(graph.vertices)}

    def written_by(self, subtask: SubtaskId) -> PartitionsAt:
        """Return where a subtask writes its partitions."""
        return self._served.replaced(location=str(self._location(subtask)))

    def _location(self, subtask: SubtaskId) -> Path:
        assert self._directory is not None, "a job with stages has a directory on every host"
        return self._directory / PARTITIONS / f"{self._number}-{self._vertices[subtask.vertex]}-{subtask.index}"

    def output(self, subtask: SubtaskId, edge: ExecutionEdge, batch_records_max: int) -> tuple[PartitionOutput, list[Lane]]:
        """Return the file of an outgoing exchange of a subtask, and the lanes that lead there, which always have room."""
        channels = self._graph.channels_of(edge, subtask)
        if edge.partitioner.kind is Partitioning.BROADCAST:
            channels = channels[:1]  # all read the same
        names = f"the output of '{self._graph.vertex(edge.source).name}'"
        writer = PartitionWriter(_file(self._location(subtask), edge), self._graph.vertex(edge.target).parallelism, names)
        output = PartitionOutput(writer, channels)
        lanes = []
        for channel in channels:
            frames = RemoteLink(
                output, _NOWHERE, self._number, channel.id, compressed=True, payload_bytes_max=self._payload_bytes_max
            )
            link = PartitionLink(output, frames)
            lane = Lane(channel.id, link, batch_records_max=batch_records_max, waiting_max=1, overdraft_max=0)
            lane.granted(_ALWAYS_ROOM, batch_records_max)
            lanes.append(lane)
        return output, lanes

    def gate(
        self,
        channels: Sequence[Channel],
        ledger: ReceiverLedger,
        wake: Callable[[], None],
        receiver: Callable[[InputGate, int], Callable[[Frame], None]],
    ) -> tuple[InputGate, tuple[PartitionInput, ...]]:
        """Return the gate of a subtask with these channels, and what fills it from partitions.

        Args:
            channels: see above.
            ledger: of the gate.
            wake: see `InputGate`.
            receiver: returns what gives frames to a channel of a gate that come from another host.
        """
        inputs = tuple(PartitionInput(channel.producer) for channel in channels)
        ends = [
            InputChannel(channel.id, self._graph.edges[channel.edge].port, source.granted)
            for channel, source in zip(channels, inputs, strict=True)
        ]
        gate = InputGate(ends, ledger, wake)
        for index, (channel, source) in enumerate(zip(channels, inputs, strict=True)):
            source.begins = self._beginning(channel, gate, index, receiver(gate, index))
        gate.closing = tuple(source.close for source in inputs)
        return gate, inputs

    def _beginning(
        self, channel: Channel, gate: InputGate, index: int, receive: Callable[[Frame], None]
    ) -> Callable[[PartitionsAt], Reading]:
        edge = self._graph.edges[channel.edge]
        reader = 0 if edge.partitioner.kind is Partitioning.BROADCAST else channel.consumer.index

        def begin(at: PartitionsAt) -> Reading:
            path = _file(Path(at.location), edge)
            if self._far is not None and not on_this_host(at.endpoints):
                return self._far.begin(channel, path.name, reader, at, receive)
            file = PartitionReader(path, reader, str(channel.producer), self._payload_bytes_max)
            return NearReading(file, lambda frame: gate.push(index, received(frame), 0))

        return begin


def _file(location: Path, edge: ExecutionEdge) -> Path:
    return location.with_name(f"{location.name}.{edge.index}")
