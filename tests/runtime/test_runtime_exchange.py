"""Exchanges: the eight ways from one operator to the next."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_runtime_lanes import RecordingLink

from actorflow.clock import ManualClock
from actorflow.errors import PlanError, UserFunctionError
from actorflow.ids import ChannelId
from actorflow.operators.failures import user_failure
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.protocol.transfer.flush import FlushRules
from actorflow.runtime.channels.exchange import make_exchange
from actorflow.runtime.channels.lanes import Lane
from actorflow.wire.batch import ColumnBatch, ObjectBatch, Watermark
from actorflow.wire.stable_hash import stable_hash

MAX_PARALLELISM = 128


def identity(record):
    return record


class Outlet:
    """An exchange over recording links, all with credit."""

    def __init__(self, partitioner, lanes=3, *, size=1000, credit=1000, first=0, timeout_s=0.005):
        self.links = [RecordingLink() for _ in range(lanes)]
        self.clock = ManualClock()
        self.lanes = [
            Lane(ChannelId(number), link, batch_records_max=size, waiting_max=4, overdraft_max=5)
            for number, link in enumerate(self.links)
        ]
        if credit:
            for lane in self.lanes:
                lane.granted(credit, size)
        self.exchange = make_exchange(
            partitioner,
            self.lanes,
            self.clock,
            FlushRules(size, timeout_s),
            max_parallelism=MAX_PARALLELISM,
            first=first,
            failure=lambda error, record: user_failure(error, operator="next", subtask="v/0", record=record),
        )

    def emit(self, *records, timestamps=None):
        self.exchange.emit(ObjectBatch(list(records), timestamps))
        return self

    def flushed(self):
        self.exchange.event(Watermark(0))
        return [link.records() for link in self.links]


def by_key(key=identity, **options):
    return Partitioner(Partitioning.HASH, key=key, **options)


def test_forward_hands_a_large_batch_on_as_it_is():
    outlet = Outlet(Partitioner(Partitioning.FORWARD), lanes=1, size=4)
    batch = ObjectBatch([1, 2, 3])
    outlet.exchange.emit(batch)

    assert outlet.links[0].sent == [batch]


def test_broadcast_gives_every_lane_every_record():
    assert Outlet(Partitioner(Partitioning.BROADCAST)).emit(1, 2).flushed() == [[1, 2], [1, 2], [1, 2]]


def test_global_gives_all_to_the_first_lane():
    assert Outlet(Partitioner(Partitioning.GLOBAL)).emit(1, 2).flushed() == [[1, 2], [], []]


def test_rebalance_deals_records_in_turn_across_batches():
    outlet = Outlet(Partitioner(Partitioning.REBALANCE)).emit(0, 1, 2, 3).emit(4, 5, 6, 7, 8)

    assert outlet.flushed() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


@pytest.mark.parametrize(("lanes", "expected"), [(3, [[], [], [1, 2, 3]]), (2, [[1], [2], [3]])])
def test_what_was_not_sent_waits_in_its_lane_again_if_there_are_as_many_lanes_as_then(lanes, expected):
    outlet = Outlet(Partitioner(Partitioning.REBALANCE))
    outlet.exchange.send_again(ObjectBatch([1, 2, 3]), 2, lanes)

    assert outlet.flushed() == expected


def test_producers_start_dealing_with_different_lanes():
    assert Outlet(Partitioner(Partitioning.REBALANCE), first=1).emit(0, 1).flushed() == [[], [0], [1]]


def test_rebalance_passes_over_a_lane_that_is_exhausted():
    outlet = Outlet(Partitioner(Partitioning.REBALANCE), lanes=2, size=1, credit=0)
    outlet.lanes[1].granted(1000, 1)
    for _ in range(50):
        outlet.emit(1, 2)

    assert not outlet.exchange.exhausted
    assert len(outlet.links[1].records()) >= 90


def test_shuffle_gives_each_lane_about_the_same_and_every_record_once():
    outlet = Outlet(Partitioner(Partitioning.SHUFFLE))
    for start in range(0, 3000, 100):
        outlet.emit(*range(start, start + 100))
    got = outlet.flushed()

    assert sorted(record for lane in got for record in lane) == list(range(3000))
    assert all(800 < len(lane) < 1200 for lane in got)


def test_custom_sends_where_the_function_says():
    chosen = Partitioner(Partitioning.CUSTOM, key=lambda record: record["n"], choose=lambda key, lanes: key % lanes)
    got = Outlet(chosen).emit({"n": 4}, {"n": 5}, {"n": 6}).flushed()

    assert got == [[{"n": 6}], [{"n": 4}], [{"n": 5}]]


@pytest.mark.parametrize("answer", [-1, 3, "1", None, 1.0])
def test_a_custom_choice_that_is_no_lane_is_refused_by_name(answer):
    outlet = Outlet(Partitioner(Partitioning.CUSTOM, key=identity, choose=lambda key, lanes: answer))

    with pytest.raises(PlanError, match=r"3 subtasks.*0 to 2"):
        outlet.emit("x")


keys = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text(max_size=2)))


@given(st.lists(keys, max_size=60), st.integers(2, 40), st.booleans())
def test_every_record_goes_to_the_subtask_that_owns_its_key_group(records, lanes, timed):
    outlet = Outlet(by_key(), lanes)
    if records:
        outlet.emit(*records, timestamps=list(range(len(records))) if timed else None)
    outlet.flushed()
    expected = [[] for _ in range(lanes)]
    for position, record in enumerate(records):
        owner = subtask_of(key_group(stable_hash(record), MAX_PARALLELISM), lanes, MAX_PARALLELISM)
        expected[owner].append((record, position if timed else None))
    got = []
    for link in outlet.links:
        batches = [element for element in link.sent if isinstance(element, ObjectBatch)]
        got.append([pair for b in batches for pair in zip(b.records, b.timestamps or [None] * len(b.records), strict=True)])

    assert expected == got


def test_equal_keys_of_different_types_meet():
    got = Outlet(by_key(), lanes=8).emit(1, 1.0, True).flushed()

    assert [1, 1.0, True] in got


def test_columns_go_where_the_same_keys_go_as_objects():
    words = [f"w{number}" for number in range(50)] + [None]
    objects = Outlet(by_key()).emit(*words).flushed()
    outlet = Outlet(by_key(lambda record: record["word"], key_column="word"))
    outlet.exchange.emit(ColumnBatch(pa.record_batch({"word": words})))
    outlet.exchange.event(Watermark(0))
    columns = [
        [word for e in link.sent if isinstance(e, ColumnBatch) for word in e.columns["word"].to_pylist()] for link in outlet.links
    ]

    assert columns == objects


def test_columns_are_dealt_without_losing_a_row():
    outlet = Outlet(Partitioner(Partitioning.REBALANCE))
    outlet.exchange.emit(ColumnBatch(pa.record_batch({"n": list(range(10))})))
    rows = [n for link in outlet.links for e in link.sent for n in e.columns["n"].to_pylist()]

    assert sorted(rows) == list(range(10))


def test_a_key_function_that_raises_is_reported_with_the_record():
    outlet = Outlet(by_key(lambda record: record["id"]))

    with pytest.raises(UserFunctionError) as caught:
        outlet.emit({"id": 1}, {"name": "x"})

    assert caught.value.error.context["record"] == "{'name': 'x'}"


def test_an_unstable_key_is_refused_with_its_type():
    with pytest.raises(PlanError, match="object"):
        Outlet(by_key(lambda record: object())).emit(1)


def test_an_unhashable_key_is_refused():
    with pytest.raises(UserFunctionError, match="unhashable"):
        Outlet(by_key(lambda record: [record])).emit(1)


def test_a_column_of_keys_that_cannot_be_hashed_is_reported_with_the_row():
    outlet = Outlet(by_key(lambda record: record["tags"], key_column="tags"))

    with pytest.raises(UserFunctionError, match="unhashable type: 'list'") as caught:
        outlet.exchange.emit(ColumnBatch(pa.record_batch({"n": [1, 2], "tags": [["x"], ["y"]]})))

    assert {"operator": "next", "subtask": "v/0", "record": "{'n': 1, 'tags': ['x']}"} == caught.value.error.context


def test_a_full_buffer_leaves_at_once():
    outlet = Outlet(Partitioner(Partitioning.GLOBAL), lanes=1, size=2)
    outlet.emit(1).emit(2)

    assert outlet.links[0].records() == [1, 2]


def test_a_half_full_buffer_waits_for_its_time():
    outlet = Outlet(Partitioner(Partitioning.GLOBAL), lanes=1, timeout_s=0.005).emit(1)
    deadline = outlet.exchange.deadline_s
    outlet.exchange.flush_due(deadline - 0.001)
    before = outlet.links[0].records()
    outlet.exchange.flush_due(deadline)

    assert (deadline, before, outlet.links[0].records()) == (0.005, [], [1])


def test_a_half_full_buffer_leaves_when_the_node_is_idle_and_there_is_credit():
    with_credit, without = (
        Outlet(Partitioner(Partitioning.GLOBAL), lanes=1),
        Outlet(Partitioner(Partitioning.GLOBAL), lanes=1, credit=0),
    )
    for outlet in (with_credit, without):
        outlet.emit(1)
        outlet.exchange.flush_idle()

    assert (with_credit.links[0].records(), without.lanes[0].waiting) == ([1], 0)


def test_an_event_follows_what_was_emitted_before_it_in_every_lane():
    outlet = Outlet(Partitioner(Partitioning.REBALANCE)).emit(1, 2, 3)
    outlet.exchange.event(Watermark(7))

    assert [link.sent[-1] for link in outlet.links] == [Watermark(7)] * 3
    assert [link.records() for link in outlet.links] == [[1], [2], [3]]
