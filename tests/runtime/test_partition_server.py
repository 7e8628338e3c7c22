"""Partitions read from another host: whole and in order, no more than there is room for; what is gone, damaged or nobody's to read is said."""

import pytest

from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.errors import PartitionLost, TransportError
from actorflow.ids import Address, ChannelId, JobId, NodeId, SubtaskId, VertexId
from actorflow.plan.execution import Channel
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.protocol.transfer.partitions import PartitionsAt, PartitionUnreadable
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.channels.links import ReceivedBatch, received
from actorflow.runtime.channels.loopback import LoopbackPlane
from actorflow.runtime.channels.partition_reading import FarPartitions, PartitionInput
from actorflow.runtime.channels.partition_server import PartitionServer
from actorflow.storage.partition_file import PartitionWriter
from actorflow.wire.batch import EndOfInput
from actorflow.wire.codec import encode_event
from actorflow.wire.frame import Kind, pack

JOB, HERE, FILE = JobId("job"), NodeId("here"), "1-0-0.0"
PRODUCER = SubtaskId(VertexId("sort"), 0)
CHANNEL = Channel(ChannelId(5), 0, PRODUCER, SubtaskId(VertexId("write"), 1))
BATCHES, ROOM = 50, 4


def write(directory):
    """Write a file for two readers, of whom the second gets numbers."""
    writer = PartitionWriter(directory / FILE, 2, "the output of 'sort'", memory_bytes=300)
    writer.add(0, pack(Kind.DATA, b"for somebody else", sequence=1))
    for number in range(1, BATCHES + 1):
        writer.add(1, pack(Kind.DATA, b"%d" % number, codec=1, sequence=number))
    writer.add(1, pack(Kind.EVENT, encode_event(EndOfInput()), sequence=BATCHES + 1))
    writer.finish()


class Reader(Actor):
    """Has a gate with one channel, and keeps what it is told."""

    def __init__(self, plane, file, job, made):
        super().__init__()
        far = FarPartitions(self.ctx, plane, job, 7)
        self.source, self.told, self.plane = PartitionInput(PRODUCER), [], plane
        ledger = ReceiverLedger([ChannelId(0)], exclusive=1, floating=ROOM - 1, per_channel_max=ROOM)
        self.gate = InputGate([InputChannel(CHANNEL.id, 0, self.source.granted)], ledger, lambda: None)
        self.source.begins = lambda at: far.begin(CHANNEL, file, 1, at, self.push)
        made.append(self)

    def push(self, frame):
        self.gate.push(0, received(frame), frame.backlog)

    def on_receive(self, message):
        if message == "begin":
            self.source.read(PartitionsAt("/far/1-0-0", Address(f"{HERE}/partitions")))
            self.gate.open(100)
        elif message == "close":
            self.source.close()
        else:
            self.told.append(message)


class Bench:
    """A server, and a reader of what it has."""

    def __init__(self, directory, *, file=FILE, job=JOB):
        self.files = directory / "partitions"
        self.files.mkdir()
        write(self.files)
        self.dispatcher = SimulatedDispatcher(3)
        self.system = ActorSystem(HERE, clock=ManualClock(), dispatcher=self.dispatcher)
        plane, made = LoopbackPlane(self.system), []
        self.server = self.system.spawn(PartitionServer, plane, {JOB: directory}.get, 1 << 20, name="partitions")
        self.reader_ref = self.system.spawn(Reader, plane, file, job, made, name="worker")
        (self.reader,) = made

    def say(self, to, message):
        to.tell_control(message)
        self.dispatcher.run_until_idle()

    def begin(self):
        self.say(self.reader_ref, "begin")
        return self

    def take(self, most=1000):
        """Take what comes, one after the other; return it, and how much waited at most."""
        taken, waited = [], 0
        while self.reader.gate.has_input and len(taken) < most:
            waited = max(waited, self.reader.gate.queued())
            _, element = self.reader.gate.take()
            if isinstance(element, ReceivedBatch):
                taken.append(int(bytes(element.frame.payload)))
                self.reader.gate.consumed(0)
            else:
                taken.append(element)
                self.reader.gate.end(0)
            self.dispatcher.run_until_idle()
        return taken, waited

    def failing(self, news):
        return self.reader.source.failing(news)


def test_a_reader_gets_all_that_is_for_it_in_order_as_it_has_room(tmp_path):
    bench = Bench(tmp_path).begin()
    taken, waited = bench.take()
    assert ([*range(1, BATCHES + 1), EndOfInput()], ROOM) == (taken, waited)
    assert bench.failing(NodeLost(HERE, "it left")) is None


@pytest.mark.parametrize(
    ("file", "job"), [("9-9-9.9", JOB), ("../partitions/1-0-0.0", JOB), ("/etc/passwd", JOB), (FILE, JobId("nobody's"))]
)
def test_what_is_not_a_partition_of_the_job_is_not_read(tmp_path, file, job):
    bench = Bench(tmp_path, file=file, job=job).begin()
    (told,) = bench.reader.told
    assert isinstance(told, PartitionUnreadable)
    with pytest.raises(PartitionLost, match=r"cannot read what sort/0 has written to .* \(on here\)") as lost:
        bench.failing(told)()
    assert "sort/0" == lost.value.info().context["partition"]


def test_where_nothing_is_left_of_a_job_all_of_it_is_lost(tmp_path):
    bench = Bench(tmp_path, job=JobId("forgotten")).begin()
    with pytest.raises(PartitionLost) as lost:
        bench.failing(bench.reader.told[0])()
    assert HERE == lost.value.info().context["lost with"]


def test_damage_is_said_where_it_is_met_and_nothing_behind_it_is_sent(tmp_path):
    bench = Bench(tmp_path)
    path = bench.files / FILE
    content = bytearray(path.read_bytes())
    content[content.index(b"30")] ^= 1
    path.write_bytes(content)
    taken, _ = bench.begin().take()
    assert list(range(1, 30)) == taken
    with pytest.raises(PartitionLost, match="checksum"):
        bench.failing(bench.reader.told[0])()


@pytest.mark.parametrize("end", [NodeLost(HERE, "it left"), LinkBroken(HERE)])
def test_who_is_lost_is_sent_nothing_more(tmp_path, end):
    bench = Bench(tmp_path).begin()
    bench.say(bench.server, end)
    assert ROOM >= len(bench.take()[0])
    assert [] == bench.reader.told


def test_who_stops_is_sent_nothing_more(tmp_path):
    bench = Bench(tmp_path).begin()
    bench.say(bench.reader_ref, "close")
    assert ROOM >= len(bench.take()[0])


def test_a_reader_fails_with_the_host_that_it_reads_from_and_with_no_other(tmp_path):
    bench = Bench(tmp_path).begin()
    assert bench.failing(NodeLost(NodeId("other"), "it left")) is None
    with pytest.raises(PartitionLost, match="cannot read what sort/0 has written: here is lost: it left") as lost:
        bench.failing(NodeLost(HERE, "it left"))()
    assert HERE == lost.value.lost_with
    with pytest.raises(TransportError, match="the connection to here broke"):
        bench.failing(LinkBroken(HERE))()
