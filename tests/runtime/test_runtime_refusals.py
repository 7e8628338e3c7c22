"""How values that cannot be used are reported: with the operator, and the record if one is to blame."""

from types import SimpleNamespace

import pytest

import actorflow as af
from actorflow.connectors.contracts import DataPath
from actorflow.errors import PlanError
from actorflow.ids import SubtaskId, VertexId
from actorflow.operators.failures import NOTHING
from actorflow.runtime.workers.assembly import Assembly


@pytest.mark.parametrize("error", [PlanError("no key"), KeyError("n")], ids=["refused", "raised"])
@pytest.mark.parametrize(("record", "shown"), [({"n": 1}, "{'n': 1}"), (None, "None"), (NOTHING, None)])
def test_a_record_is_named_if_one_is_to_blame(record, shown, error):
    producer = SimpleNamespace(id=SubtaskId(VertexId("map"), 0))
    consumer = SimpleNamespace(operators=(SimpleNamespace(name="count"),))
    context = Assembly._key_failure(producer, consumer)(error, record).info().context
    assert ("the key of 'count'", "map/0", shown) == (context["operator"], context["subtask"], context.get("record"))


class Columns(af.Sink):
    """Takes columns, and drops them."""

    takes = DataPath.COLUMNS

    def open(self, ctx):
        return self

    def write(self, batch):
        pass


def test_records_that_a_sink_of_columns_cannot_take_are_reported_with_the_sink():
    pipeline = af.Pipeline("mixed")
    pipeline.read(af.sources.collection([{"n": 1}, {"n": "x"}])).write(Columns(), name="columns")
    with pytest.raises(af.JobFailed, match="cannot make a column of the values of 'n'") as caught:
        af.run(pipeline, slots="inline", parallelism=1)
    assert "columns" == caught.value.error.context["operator"]
