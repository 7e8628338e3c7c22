"""What is told over REST of a checkpoint, from what its subtasks took for it."""

import pytest

from actorflow.ids import SubtaskId, VertexId
from actorflow.plan.topology import VertexShape
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointStatistics
from actorflow.protocol.checkpoints.checkpoint_messages import SubtaskTimes
from actorflow.rest import checkpoint_answers

COUNT, OTHER = VertexId("count"), VertexId("other")
TIMES = {SubtaskId(COUNT, index): SubtaskTimes(state_bytes=10**index) for index in (2, 0, 1)}
TAKEN = CheckpointStatistics(7, 1_000, "chk-7", 0.1, {**TIMES, SubtaskId(OTHER, 0): SubtaskTimes(state_bytes=5)})


@pytest.mark.parametrize("parallelism", [1, 3, 4])
def test_all_subtasks_that_took_part_are_told_whatever_the_parallelism_is_now(parallelism):
    vertex = VertexShape(COUNT, "count", ("count",), parallelism, 128, source=False)
    told = checkpoint_answers.of_vertex(TAKEN, vertex)
    assert [(0, 1), (1, 10), (2, 100)] == [(each["index"], each["state_size"]) for each in told["subtasks"]]
    assert (3, 111) == (told["num_subtasks"], told["state_size"])
