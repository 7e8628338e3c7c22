"""Faults of a graph are found before anything runs, named, and come with advice."""

import dataclasses

import pytest
from plan_graphs import ReadingForEver, ReadingTimed, Timing, Windowing, edge, graph, line, op

from actorflow.errors import PlanError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.checks import check_graph
from actorflow.plan.suggest import nearest

READ, MAP, WRITE = op("read"), op("map"), op("write")
TIMED, WINDOW, LOG = op("timed", Timing()), op("window", Windowing()), op("log", ReadingTimed())


def test_a_sound_graph_passes():
    check_graph(line(READ, MAP, WRITE))


FAULTS = {
    "batch mode over a source without end": (
        graph([READ, op("socket", ReadingForEver()), WRITE], [edge("read", "write"), edge("socket", "write")], mode="batch"),
        (
            "pipeline 'job' cannot run in batch mode: its source 'socket' never ends"
            " (hint: batch mode waits for the end of all input: use mode='streaming', or give the source an end)"
        ),
    ),
    "empty": (graph([], []), "pipeline 'job' reads nothing (hint: begin with pipeline.read(source))"),
    "no sink": (
        line(READ, MAP),
        "pipeline 'job' writes nothing (hint: end a stream with .write(sink), or use actorflow.collect(stream))",
    ),
    "sink without input": (
        graph([READ, WRITE], []),
        "'write' has no input (hint: only sources begin a pipeline: connect it to a stream)",
    ),
    "transform without input": (
        graph([MAP, WRITE], [edge("map", "write")]),
        "'map' has no input (hint: only sources begin a pipeline: connect it to a stream)",
    ),
    "source with input": (
        graph([READ, op("read-2"), WRITE], [edge("read", "read-2"), edge("read-2", "write")]),
        "the source 'read-2' has an input (hint: a source reads from outside: use union to merge streams)",
    ),
    "sink with output": (
        graph([READ, WRITE, MAP], [edge("read", "write"), edge("write", "map")]),
        "the sink 'write' has an output (hint: a sink ends a stream: branch off before it)",
    ),
    "cycle": (
        graph(
            [READ, op("a"), op("b"), op("c"), WRITE],
            [
                edge("read", "a"),
                edge("a", "b"),
                edge("b", "c"),
                edge("c", "a"),
                edge("c", "write"),
            ],
        ),
        "the graph has a cycle: a -> b -> c -> a (hint: records flow one way: a loop needs an actor message or an outside topic)",
    ),
    "cycle of one": (
        graph([READ, MAP, WRITE], [edge("read", "map"), edge("map", "map"), edge("map", "write")]),
        "the graph has a cycle: map -> map (hint: records flow one way: a loop needs an actor message or an outside topic)",
    ),
    "order": (
        graph([MAP, READ, WRITE], [edge("read", "map"), edge("map", "write")]),
        "'map' stands before its producer 'read' (hint: list the operators so that every edge points to a later one)",
    ),
    "dangling edge": (
        graph([READ, WRITE], [edge("raed", "write")]),
        "an edge names the operator 'raed', which is not in the graph (hint: did you mean 'read'?)",
    ),
    "same name": (
        graph([READ, WRITE, dataclasses.replace(WRITE, id="other")], [edge("read", "write"), edge("read", "other")]),
        "two operators are named 'write' (hint: a name stands in paths and reports: give each its own)",
    ),
    "same uid": (
        graph([op("read", uid="x"), dataclasses.replace(MAP, id="read", uid="read"), WRITE], [edge("read", "write")]),
        "'read' and 'map' have the same uid 'read' (hint: a uid says which state belongs to which operator: give each its own)",
    ),
    "parallelism below one": (line(READ, op("write", parallelism=0)), "parallelism of 'write' must be at least 1, not 0"),
    "parallelism above the key groups": (
        line(READ, op("write", parallelism=9, max_parallelism=8)),
        (
            "parallelism of 'write' is 9, above its max_parallelism of 8 (hint: max_parallelism is the number of key groups, "
            "each subtask needs one: raise it, or use fewer subtasks)"
        ),
    ),
    "too many key groups": (
        line(READ, op("write", max_parallelism=40_000)),
        "max_parallelism of 'write' must be between 1 and 32768, not 40000",
    ),
    "pipeline's parallelism": (line(READ, WRITE, parallelism=0), "parallelism of pipeline 'job' must be at least 1, not 0"),
    "pipeline's key groups": (
        line(READ, WRITE, max_parallelism=0),
        "max_parallelism of pipeline 'job' must be between 1 and 32768, not 0",
    ),
    "name": (
        line(READ, op("write/it", op("write").spec)),
        "the name of an operator must not contain a slash or a control character: 'write/it' (hint: it is a part of actor paths)",
    ),
}


@pytest.mark.parametrize(("faulty", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_with_advice(faulty, expected):
    with pytest.raises(PlanError) as caught:
        check_graph(faulty)
    assert expected == str(caught.value)


@pytest.mark.parametrize("faulty", [faulty for faulty, _ in FAULTS.values()], ids=FAULTS)
def test_planning_refuses_what_the_checks_refuse(faulty):
    with pytest.raises(PlanError):
        build_execution_graph(faulty, default_parallelism=1)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("paralelism", "did you mean 'parallelism'?"),
        ("UID", "did you mean 'uid'?"),
        ("colour", "valid are 'name', 'uid', 'parallelism'"),
    ],
)
def test_the_nearest_name_is_suggested(wrong, expected):
    assert nearest(wrong, ["name", "uid", "parallelism"]) == expected
    assert nearest(wrong, []) == "there are none"


@pytest.mark.parametrize(
    "sound",
    [
        line(READ, MAP, TIMED, WINDOW, WRITE),
        line(LOG, MAP, WINDOW, WRITE),
        graph(
            [LOG, READ, TIMED, WINDOW, WRITE],
            [*map(edge, ("log", "read", "timed", "window"), ("window", "timed", "window", "write"))],
        ),
    ],
)
def test_event_times_reach_what_needs_them_from_with_timestamps_or_a_source_that_brings_them(sound):
    check_graph(sound)


@pytest.mark.parametrize(
    ("unsound", "producer"),
    [
        (line(READ, MAP, WINDOW, WRITE), "map"),
        (line(READ, MAP, WINDOW, TIMED, WRITE), "map"),
        (graph([LOG, READ, WINDOW, WRITE], [edge("log", "window"), edge("read", "window"), edge("window", "write")]), "read"),
    ],
)
def test_event_times_that_are_missing_are_found_before_anything_runs(unsound, producer):
    with pytest.raises(PlanError) as caught:
        check_graph(unsound)

    assert caught.value.message == f"'window' goes by event time, and the records from '{producer}' have none"
    assert "with_timestamps" in caught.value.hint
