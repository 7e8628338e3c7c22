"""Metrics that operators make of their own."""

import logging
import math

import pytest
from chain_harness import Subtask, chain_of
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import PlanError
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.processing.metrics import QUANTILES, Histogram, Metrics, quantile_name
from actorflow.operators.specs import ProcessSpec
from actorflow.wire.batch import ObjectBatch

NUMBERS = st.integers(-(10**6), 10**6)


class Lengths(OperatorActor):
    def on_start(self, ctx):
        self.empty = ctx.metrics.counter("empty")
        self.length = ctx.metrics.histogram("length")
        self.longest = 0
        ctx.metrics.gauge("longest", lambda: self.longest)
        self.last = ctx.metrics.gauge("last")

    def on_record(self, record, ctx):
        if not record:
            self.empty.inc()
        self.length.update(len(record))
        self.longest = max(self.longest, len(record))
        self.last.set(record)


@pytest.fixture
def metrics():
    return Metrics("op", logging.getLogger("test"))


def test_what_an_operator_counts_is_seen_beside_its_facts():
    chain, _ = chain_of(ProcessSpec(None, Lengths()), context=Subtask())
    chain.open()
    chain.process(ObjectBatch(["one", "", "three", ""]))
    [facts] = chain.observe().values()
    length = facts["metrics"].pop("length")
    assert facts["records_in"] == 4
    assert facts["metrics"] == {"empty": 2, "longest": 5, "last": ""}
    assert (length["count"], length["min"], length["max"], length["mean"], length["p50"]) == (4, 0, 5, 2, 0)


def test_an_operator_without_metrics_shows_none():
    chain, _ = chain_of(ProcessSpec(None, OperatorActor()), context=Subtask())
    chain.open()
    [facts] = chain.observe().values()
    assert "metrics" not in facts


def test_a_name_leads_to_one_metric_of_one_kind(metrics):
    metrics.counter("n").inc(3)
    metrics.counter("n").dec()
    assert metrics.values() == {"n": 2}
    with pytest.raises(PlanError, match="'op' wants 'n' as a gauge, and has it as a counter"):
        metrics.gauge("n")


@pytest.mark.parametrize("name", ["", "late records", "1st", "a.b", "ö", None, 3])
def test_a_name_that_prometheus_would_not_take_is_refused(metrics, name):
    with pytest.raises(PlanError, match="names a metric"):
        metrics.counter(name)


def test_a_histogram_without_a_window_is_refused(metrics):
    with pytest.raises(PlanError, match="over 0 values"):
        metrics.histogram("h", window=0)


def test_a_gauge_that_fails_is_left_out_and_told_of_once(metrics, caplog):
    metrics.gauge("broken", lambda: 1 / 0)
    metrics.counter("n")
    assert metrics.values() == metrics.values() == {"n": 0}
    assert [record.message for record in caplog.records] == ["the gauge 'broken' of 'op' cannot be read, and is not shown"]


@given(st.lists(NUMBERS, max_size=60), st.integers(1, 20))
def test_statistics_are_those_of_the_last_values(values, window):
    histogram = Histogram(window)
    for value in values:
        histogram.update(value)
    last = values[-window:]
    seen = histogram.statistics()
    assert seen["count"] == len(values)
    if not last:
        assert seen == {"count": 0}
        return
    mean = sum(last) / len(last)
    assert (seen["min"], seen["max"]) == (min(last), max(last))
    assert seen["mean"] == pytest.approx(mean)
    assert seen["stddev"] == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in last) / len(last)))
    for quantile in QUANTILES:
        shown = seen[quantile_name(quantile)]
        assert shown in last
        assert sum(v <= shown for v in last) >= quantile * len(last) > sum(v < shown for v in last)


def test_quantiles_have_the_names_of_flink():
    assert [quantile_name(q) for q in QUANTILES] == ["p50", "p75", "p95", "p98", "p99", "p999"]
