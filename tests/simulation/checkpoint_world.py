"""A whole job under checkpoints, simulated: sources that count up, counters by key, a sink that commits in two phases, and a master.

    source/0 ─┬─► count/0 ─┬─► sink/0          master: coordinator, restarts, the last commit
    source/1 ─┴─► count/1 ─┘

The machines under test are `CheckpointCoordinator`, `BarrierAlignment` and `LayerLine`; the rest is as small as it can be. Channels keep their order and lose
nothing (that is the transport's part), with any delay; control messages between nodes suffer what the simulation's faults do to them. A run that loses
a subtask is restarted as a whole from the last completed checkpoint; so is one whose master dies, by the next master, which knows no more than
what is stored.
"""

import math
from collections import deque

from checkpoint_layers import LayeredCounts

from actorflow.ids import Address, ChannelId, SubtaskId, VertexId
from actorflow.protocol.checkpoints.barriers import (
    AlignmentGivenUp,
    BarrierAnnounced,
    BarrierArrived,
    BlockChannel,
    ChannelEnded,
    ChannelEnding,
    CheckpointGivenUp,
    InFlightComplete,
    TakeSnapshot,
    UnblockChannels,
)
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    TriggerCheckpoint,
)
from actorflow.protocol.machine import Report, Send, SetTimer, TimerFired
from actorflow.runtime.checkpoints.layer_line import LayerLine
from actorflow.wire.batch import Barrier, EndOfInput
from actorflow.wire.message import Message

SOURCES, COUNTS, SINK = (
    [SubtaskId(VertexId("source"), index) for index in range(2)],
    [SubtaskId(VertexId("count"), index) for index in range(2)],
    SubtaskId(VertexId("sink"), 0),
)
SUBTASKS = [*SOURCES, *COUNTS, SINK]
UPSTREAM = {**dict.fromkeys(SOURCES, ()), **dict.fromkeys(COUNTS, SOURCES), SINK: COUNTS}
DOWNSTREAM = {**dict.fromkeys(SOURCES, COUNTS), **dict.fromkeys(COUNTS, (SINK,)), SINK: ()}
NODES = {subtask: f"tm-{number % 3}" for number, subtask in enumerate(SUBTASKS)}
RECORDS, KEYS = 40, 5
MASTER = Address("jm/master")


class Finished(Message, frozen=True):
    """A subtask has processed everything."""

    subtask: SubtaskId
    attempt: int
    state: bytes
    passed: int


class World:
    """What outlives every process: stored states, manifests, and the output that readers see."""

    def __init__(self):
        self.parts = {}
        self.layers = {}  # keyed state that several parts refer to
        self.manifests = []  # completed checkpoints, in their order
        self.committed = {}
        self.over = False  # whether the job is in the job result store: no master takes it up again
        self.attempt = 0  # of all masters: what an earlier one has begun to write is refused
        self.last = 0  # the highest number that a checkpoint was given
        self.tickets = 0
        self.wrong = []  # with checkpoints that all had acknowledged
        self.collected = 0  # parts of attempts before this one were collected, but for those that completed checkpoints name

    def store(self, part, attempt):
        self.tickets += 1
        name = f"part-{attempt}-{self.tickets}".encode()
        self.parts[name] = part
        return name

    def write_layer(self, content, attempt):
        self.tickets += 1
        name = f"layer-{attempt}-{self.tickets}"
        self.layers[name] = content
        return name

    def layers_of(self, parts):
        """The layers that parts refer to, whether they are there or not."""
        found = [self.parts[part].get("layered") for part in parts if part in self.parts]
        return {name for layered in found if layered for name in (*layered["layers"], *layered["kept"])}

    def wrong_with(self, parts):
        """What is wrong with the parts of a checkpoint: all are there, with the files that they name, and say what the state was."""
        missing = [*(part for part in parts if part not in self.parts), *(self.layers_of(parts) - self.layers.keys())]
        if missing:
            return f"refers to what was removed: {missing}"
        for layered in filter(None, (self.parts[part]["layered"] for part in parts)):
            restored = {}
            for name in layered["layers"]:
                restored |= self.layers[name]
            if layered["counts"] != restored | layered["top"]:
                return f"says {restored | layered['top']} of a state that was {layered['counts']}"
        return ""

    def remove(self, parts):
        """Remove parts, and what of their layers no completed checkpoint refers to."""
        needless = self.layers_of(parts) - self.used()
        for part in parts:
            self.parts.pop(part, None)
        for name in needless:
            self.layers.pop(name, None)

    def used(self):
        return self.layers_of(part for stored in self.manifests for part in stored.states.values())

    def collect(self, attempt, keep):
        """Remove what attempts before this one have stored."""
        self.collected = max(self.collected, attempt)
        for name in [name for name in self.parts if int(name.split(b"-")[1]) < attempt and name not in keep]:
            del self.parts[name]
        wanted = self.used() | self.layers_of(keep)
        for name in [name for name in self.layers if int(name.split("-")[1]) < attempt and name not in wanted]:
            del self.layers[name]

    def commit(self, prepared):
        """Make prepared output visible. Idempotent: the same output again is the same file again."""
        for name, records in prepared.items():
            self.committed[name] = records


def address_of(subtask, attempt):
    return Address(f"{NODES[subtask]}/{subtask.vertex}-{subtask.index}-{attempt}")


class SimulatedSubtask:
    """A source, a counter or the sink: one element a turn.

    Args:
        simulation: carries the channels.
        world: keeps what is stored.
        subtask: which.
        attempt: of which run.
        state: what it goes on from, or None.
        alignment: makes the machine that aligns barriers.
        overtaking: whether barriers may overtake records.
        ordered: channels in which they may not, and whose records are in no snapshot.
        pace: elements a second, of a source.
        line: makes what decides upon which layers a snapshot builds.
        told: called with what was stored, and for which checkpoint.
    """

    def __init__(
        self,
        simulation,
        world,
        subtask,
        attempt,
        state,
        alignment,
        *,
        overtaking=False,
        ordered=(),
        pace=60.0,
        line=LayerLine,
        told=lambda *_: None,
    ):
        self.overtaking, self.ordered, self.told = overtaking, ordered, told
        self.pace = pace if subtask in SOURCES else 60.0
        self.simulation, self.world, self.subtask, self.attempt = simulation, world, subtask, attempt
        self.address = address_of(subtask, attempt)
        restored = state or {"position": 0, "layered": None, "pending": {}, "in_flight": {}}
        self.position = restored["position"]
        self.layered = LayeredCounts(world, attempt, simulation.random, line) if subtask in COUNTS else None
        if restored["layered"]:
            self.layered.restore(restored["layered"])
        self.pending = dict(restored["pending"])  # prepared for a checkpoint, not known to be committed
        self.queues = {source: deque(restored["in_flight"].get(source, ())) for source in UPSTREAM[subtask]}
        self.written = []
        self.blocked = set()
        self.ended = set()
        self.alignment = alignment(ChannelId(number) for number in range(len(UPSTREAM[subtask])))
        self.recording = None  # an unaligned snapshot whose barriers have not all come
        self.arrivals = dict.fromkeys(DOWNSTREAM[subtask], 0.0)
        self.done = False
        self.passed = 0
        self.world.commit(self.pending)

    # --- the channels: in order, nothing lost, any delay ----------------------------------------------------------------

    def send(self, target, element):
        at = max(self.arrivals[target], self.simulation.now + self.simulation.random.expovariate(50))
        self.arrivals[target] = at
        to = address_of(target, self.attempt)
        self.simulation.at(at, lambda: self.simulation.tell(to, ("element", self.subtask, element)))

    def broadcast(self, element):
        for target in DOWNSTREAM[self.subtask]:
            self.send(target, element)

    # --- being a machine ------------------------------------------------------------------------------------------------

    def handle(self, event, now):
        match event:
            case TimerFired("turn"):
                return [
                    *self.turn(now),
                    *([] if self.done else [SetTimer("turn", now + self.simulation.random.expovariate(self.pace))]),
                ]
            case ("element", source, element):
                return self.arrived(source, element, now)
            case TriggerCheckpoint(attempt=self.attempt):
                return self.triggered(event, now)
            case CheckpointCompleted(attempt=self.attempt, checkpoint=checkpoint):
                behind = math.inf if self.done and checkpoint > self.passed else checkpoint
                due = {name: records for name, records in self.pending.items() if name[0] <= behind}
                self.world.commit(due)
                self.pending = {name: records for name, records in self.pending.items() if name not in due}
                if self.layered and not self.done:
                    self.layered.completed(checkpoint)
            case CheckpointAborted(attempt=self.attempt, checkpoint=checkpoint):
                if self.layered:
                    self.layered.line.given_up(checkpoint)
                return self.aligned(CheckpointGivenUp(checkpoint), now)
            case TimerFired():
                return self.aligned(event, now)
        return []

    def arrived(self, source, element, now):
        """Queue an element. A barrier that may overtake is heard of before its turn, and what comes before it is recorded."""
        self.queues[source].append(element)
        recorded = self.recording is not None and source in self.recording["open"]
        if not isinstance(element, Barrier | EndOfInput):
            if recorded:
                self.recording["in_flight"][source].append(element)
            return []
        if recorded and (isinstance(element, EndOfInput) or element.checkpoint_id == self.recording["checkpoint"]):
            self.recording["open"].discard(source)
        if isinstance(element, EndOfInput):
            return self.aligned(ChannelEnding(self.channel(source)), now)
        return self.aligned(BarrierAnnounced(self.channel(source), element), now) if self.overtaking else []

    def channel(self, source):
        return ChannelId(UPSTREAM[self.subtask].index(source))

    def triggered(self, trigger, now):
        """Put a barrier into the stream; a second one of the same checkpoint would come at another place."""
        if self.done or trigger.checkpoint <= self.passed:
            return []
        return self.snapshot(Barrier(trigger.checkpoint, trigger.timestamp, unaligned=trigger.unaligned), (), now)

    def turn(self, now):
        if self.subtask in SOURCES:
            return self.read(now)
        ready = [source for source, queue in self.queues.items() if queue and source not in self.blocked]
        if not ready:
            return []
        source = self.simulation.random.choice(ready)
        element = self.queues[source].popleft()
        channel = self.channel(source)
        match element:
            case Barrier():
                return self.aligned(BarrierArrived(channel, element), now)
            case EndOfInput():
                self.ended.add(source)
                effects = self.aligned(ChannelEnded(channel), now)
                return effects + (self.finish() if len(self.ended) == len(self.queues) else [])
            case _:
                self.process(element)
        return []

    def read(self, now):
        if self.position == RECORDS:
            return [] if self.done else self.finish()
        key = (self.position * 3 + self.subtask.index) % KEYS
        self.position += 1
        self.send(COUNTS[key % 2], key)
        return []

    def process(self, element):
        if self.subtask == SINK:
            self.written.append(element)
        else:
            self.broadcast((element, self.layered.add(element)))

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def aligned(self, event, now):
        """Hand an event to the alignment, and do what it reports."""
        effects = []
        for effect in self.alignment.handle(event, now):
            match effect:
                case Report(BlockChannel(channel)):
                    self.blocked.add(UPSTREAM[self.subtask][channel])
                case Report(UnblockChannels()):
                    self.blocked.clear()
                case Report(TakeSnapshot(barrier, in_flight, _)):
                    effects += self.snapshot(barrier, in_flight, now)
                case Report(InFlightComplete(checkpoint)):
                    effects += self.in_flight_complete(checkpoint)
                case Report(AlignmentGivenUp()):
                    self.recording = None
                case _:
                    effects.append(effect)
        return effects

    def snapshot(self, barrier, in_flight, now):
        self.passed = barrier.checkpoint_id
        self.broadcast(barrier)
        if self.written:
            self.pending[barrier.checkpoint_id, self.attempt] = self.written
            self.written = []
        part = self.part() | {"layered": self.layered.take(barrier.checkpoint_id) if self.layered else None}
        if not barrier.unaligned:
            return self.acknowledge(barrier.checkpoint_id, part)
        self.recording = {"checkpoint": barrier.checkpoint_id, "part": part, "in_flight": part["in_flight"], "open": set()}
        for channel in in_flight:
            source = UPSTREAM[self.subtask][channel]
            queue = self.queues[source]
            before, ended = self.before_the_barrier(queue, barrier.checkpoint_id)
            if channel in self.ordered:
                continue
            part["in_flight"][source] = before
            if not ended:
                self.recording["open"].add(source)
        return [] if in_flight else self.in_flight_complete(barrier.checkpoint_id)

    @staticmethod
    def before_the_barrier(queue, checkpoint):
        """Return the records of a queue that come before a barrier or the end, and whether one of these has come."""
        before = []
        for element in queue:
            if isinstance(element, EndOfInput) or (isinstance(element, Barrier) and element.checkpoint_id == checkpoint):
                return before, True
            if not isinstance(element, Barrier):
                before.append(element)
        return before, False

    def in_flight_complete(self, checkpoint):
        if self.recording is None or self.recording["checkpoint"] != checkpoint:
            return []
        part, self.recording = self.recording["part"], None
        return self.acknowledge(checkpoint, part)

    def part(self):
        return {"position": self.position, "layered": None, "pending": dict(self.pending), "in_flight": {}}

    def acknowledge(self, checkpoint, part):
        stored = self.store(checkpoint, part)
        oldest = part["layered"]["oldest"] if part["layered"] else 0
        return [Send(MASTER, CheckpointAcknowledged(self.subtask, self.attempt, checkpoint, stored, oldest=oldest))]

    def store(self, checkpoint, part):
        name = self.world.store(part, self.attempt)
        self.told(self.subtask, checkpoint, name)
        return name

    def finish(self):
        self.done = True
        self.broadcast(EndOfInput())
        if self.written:
            self.pending[math.inf, self.attempt] = self.written
            self.written = []
        last = self.part() | {"layered": self.layered.take(self.passed + 1) if self.layered else None}
        news = Finished(self.subtask, self.attempt, self.store(self.passed + 1, last), self.passed)
        self.simulation.at(self.simulation.now + self.simulation.random.expovariate(20), lambda: self.simulation.tell(MASTER, news))
        return []

    def observe(self):
        return self.part()

    def check(self):
        self.alignment.check()
