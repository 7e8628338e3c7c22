"""Where a job goes on from that is planned anew before it has a checkpoint of its own: each vertex takes what its operators had."""

import pytest

from actorflow.ids import OperatorId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.plan.graph import LogicalOperator, OperatorSpec
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.checkpoints.going_on import fitted
from actorflow.wire.manifest import Adopted, InlineState, SubtaskState, decode_part, encode_part
from actorflow.wire.savepoint_manifest import SavedOperator, SavedVertex, decode_vertex, encode_vertex


def graph(*chains):
    """A graph of chains, each a text with a letter for each operator."""
    vertices = [
        Vertex(
            VertexId(chain[0]),
            chain,
            tuple(LogicalOperator(OperatorId(f"id-{one}"), one, OperatorSpec()) for one in chain),
            1,
            8,
            "g",
            "d",
        )
        for chain in chains
    ]
    return ExecutionGraph("job", tuple(vertices), (), ())


def saved(chain):
    return encode_vertex(SavedVertex("home", {name: SavedOperator(f"id-{name}", name, "", 1, 8) for name in chain}))


def taken(part):
    """The operators of a part, however it is stored."""
    found = decode_vertex(part)
    return "".join(found.operators if found is not None else decode_part(part).adopted.names.values())


@pytest.mark.parametrize(
    ("then", "now"),
    [(("abc",), ("a", "bc")), (("a", "bc"), ("abc",)), (("ab", "c"), ("a", "bc")), (("abc",), ("abc",))],
)
@pytest.mark.parametrize("kind", ["savepoint", "checkpoint"])
def test_each_vertex_takes_what_its_operators_had(then, now, kind):
    def part(chain):
        if kind == "savepoint":
            return saved(chain)
        names = {f"old-{one}": one for one in chain}
        return encode_part(SubtaskState(0, InlineState(b"state"), adopted=Adopted(names, outputs=True)))

    first = Restored(7, {VertexId(chain[0]): (part(chain),) for chain in then})
    found = fitted(first, graph(*then), graph(*now))
    assert 7 == found.checkpoint
    for chain in now:
        assert sorted(chain) == sorted("".join(map(taken, found.parts[VertexId(chain[0])])))


def test_a_vertex_whose_operators_had_nothing_gets_nothing():
    first = Restored(7, {VertexId("a"): (saved("a"),)})
    assert {VertexId("a")} == fitted(first, graph("abc"), graph("ab", "c")).parts.keys()


def test_output_that_waits_is_taken_by_who_has_the_last_operator():
    part = encode_part(SubtaskState(0, InlineState(b"state"), adopted=Adopted({"x": "a", "y": "b"}, outputs=True)))
    found = fitted(Restored(7, {VertexId("a"): (part,)}), graph("ab"), graph("a", "b"))
    assert [False, True] == [decode_part(found.parts[VertexId(name)][0]).adopted.outputs for name in "ab"]
