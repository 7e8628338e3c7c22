"""Made-up jobs: topologies of any shape, and what their subtasks would show if some of them were slow."""

from __future__ import annotations

from hypothesis import strategies as st

from actorflow.ids import SubtaskId, VertexId
from actorflow.plan.topology import EdgeShape, Topology, VertexShape
from actorflow.runtime.subtasks.meter import SubtaskMetrics
from actorflow.runtime.subtasks.subtask_contract import InputView, OutputView, SubtaskView


@st.composite
def topologies(draw, vertices_max=6, parallelism_max=3):
    """Connected graphs in topological order: every vertex but the first few has producers before it."""
    count = draw(st.integers(2, vertices_max))
    parallelism = [draw(st.integers(1, parallelism_max)) for _ in range(count)]
    edges, fed = [], set()
    for target in range(1, count):
        for source in sorted(draw(st.sets(st.integers(0, target - 1), max_size=2))):
            equal = parallelism[source] == parallelism[target]
            kind = draw(st.sampled_from(["hash", "rescale", "broadcast", *(["forward"] if equal else [])]))
            edges.append(EdgeShape(VertexId(f"v{source}"), VertexId(f"v{target}"), kind))
            fed.add(target)
    vertices = tuple(VertexShape(VertexId(f"v{n}"), f"op{n}", (f"op{n}",), parallelism[n], 128, n not in fed) for n in range(count))
    return Topology("made-up", False, vertices, tuple(edges))


def metrics(busy=0, pressed=0):
    return SubtaskMetrics(0, 0, 0, 0, busy, 1000 - busy - pressed, pressed, 0.0, 0.0, 0.0)


def view(activity="idle", waits_for="", busy=0, pressed=0, watermark=0, inputs=(), outputs=(), checkpoint=0):
    shares = metrics(busy, pressed)
    return SubtaskView(
        "made up", activity, waits_for, shares, watermark, 0, (), {}, tuple(inputs), tuple(outputs), False, checkpoint
    )


def consumers_of(topology, subtask):
    return {consumer for producer, consumer in topology.channels() if producer == subtask}


def producers_of(topology, subtask):
    return {producer for producer, consumer in topology.channels() if consumer == subtask}


def reaching(topology, targets):
    """All subtasks from which a path leads to one of `targets`, those included: the naive way, round by round."""
    found = set(targets)
    while True:
        more = {producer for producer, consumer in topology.channels() if consumer in found} - found
        if not more:
            return found
        found |= more


def under_load(topology, slow):
    """What subtasks show when those in `slow` take too long and everything before them stands still."""
    channels = topology.channels()
    held = reaching(topology, slow) - set(slow)
    views = {}
    for subtask in topology.subtasks():
        outputs = [
            OutputView(number, 8 if full else 0, full)
            for number, (producer, consumer) in enumerate(channels)
            if producer == subtask
            for full in [subtask in held and (consumer in held or consumer in slow)]
        ]
        inputs = [
            InputView(number, 4 if subtask in slow else 0, 0, "counting", False, 0)
            for number, (_, consumer) in enumerate(channels)
            if consumer == subtask
        ]
        if subtask in slow:
            views[subtask] = view("busy", busy=990, inputs=inputs, outputs=outputs)
        elif subtask in held:
            views[subtask] = view("back_pressured", "credit", pressed=950, busy=50, inputs=inputs, outputs=outputs)
        else:
            views[subtask] = view("idle", "input", busy=100, inputs=inputs, outputs=outputs)
    return views


def with_watermarks(topology, told):
    """What subtasks show when the source subtasks have told these watermarks, and everything has passed on."""
    channels = topology.channels()
    reached = {}
    views = {}
    for subtask in topology.subtasks():
        inputs = [
            InputView(number, 0, reached[producer], "counting", False, 0)
            for number, (producer, consumer) in enumerate(channels)
            if consumer == subtask
        ]
        reached[subtask] = min((channel.watermark for channel in inputs), default=told.get(subtask, 0))
        views[subtask] = view(watermark=reached[subtask], inputs=inputs)
    return views


def sources_of(topology):
    vertices = {vertex.id for vertex in topology.vertices if vertex.source}
    return [subtask for subtask in topology.subtasks() if subtask.vertex in vertices]


def subtask(vertex, index=0):
    return SubtaskId(VertexId(vertex), index)
