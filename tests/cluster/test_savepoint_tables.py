"""Savepoints as tables: edited, made from nothing, compared; and jobs that go on from them."""

import polars as pl
import pytest
from cluster_options import REPORT_SOON
from visible_output import committed

import actorflow as af
from actorflow.errors import CheckpointError, SerializationError


class Totals(af.OperatorActor):
    total = af.ValueState(int, default=0)
    seen = af.MapState(str, int)
    largest = af.ReducingState(int, max)

    def on_record(self, number, ctx):
        self.total.set(self.total.get() + number)
        self.seen.put("all", self.seen.get("all", 0) + 1)
        self.largest.add(number)
        ctx.emit([ctx.key, self.total.get(), self.seen.get("all"), self.largest.get()])


def totals(out, count=None, rate=2000.0):
    pipeline = af.Pipeline("totals", parallelism=2)
    numbers = pipeline.read(af.sources.generator(count=count, rate=rate), uid="numbers")
    numbers.key_by(lambda number: number % 3).process(Totals(), uid="totals").write(af.sinks.json_lines(str(out)), uid="out")
    return pipeline


@pytest.fixture
def path(tmp_path):
    with af.LocalCluster(slots="inline", config=REPORT_SOON) as cluster:
        job = cluster.submit(totals(tmp_path / "first"))
        assert job.wait_until(lambda: job.progress()[0] >= 50, 60)
        return job.stop(tmp_path / "savepoints")


def test_every_state_is_a_table_by_operator_and_name(path):
    saved = af.savepoint.read(path)
    assert {"total", "seen", "largest"} <= set(saved.operators()["totals"])
    frame = saved.polars("totals", "total").sort("key")
    assert {"key_group": pl.Int32, "key": pl.Int64, "value": pl.Int64} == dict(frame.schema)
    assert [0, 1, 2] == frame["key"].to_list()
    assert ["all"] * 3 == saved.arrow("totals", "seen").column("entry").to_pylist()
    with pytest.raises(CheckpointError, match="no operator 'total'") as caught:
        saved.arrow("total", "total")
    assert "did you mean 'totals'?" in caught.value.hint
    with pytest.raises(CheckpointError, match="has no state 'totl'"):
        saved.arrow("totals", "totl")


def test_a_job_goes_on_from_what_was_edited_and_the_original_stays(path, tmp_path):
    saved = af.savepoint.read(path)
    frame = saved.polars("totals", "total").with_columns(pl.lit(1_000_000).alias("value")).drop("key_group")
    edited = saved.with_state("totals", "total", frame.reverse()).write(tmp_path / "edited")
    assert {("totals", "total"): (3, 3)} == af.savepoint.diff(path, edited).states
    assert not af.savepoint.diff(path, path)
    assert "no difference" == str(af.savepoint.diff(path, path))
    with af.LocalCluster(slots="inline", config=REPORT_SOON) as cluster:
        job = cluster.submit(totals(tmp_path / "out"), from_savepoint=edited)
        assert job.wait_until(lambda: job.progress()[0] >= 50, 60)
        job.stop(tmp_path / "savepoints")
    assert all(total >= 1_000_000 for _, total, _, _ in committed(tmp_path / "out"))
    with pytest.raises(CheckpointError, match="there is a savepoint in"):
        saved.write(tmp_path / "edited")


def test_a_job_that_has_never_run_starts_from_values_that_were_made_up(tmp_path):
    made = af.savepoint.create("totals").with_operator("totals")
    made = made.with_values("totals", "total", {0: 100, 1: 200, 2: 300}, declared=Totals.total)
    made = made.with_values("totals", "seen", {key: {"all": 9} for key in range(3)}, declared=Totals.seen)
    made = made.with_values("totals", "largest", {0: 77}, declared=Totals.largest)
    path = made.write(tmp_path / "made")
    af.run(totals(tmp_path / "out", count=3, rate=1e6), slots="inline", from_savepoint=path)
    assert [[0, 100, 10, 77], [1, 201, 10, 1], [2, 302, 10, 2]] == sorted(committed(tmp_path / "out"))
    with pytest.raises(SerializationError, match="state 'total' of 'totals'"):
        made.with_values("totals", "total", {0: "text"}, declared=Totals.total)


def test_columns_keep_their_types(path):
    saved = af.savepoint.read(path)
    frame = saved.polars("totals", "total")
    with pytest.raises(CheckpointError, match="the column 'value' of state 'total' of 'totals' is not of type int64"):
        saved.with_state("totals", "total", frame.with_columns(pl.lit("text").alias("value")))
    with pytest.raises(CheckpointError, match="lacks the column 'value'"):
        saved.with_state("totals", "total", frame.drop("value"))
