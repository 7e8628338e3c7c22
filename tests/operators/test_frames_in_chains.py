"""Polars frames go into operators that compute with polars as they are, and everybody else gets Arrow."""

import polars as pl
import pyarrow as pa
import pytest
from chain_harness import Collected, chain_of, port

from actorflow.operators.specs import CountSpec, FilterSpec, MapBatchesSpec, MapSpec, SumSpec
from actorflow.wire.batch import FrameBatch, portions
from actorflow.wire.codec import decode_batch, encode_batch

FRAME = pl.DataFrame({"word": ["a", "b", "a"], "n": pl.Series([1, 2, 3], dtype=pl.Int32)})
SCHEMA = pa.schema([pa.field("word", pa.string(), metadata={"of": "a field"}), ("n", pa.int32())], {"of": "a schema"})


def framed():
    return FrameBatch(FRAME, SCHEMA)


def test_a_frame_becomes_a_record_batch_of_the_schema_once():
    batch = framed()
    assert pa.record_batch([["a", "b", "a"], pa.array([1, 2, 3], pa.int32())], schema=SCHEMA).equals(
        batch.columns, check_metadata=True
    )
    assert batch.columns is batch.columns


def test_portions_of_a_frame_are_frames():
    parts = list(portions(framed(), 2))
    assert [["a", "b"], ["a"]] == [part.frame["word"].to_list() for part in parts]
    assert [2, 1] == [len(part) for part in parts]


def test_a_frame_travels_as_columns():
    decoded = decode_batch(*encode_batch(framed()))
    assert framed().columns.equals(decoded.columns)


def test_a_function_over_frames_gets_the_frame_itself():
    seen = []
    chain, output = chain_of(MapBatchesSpec(lambda frame: seen.append(frame) or frame))
    chain.process(framed())
    assert FRAME is seen[0]
    assert FRAME.to_dicts() == output.records


def test_a_function_over_arrow_gets_arrow():
    chain, output = chain_of(MapBatchesSpec(lambda columns: columns.select(["n"]), "arrow"))
    chain.process(framed())
    assert [{"n": 1}, {"n": 2}, {"n": 3}] == output.records


@pytest.mark.parametrize(
    ("spec", "totals"), [(CountSpec("word"), [("a", 2), ("b", 1)]), (SumSpec("word", value="n"), [("a", 4), ("b", 2)])]
)
def test_aggregations_take_a_frame(spec, totals):
    chain, output = chain_of(spec)
    chain.process(framed())
    assert totals == output.records


def test_functions_of_records_get_the_rows_of_a_frame():
    chain, output = chain_of(FilterSpec(lambda row: row["word"] == "a"))
    chain.process(framed())
    assert [{"word": "a", "n": 1}, {"word": "a", "n": 3}] == output.records


@pytest.mark.parametrize(
    ("specs", "wanted"),
    [
        ((MapBatchesSpec(lambda frame: frame),), True),
        ((MapBatchesSpec(lambda columns: columns, "arrow"),), False),
        ((CountSpec("word"),), True),
        ((CountSpec(lambda row: row["word"]),), False),
        ((MapSpec(str), MapBatchesSpec(lambda frame: frame)), False),
        ((), False),
    ],
)
def test_a_chain_wants_frames_if_it_computes_with_polars_first(specs, wanted):
    chain, _ = chain_of(*specs)
    assert wanted == chain.takes_frames


def test_a_chain_whose_input_leaves_it_too_wants_no_frames():
    chain, _ = chain_of(MapBatchesSpec(lambda frame: frame), ports=[port(Collected(), -1)])
    assert not chain.takes_frames
