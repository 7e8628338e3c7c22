"""Placement: legal, balanced, stable, deterministic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import NotEnoughSlots
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.jobs.placement import place
from actorflow.protocol.nodes.slot_messages import Allocation, Lease, Slot


def graph(*vertices):
    """Return a graph of `(name, parallelism)` or `(name, parallelism, slot group)` vertices."""
    return ExecutionGraph(
        "job",
        tuple(
            Vertex(VertexId(name), name, (), parallelism, 128, group[0] if group else "default", "default")
            for name, parallelism, *group in vertices
        ),
        (),
        (),
    )


def leases(*slots_of_each):
    return [
        Lease(Slot(Address(f"tm-{number}/tm"), index), Allocation(f"1.{number}{index}"))
        for number, slots in enumerate(slots_of_each)
        for index in range(slots)
    ]


def subtasks_on(placement):
    count = {}
    for lease in placement.values():
        count[lease.slot.task_manager] = count.get(lease.slot.task_manager, 0) + 1
    return count


def test_subtask_i_of_each_vertex_shares_slot_i_of_the_group():
    placement = place(graph(("source", 3), ("count", 2)), leases(3))
    assert placement[SubtaskId(VertexId("source"), 1)] == placement[SubtaskId(VertexId("count"), 1)]
    assert 3 == len(set(placement.values()))


def test_slot_groups_do_not_share_slots():
    placement = place(graph(("source", 2), ("sink", 2, "slow")), leases(4))
    assert 4 == len(set(placement.values()))


def test_too_few_slots_are_refused_with_the_sums():
    with pytest.raises(NotEnoughSlots, match="'job' needs 3 slots to be placed and has 2"):
        place(graph(("source", 3)), leases(2))


def test_the_example_of_flinks_documentation_gives_each_task_manager_three_tasks():
    placement = place(graph(("a", 6), ("b", 3)), leases(2, 2, 2))
    assert [3, 3, 3] == list(subtasks_on(placement).values())


def test_packing_uses_as_few_task_managers_as_it_can():
    placement = place(graph(("a", 4)), leases(4, 4, 4), strategy="pack")
    assert [4] == list(subtasks_on(placement).values())


def test_spreading_uses_all_task_managers():
    placement = place(graph(("a", 4)), leases(4, 4, 4, 4))
    assert [1, 1, 1, 1] == list(subtasks_on(placement).values())


def test_a_lost_slot_moves_only_the_subtasks_that_ran_there():
    job = graph(("a", 4), ("b", 4))
    before = {subtask: lease.slot for subtask, lease in place(job, leases(2, 2, 2)).items()}
    left = [lease for lease in leases(2, 2, 2) if lease.slot != before[SubtaskId(VertexId("a"), 2)]]
    after = {subtask: lease.slot for subtask, lease in place(job, left, previous=before).items()}
    assert {"a/2", "b/2"} == {str(subtask) for subtask in before if before[subtask] != after[subtask]}


def test_a_previous_slot_is_kept_under_its_new_allocation():
    job = graph(("a", 1))
    lease = Lease(Slot(Address("tm-1/tm"), 1), Allocation("2.5"))
    assert lease == place(job, [*leases(2), lease], previous={SubtaskId(VertexId("a"), 0): lease.slot})[SubtaskId(VertexId("a"), 0)]


JOBS = st.lists(st.tuples(st.integers(1, 7), st.sampled_from(["default", "io"])), min_size=1, max_size=5).map(
    lambda vertices: graph(*((f"v{number}", parallelism, group) for number, (parallelism, group) in enumerate(vertices)))
)


@given(job=JOBS, hosts=st.integers(1, 5), shuffled=st.randoms(use_true_random=False), strategy=st.sampled_from(["spread", "pack"]))
def test_a_slot_holds_at_most_one_subtask_of_a_vertex_and_one_group_whatever_the_order_of_the_leases(
    job, hosts, shuffled, strategy
):
    available = leases(*[-(-job.slots_needed() // hosts)] * hosts)
    placement = place(job, available, strategy=strategy)
    assert list(job.subtasks()) == list(placement)
    in_slot = {}
    for subtask, lease in placement.items():
        in_slot.setdefault(lease.slot, []).append(job.vertex(subtask.vertex))
    for vertices in in_slot.values():
        assert len({vertex.id for vertex in vertices}) == len(vertices)
        assert 1 == len({vertex.slot_group for vertex in vertices})
    assert job.slots_needed() == len(in_slot)
    reordered = list(available)
    shuffled.shuffle(reordered)
    assert placement == place(job, reordered, strategy=strategy)


@given(job=JOBS, hosts=st.integers(1, 5), spare=st.integers(0, 3))
def test_spreading_over_equal_task_managers_is_balanced_in_slots_and_subtasks(job, hosts, spare):
    placement = place(job, leases(*[-(-job.slots_needed() // hosts) + spare] * hosts))
    addresses = [f"tm-{number}/tm" for number in range(hosts)]
    used = [len({lease.slot for lease in placement.values() if lease.slot.task_manager == address}) for address in addresses]
    assert max(used) - min(used) <= 1
    load = [subtasks_on(placement).get(address, 0) for address in addresses]
    assert max(load) - min(load) <= len(job.vertices)


@given(job=JOBS, hosts=st.integers(1, 5), strategy=st.sampled_from(["spread", "pack"]))
def test_placing_again_over_the_same_slots_moves_nothing(job, hosts, strategy):
    available = leases(*[job.slots_needed()] * hosts)
    first = place(job, available, strategy=strategy)
    again = place(job, available, strategy=strategy, previous={subtask: lease.slot for subtask, lease in first.items()})
    assert first == again


def in_turn(sizes, slots_of_each, strategy):
    """Return how many slices each TaskManager gets, by asking all of them for each slice."""
    used, load, left = [0] * len(slots_of_each), [0] * len(slots_of_each), list(slots_of_each)
    for size in sorted(sizes, reverse=True):
        rank = {
            "spread": lambda host: (used[host], load[host], f"tm-{host}/tm"),
            "pack": lambda host: (used[host] == 0, -left[host], f"tm-{host}/tm"),
        }[strategy]
        host = min((host for host in range(len(left)) if left[host]), key=rank)
        used[host], load[host], left[host] = used[host] + 1, load[host] + size, left[host] - 1
    return used


@given(
    job=JOBS,
    slots_of_each=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    strategy=st.sampled_from(["spread", "pack"]),
)
def test_each_slice_goes_to_the_task_manager_whose_turn_it_is(job, slots_of_each, strategy):
    slots_of_each[0] += max(0, job.slots_needed() - sum(slots_of_each))
    placement = place(job, leases(*slots_of_each), strategy=strategy)
    slices = {}
    for subtask, lease in placement.items():
        slices.setdefault(lease.slot, []).append(subtask)
    got = [sum(slot.task_manager == f"tm-{host}/tm" for slot in slices) for host in range(len(slots_of_each))]
    assert in_turn(map(len, slices.values()), slots_of_each, strategy) == got
