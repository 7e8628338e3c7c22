"""The input gate: turns, credit, and what it does when producers run on the same thread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actorflow.ids import ChannelId
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.channels.lanes import DirectLink, Lane
from actorflow.wire.batch import EndOfInput, ObjectBatch, Watermark


class Receiver:
    """A gate with `count` channels; announcements are recorded, or given to lanes on this very thread."""

    def __init__(self, count=2, *, exclusive=2, floating=2):
        self.announced = []
        self.woken = 0
        self.lanes = {}
        channels = [InputChannel(ChannelId(number), 0, self._announcer(number)) for number in range(count)]
        ledger = ReceiverLedger(map(ChannelId, range(count)), exclusive=exclusive, floating=floating)
        self.gate = InputGate(channels, ledger, self._wake)

    def _wake(self):
        self.woken += 1

    def _announcer(self, number):
        def announce(credit, records_max):
            self.announced.append((number, credit, records_max))
            if number in self.lanes:
                self.lanes[number].granted(credit, records_max)

        return announce

    def connect(self, number, size=2):
        lane = Lane(ChannelId(number), DirectLink(self.gate, number), batch_records_max=size, waiting_max=100, overdraft_max=5)
        self.lanes[number] = lane
        return lane


def test_opening_grants_the_exclusive_buffers_and_their_size():
    receiver = Receiver()
    receiver.gate.open(64)

    assert receiver.announced == [(0, 2, 64), (1, 2, 64)]


def test_it_wakes_its_subtask_once_until_it_was_emptied():
    receiver = Receiver()
    receiver.gate.open(64)
    for _ in range(2):
        receiver.gate.push(0, ObjectBatch([1]), 0)
    woken_for_two = receiver.woken
    while receiver.gate.take():
        receiver.gate.consumed(0)
    receiver.gate.push(0, ObjectBatch([1]), 0)

    assert (woken_for_two, receiver.woken) == (1, 2)


def test_channels_take_turns():
    receiver = Receiver()
    receiver.gate.open(64)
    for record in (1, 2):
        receiver.gate.push(0, ObjectBatch([record]), 0)
    receiver.gate.push(1, ObjectBatch([3]), 0)
    taken = [receiver.gate.take()[0] for _ in range(3)]

    assert (taken, receiver.gate.take()) == ([0, 1, 0], None)


def test_a_consumed_buffer_is_granted_again_with_the_size_wanted_now():
    receiver = Receiver()
    receiver.gate.open(64)
    receiver.gate.push(0, ObjectBatch([1]), 0)
    receiver.gate.take()
    receiver.gate.batch_records_max = 16
    receiver.announced.clear()
    receiver.gate.consumed(0)

    assert receiver.announced == [(0, 1, 16)]


def test_a_backlog_is_lent_floating_buffers():
    receiver = Receiver()
    receiver.gate.open(64)
    receiver.announced.clear()
    receiver.gate.push(0, ObjectBatch([1]), backlog=5)

    assert receiver.announced == [(0, 2, 64)]


def test_an_ended_channel_gets_no_credit_and_the_last_end_is_the_end():
    receiver = Receiver()
    receiver.gate.open(64)
    receiver.announced.clear()

    assert [receiver.gate.end(0), receiver.gate.end(1)] == [False, True]
    assert receiver.announced == []


def test_events_take_no_credit():
    receiver = Receiver(count=1)
    receiver.gate.open(64)
    for timestamp in range(20):
        receiver.gate.push(0, Watermark(timestamp), 0)

    assert [receiver.gate.take()[1].timestamp for _ in range(20)] == list(range(20))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(), min_size=1, max_size=5)), max_size=40),
    st.integers(0, 40),
    st.integers(0, 4),
)
def test_everything_a_producer_on_the_same_thread_sends_arrives_in_order(sends, open_after, floating):
    """The producer may be ahead of the opening of the gate, and is told of credit while it pushes."""
    receiver = Receiver(count=3, floating=floating)
    lanes = [receiver.connect(number) for number in range(3)]
    expected = {number: [] for number in range(3)}
    for position, (number, records) in enumerate(sends):
        if position == open_after:
            receiver.gate.open(2)
        lanes[number].extend(records, None)
        lanes[number].seal()
        lanes[number].drain()
        expected[number] += records
    if open_after >= len(sends):
        receiver.gate.open(2)
    for lane in lanes:
        lane.event(EndOfInput())
        lane.drain()
    got = {number: [] for number in range(3)}
    ended = 0
    while (taken := receiver.gate.take()) is not None:
        number, element = taken
        if isinstance(element, ObjectBatch):
            got[number] += element.records
            receiver.gate.consumed(number)
        else:
            ended += 1
            receiver.gate.end(number)

    assert (ended, got) == (3, expected)
    assert receiver.gate.queued() == 0


def test_a_blocked_channel_is_passed_over_until_all_are_unblocked():
    receiver = Receiver(3)
    gate = receiver.gate
    gate.open(64)
    gate.push(0, ObjectBatch(["a"]), 0)
    gate.push(1, ObjectBatch(["b"]), 0)
    gate.block(0)
    gate.block(2)
    gate.push(2, ObjectBatch(["c"]), 0)
    gate.push(0, ObjectBatch(["d"]), 0)

    assert 1 == gate.take()[0]
    assert gate.take() is None
    assert not gate.has_input
    woken = receiver.woken
    gate.unblock()
    assert woken + 1 == receiver.woken
    assert ["a", "c", "d"] == [taken[1].records[0] for taken in iter(gate.take, None)]
