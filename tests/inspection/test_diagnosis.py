"""Who holds up a job: what was planted is found, in jobs of any shape."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import (
    consumers_of,
    producers_of,
    reaching,
    sources_of,
    subtask,
    topologies,
    under_load,
    view,
    with_watermarks,
)

from actorflow.ids import VertexId
from actorflow.inspection.diagnosis import diagnose
from actorflow.plan.topology import EdgeShape, Topology, VertexShape
from actorflow.runtime.subtasks.subtask_contract import InputView, OutputView
from actorflow.wire.batch import MIN_TIMESTAMP


def blamed(diagnosis):
    return {blame.subtask for blame in diagnosis.culprits}


@given(topologies(), st.data())
@settings(max_examples=60)
def test_the_slow_are_named_and_nobody_else(topology, data):
    subtasks = topology.subtasks()
    one = data.draw(st.sampled_from(subtasks))
    # Another one that is slow before or behind the first would hide it, or be hidden.
    apart = [other for other in subtasks if other not in reaching(topology, [one]) and one not in reaching(topology, [other])]
    slow = {one, *data.draw(st.sets(st.sampled_from(apart), max_size=1) if apart else st.just(set()))}

    # The culprits of a job in which nobody is held up by them are found by their work: the busiest alone.
    held = reaching(topology, slow) - slow
    found = blamed(diagnose(topology, under_load(topology, slow), {}))
    named = {culprit for culprit in slow if producers_of(topology, culprit)} if held else slow
    assert found == named if held else found <= slow and len(found) == 1


@given(topologies(), st.data())
@settings(max_examples=60)
def test_every_wait_is_along_a_channel_and_the_silent_are_always_named(topology, data):
    slow = data.draw(st.sampled_from(topology.subtasks()))
    views = under_load(topology, {slow})
    views[slow] = None
    diagnosis = diagnose(topology, views, {})

    assert slow in blamed(diagnosis)
    for wait in diagnosis.waits:
        assert wait.awaited in consumers_of(topology, wait.waiter)


@given(topologies(), st.data())
@settings(max_examples=60)
def test_the_source_that_is_furthest_behind_holds_the_watermark(topology, data):
    last = {vertex.id for vertex in topology.vertices} - {edge.source for edge in topology.edges}
    ends = [each for each in topology.subtasks() if each.vertex in last]
    feeding = [source for source in sources_of(topology) if any(source in reaching(topology, [end]) for end in ends)]
    slowest = data.draw(st.sampled_from(feeding))
    told = dict.fromkeys(sources_of(topology), 7000) | {slowest: 5_000}
    holder = diagnose(topology, with_watermarks(topology, told), {}).watermark

    if len(told) == 1:
        assert holder is None
    else:
        assert holder.subtask == slowest
        assert holder.why == "is at watermark 5000, where others have reached 2 s more"


@given(topologies(), st.data())
@settings(max_examples=60)
def test_a_barrier_is_held_by_those_whose_producers_have_all_passed_it_on(topology, data):
    holder = data.draw(st.sampled_from(topology.subtasks()))
    behind, waiting = {holder}, {holder}
    while waiting:
        waiting = {consumer for each in waiting for consumer in consumers_of(topology, each)} - behind
        behind |= waiting
    missing = [each for each in topology.subtasks() if each in behind]
    views = {each: view("busy", busy=900) if each == holder else view() for each in topology.subtasks()}

    assert [blame.subtask for blame in diagnose(topology, views, {4: missing, 7: topology.subtasks()}).barriers[1]] == [holder]


# --- by hand ---------------------------------------------------------------------------------------------------------------

LINE = Topology(
    "line",
    False,
    tuple(VertexShape(VertexId(name), name, (name,), 1, 128, name == "a") for name in "abc"),
    (EdgeShape(VertexId("a"), VertexId("b"), "hash"), EdgeShape(VertexId("b"), VertexId("c"), "hash")),
)
A, B, C = subtask("a"), subtask("b"), subtask("c")


def test_an_operator_that_waits_for_its_calls_is_named_with_what_it_waits_for():
    views = {
        A: view("back_pressured", pressed=1000, outputs=[OutputView(0, 8, True)]),
        B: view("idle", "calls of its operators, which are under way"),
        C: view(),
    }
    [culprit] = diagnose(LINE, views, {}).culprits
    assert (culprit.subtask, culprit.why) == (B, "waits for calls of its operators, which are under way")


def test_a_job_that_has_nothing_to_do_waits_for_its_sources():
    views = {A: view("idle", "its reader, which has nothing for 1 s"), B: view("idle", "input"), C: view("idle", "input")}
    [culprit] = diagnose(LINE, views, {}).culprits
    assert (culprit.subtask, culprit.why) == (A, "waits for its reader, which has nothing for 1 s")


def test_observations_that_contradict_each_other_still_name_the_busiest():
    views = {
        A: view("back_pressured", outputs=[OutputView(0, 8, True)]),
        B: view("idle", busy=300, inputs=[InputView(0, 0, 0, "counting", False, 3), InputView(0, 0, 0, "counting", True, 0)]),
        C: view(),
    }
    assert blamed(diagnose(LINE, views, {})) == {B}


def test_whoever_aligns_barriers_waits_for_the_producer_that_owes_one():
    two = Topology(
        "two",
        False,
        tuple(VertexShape(VertexId(name), name, (name,), 1, 128, name != "c") for name in "abc"),
        (EdgeShape(VertexId("a"), VertexId("c"), "hash"), EdgeShape(VertexId("b"), VertexId("c"), "hash")),
    )
    views = {
        A: view("back_pressured", outputs=[OutputView(0, 8, True)]),
        B: view("busy", busy=950, outputs=[OutputView(1, 0, False)]),
        C: view("idle", inputs=[InputView(0, 5, 0, "counting", True, 0), InputView(1, 0, 0, "counting", False, 3)]),
    }
    diagnosis = diagnose(two, views, {3: [C]})
    assert blamed(diagnosis) == {B}
    assert [(wait.waiter, wait.awaited) for wait in diagnosis.waits] == [(A, C), (C, B)]
    assert (diagnosis.barriers[0], [blame.subtask for blame in diagnosis.barriers[1]]) == (3, [B])


def test_a_source_without_any_watermark_holds_everything_back():
    views = with_watermarks(LINE, {A: MIN_TIMESTAMP})
    assert diagnose(LINE, views, {}).watermark is None  # nobody makes any
    ahead = {**views, C: view(watermark=3)}
    assert diagnose(LINE, ahead, {}).watermark is None
