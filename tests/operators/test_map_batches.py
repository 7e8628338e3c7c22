"""Functions over whole batches, between operators of either form."""

import polars as pl
import pyarrow as pa
import pytest
from chain_harness import Collected, Subtask, chain_of, port, run

from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.chain import compile_chain
from actorflow.operators.specs import CountSpec, FlatMapSpec, MapBatchesSpec, MapSpec
from actorflow.wire.batch import ColumnBatch, ObjectBatch


def columns(data, stamps=None):
    return ColumnBatch(pa.record_batch(data), None if stamps is None else pa.array(stamps, pa.int64()))


def test_objects_become_a_polars_frame_and_rows_become_objects_again():
    doubled = MapBatchesSpec(lambda frame: frame.select(pl.col("n") * 2))
    assert [2, 4] == run(MapSpec(lambda n: {"n": n}), doubled, MapSpec(lambda row: row["n"]), records=[1, 2])


def test_bare_values_stand_in_a_column_named_value():
    assert ["A", "B"] == run(MapBatchesSpec(lambda frame: frame.select(pl.col("value").str.to_uppercase())), records=["a", "b"])


def test_an_arrow_function_gets_and_gives_record_batches_or_tables():
    seen = []

    def twice(batch):
        seen.append(type(batch))
        return pa.Table.from_batches([batch, batch])

    chain, output = chain_of(MapBatchesSpec(twice, "arrow"))
    chain.process(columns({"n": [1, 2]}))
    assert ([pa.RecordBatch], [{"n": 1}, {"n": 2}] * 2) == (seen, output.records)
    assert all(isinstance(batch, ColumnBatch) for batch in output.batches)


def test_columns_stay_columns_into_a_columnar_aggregation():
    split = MapBatchesSpec(lambda frame: frame.select(pl.col("value").str.split(" ").alias("word")).explode("word"))
    chain, output = chain_of(split, CountSpec("word"))
    chain.process(ObjectBatch(["a b a", "b"]))
    chain.process(ObjectBatch(["a"]))
    assert all(isinstance(batch, ColumnBatch) for batch in output.batches)
    assert [("a", 2), ("b", 2), ("a", 3)] == output.records


@pytest.mark.parametrize("nothing", [None, pl.DataFrame({"n": []})])
def test_no_rows_give_no_batch(nothing):
    assert [] == run(MapBatchesSpec(lambda frame: nothing), records=[1])


def test_records_that_have_no_common_columns_are_refused_with_the_operator():
    with pytest.raises(UserFunctionError, match="cannot make a column of the values of 'n'") as caught:
        run(MapBatchesSpec(lambda frame: frame), records=[{"n": 1}, {"n": "x"}])
    assert "map_batches-0" == caught.value.info().context["operator"]


def test_a_lazy_frame_is_collected():
    assert [1] == run(MapBatchesSpec(lambda frame: frame.lazy().head(1)), records=[1, 2])


def test_event_times_follow_their_rows_through_filters_and_sorts():
    spec = MapBatchesSpec(lambda frame: frame.filter(pl.col("value") != 2).sort("value", descending=True))
    chain, output = chain_of(spec)
    chain.process(ObjectBatch([1, 2, 3], [10, 20, 30]))
    assert [(3, 30), (1, 10)] == output.stamped


def test_rows_without_the_time_column_get_the_latest_time_of_their_batch():
    chain, output = chain_of(MapBatchesSpec(lambda frame: frame.select(pl.col("value").sum())))
    chain.process(ObjectBatch([1, 2, 3], [10, 30, 20]))
    assert [(6, 30)] == output.stamped


def test_a_failing_function_is_reported_with_the_operator():
    def fail(frame):
        return frame.select("missing")

    with pytest.raises(UserFunctionError) as caught:
        run(MapBatchesSpec(fail), records=[1])
    assert ("ColumnNotFoundError", "map_batches-0") == (caught.value.error.kind, caught.value.error.context["operator"])
    assert 'return frame.select("missing")' in caught.value.error.traceback


def test_a_function_that_returns_no_frame_is_refused():
    with pytest.raises(PlanError, match="'map_batches-0' returned a list"):
        run(MapBatchesSpec(lambda frame: [1]), records=[1])


def test_columns_without_operators_go_to_all_outputs_as_they_are():
    one, other, batch = Collected(), Collected(), columns({"n": [1]})
    chain = compile_chain([], [port(one), port(other)], Subtask())
    chain.process(batch)
    assert ([batch], [batch]) == (one.batches, other.batches)


def test_columns_become_objects_for_a_loop_with_their_times():
    chain, output = chain_of(FlatMapSpec(lambda row: [row["n"], -row["n"]]))
    chain.process(columns({"n": [1, 2]}, [7, 8]))
    assert [(1, 7), (-1, 7), (2, 8), (-2, 8)] == output.stamped
