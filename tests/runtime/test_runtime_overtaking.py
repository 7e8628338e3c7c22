"""Barriers that overtake: at the lanes of an output, and at an input gate."""

from __future__ import annotations

from test_runtime_feeds import Taker
from test_runtime_lanes import make_lane

from actorflow.clock import ManualClock
from actorflow.ids import ChannelId
from actorflow.protocol.machine import TimerFired
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.protocol.transfer.flush import FlushRules
from actorflow.runtime.channels.exchange import DealExchange
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.checkpoints.in_flight import as_received, stored
from actorflow.runtime.checkpoints.input_barriers import AlignmentRules
from actorflow.runtime.checkpoints.output_barriers import OutputBarriers
from actorflow.runtime.subtasks.feeds import GateFeed
from actorflow.wire.batch import Barrier, EndOfInput, ObjectBatch, Watermark

FIRST = Barrier(1, 0, unaligned=True)


# --- outputs ---------------------------------------------------------------------------------------------------------------------


def test_a_barrier_overtakes_what_waits_for_credit_and_what_is_not_sealed_yet():
    lane, link = make_lane(size=2)
    lane.add(ObjectBatch([1, 2]))
    lane.event(Watermark(5))
    lane.extend([3], None)
    overtaken = lane.overtake(FIRST)

    assert [batch.records for batch in overtaken] == [[1, 2], [3]]
    assert (link.sent, link.backlogs) == ([FIRST], [2])
    lane.granted(2, 2)
    assert link.records() == [1, 2, 3]
    assert link.sent[2] == Watermark(5)


def test_a_barrier_that_waits_itself_has_overtaken_only_what_stands_before_it():
    lane, link = make_lane(size=2)
    lane.add(ObjectBatch([1, 2]))
    lane.event(Barrier(1, 0))
    lane.add(ObjectBatch([3, 4]))
    held = lane.holds(1)
    overtaken = lane.overtake(FIRST)

    assert ([batch.records for batch in overtaken], held, lane.holds(1)) == ([[1, 2]], True, False)
    lane.granted(5, 2)
    assert [element for element in link.sent if isinstance(element, Barrier)] == [FIRST]
    assert link.records() == [1, 2, 3, 4]


def test_a_barrier_with_nothing_before_it_overtakes_nothing():
    lane, link = make_lane()

    assert (lane.overtake(FIRST), link.sent) == ([], [FIRST])


def test_batches_in_outputs_are_stored_with_the_lanes_that_they_wait_in():
    (first, _), (second, _) = make_lane(), make_lane()
    exchange = DealExchange([first, second], ManualClock(), FlushRules(10, 0.1))
    exchange.overtakable = True
    exchange.spread(ObjectBatch(["a", "b"]))
    overtaken = OutputBarriers([exchange], ()).pass_on(FIRST)

    assert [(batch.edge, batch.lane, batch.lanes) for batch in overtaken.batches] == [(0, 0, 2), (0, 1, 2)]


# --- inputs ----------------------------------------------------------------------------------------------------------------------


class Host:
    """Stands for the subtask: keeps its messages and timers until they are wanted."""

    def __init__(self):
        self.ctx = self
        self.posted = []
        self.timers = {}

    def post(self, callback):
        self.posted.append(callback)

    def set_timer_at(self, name, at):
        self.timers[name] = at

    def cancel_timer(self, name):
        self.timers.pop(name, None)

    def settle(self):
        while self.posted:
            self.posted.pop(0)()


class Input:
    """A gate of two channels whose barriers may overtake, except in those that are ordered."""

    def __init__(self, *, ordered=(), patience_s=0.0):
        self.taker, self.host = Taker(), Host()
        ends = [InputChannel(ChannelId(number), 0, lambda credit, records_max: None) for number in range(2)]
        gate = InputGate(ends, ReceiverLedger(map(ChannelId, range(2)), exclusive=10), lambda: None)
        self.feed = GateFeed(self.taker, gate, sizing=None, sizing_period_s=1.0, batch_records_max=10, payload_bytes_max=1000)
        self.barriers = self.feed.barriers
        self.barriers.obey(
            AlignmentRules(unaligned=True, timeout_s=patience_s),
            self.host,
            edges=[4, 5],
            ordered=[ChannelId(index) for index in ordered],
            first=self.feed.still_returned,
        )
        self.feed.begin()

    def push(self, channel, *elements):
        for element in elements:
            self.feed.gate.push(channel, ObjectBatch(element) if isinstance(element, list) else element, 0)
        self.host.settle()

    def work(self):
        while self.feed.advance():
            self.host.settle()
        return self.taker.got

    def recorded(self):
        """Return what belongs to the snapshot: edge and records, and whether it is whole."""
        recording = self.barriers.recording
        return [(one.edge, as_received(one).decode(1000).records) for one in recording.batches], recording.whole


def test_the_snapshot_holds_what_stands_before_the_barrier_and_what_comes_before_that_of_the_other_channel():
    inputs = Input()
    inputs.push(0, ["a"], ["b"])
    inputs.push(1, ["c"])
    inputs.push(0, FIRST, ["behind"])
    recording = inputs.barriers.recording
    whole = []
    recording.when_whole(lambda: whole.append([as_received(one).decode(1000).records for one in recording.batches]))
    inputs.push(1, ["d"])
    before = list(whole)
    inputs.push(1, FIRST, ["behind, too"])

    assert inputs.taker.got == [FIRST]
    assert (before, whole) == ([], [[["a"], ["b"], ["c"], ["d"]]])
    assert sorted(map(str, inputs.work()[1:])) == sorted(map(str, [["a"], ["b"], ["behind"], ["c"], ["d"], ["behind, too"]]))


def test_barriers_that_have_overtaken_are_gone_from_the_queues():
    inputs = Input()
    inputs.push(0, ["a"], FIRST, ["b"])
    inputs.push(1, FIRST)
    second = Barrier(2, 0, unaligned=True)
    inputs.push(1, second)
    inputs.push(0, second)

    assert inputs.taker.got == [FIRST, second]
    assert [len(channel.queue) for channel in inputs.feed.gate.channels] == [2, 0]
    assert inputs.work()[2:] == [["a"], ["b"]]


def test_it_is_known_of_which_edge_a_batch_is():
    inputs = Input()
    inputs.push(1, ["c"])
    inputs.push(0, ["a"], FIRST)

    assert inputs.recorded() == ([(4, ["a"]), (5, ["c"])], False)


def test_the_end_of_a_channel_completes_what_is_in_flight():
    inputs = Input()
    inputs.push(1, ["c"], EndOfInput())
    inputs.push(0, FIRST)

    assert inputs.taker.got == [FIRST]
    assert inputs.barriers.recording is None


def test_an_ordered_channel_is_processed_up_to_its_barrier_first():
    inputs = Input(ordered=[1])
    inputs.push(0, ["a"], FIRST)
    inputs.push(1, ["c"], FIRST, ["behind"])
    nothing_yet = list(inputs.taker.got)
    inputs.push(0, ["late"])

    assert nothing_yet == []
    got = inputs.work()
    assert got.index(["c"]) < got.index(FIRST) < got.index(["behind"])
    assert got.index(FIRST) < got.index(["late"])


def test_what_an_earlier_run_had_not_processed_goes_first_and_stays_in_flight_until_then():
    inputs = Input()
    inputs.feed.give_back([(5, 0, as_received(stored(5, ObjectBatch(["old"])))), (4, 0, ObjectBatch(["older"]))])
    inputs.push(0, ["new"], FIRST)

    assert inputs.recorded() == ([(5, ["old"]), (4, ["older"]), (4, ["new"])], False)
    assert inputs.work() == [FIRST, ["old"], ["older"], ["new"]]


def test_barriers_that_are_aligned_for_too_long_overtake():
    inputs = Input(patience_s=2.0)
    barrier = Barrier(1, 0)
    inputs.push(0, ["a"], barrier)
    inputs.push(1, ["c"])
    inputs.work()
    inputs.push(1, ["d"])
    assert (inputs.taker.got.count(FIRST), inputs.host.timers) == (0, {"alignment": 2.0})
    inputs.barriers.overdue(TimerFired("alignment"))

    assert inputs.taker.got[-1] == FIRST
    assert inputs.recorded() == ([(5, ["d"])], False)


def test_a_checkpoint_that_is_given_up_leaves_no_channel_waiting():
    inputs = Input(patience_s=2.0)
    inputs.push(0, Barrier(1, 0), ["a"])
    inputs.work()
    inputs.barriers.given_up(1)
    inputs.push(1, Barrier(1, 0))

    assert inputs.work() == [["a"]]
    assert inputs.host.timers == {}


def test_it_says_which_barrier_it_waits_for():
    inputs = Input()
    inputs.push(0, Barrier(7, 0), ["a"])
    inputs.work()
    waiting = inputs.feed.waits_for
    inputs.push(1, Barrier(7, 0))

    assert waiting == "the barrier of checkpoint 7 in 1 of 2 channels"
    assert inputs.feed.waits_for == ""
