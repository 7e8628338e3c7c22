"""Splits that are aligned with other sources: what they report, and which of them may be read."""

from __future__ import annotations

import pytest
from chain_harness import Subtask, chain_of, operators

from actorflow.config import Config
from actorflow.errors import ConfigError, PlanError
from actorflow.operators import specs
from actorflow.operators.chain import compile_chain
from actorflow.operators.event_time.watermarks import TimestampSpec, Watermarks
from actorflow.plan.graph import OperatorSpec, Role
from actorflow.wire.batch import MIN_TIMESTAMP, ObjectBatch

NAME = "with_timestamps-0"


def aligned(watermarks=None, **options):
    subtask = Subtask()
    subtask.config = Config.of({"pipeline.auto-watermark-interval": 0})
    for name, value in options.items():
        setattr(subtask, name, value)
    watermarks = (watermarks or Watermarks.monotonous(idle_after="100ms")).aligned("live", "50ms")
    chain, _ = chain_of(TimestampSpec(lambda record: record, watermarks), context=subtask)
    chain.open()
    for split in (0, 1):
        chain.reading(split)
    return chain, subtask


def read(chain, split, record):
    chain.reading(split)
    chain.process(ObjectBatch([record]))


def may_read(chain):
    return [split for split in (0, 1) if chain.may_read(split)]


def test_a_split_is_read_until_its_event_time_is_known_and_then_as_far_as_is_allowed():
    chain, _ = aligned()
    assert may_read(chain) == [0, 1]
    read(chain, 0, 101)
    assert may_read(chain) == [1]

    chain.allow(NAME, 1, 100, None)
    assert may_read(chain) == [0, 1]
    read(chain, 0, 150)
    read(chain, 1, 101)
    assert may_read(chain) == [1]
    chain.allow(NAME, 2, 149, 10)
    assert may_read(chain) == [0, 1]


def test_an_answer_that_was_overtaken_or_is_for_another_changes_nothing():
    chain, _ = aligned()
    read(chain, 0, 101)
    chain.allow(NAME, 2, 1000, None)
    chain.allow(NAME, 1, 0, None)
    chain.allow("another", 3, 0, None)
    assert may_read(chain) == [0, 1]


def test_it_reports_at_the_start_every_update_and_at_once_what_others_wait_for():
    chain, subtask = aligned()
    assert subtask.reports == [(MIN_TIMESTAMP, "active")]
    read(chain, 0, 101)
    assert len(subtask.reports) == 1, "the other split holds the watermark of the subtask back"
    read(chain, 1, 51)
    assert subtask.reports[1:] == [(50, "active")]
    read(chain, 1, 81)
    subtask.advance_to(999)
    assert len(subtask.reports) == 2
    subtask.advance_to(1000)
    assert subtask.reports[2:] == [(80, "active")]
    for split in (0, 1):
        chain.nothing_from(split)
    subtask.advance_to(1100)
    for split in (0, 1):
        chain.nothing_from(split)
    assert subtask.reports[3:] == [(100, "idle")]
    read(chain, 1, 90)
    assert subtask.reports[4:] == [(100, "active")]


def test_the_time_in_which_a_split_may_not_be_read_does_not_make_it_idle():
    chain, subtask = aligned()
    read(chain, 0, 101)
    chain.nothing_from(0)
    assert may_read(chain) == [1]
    subtask.advance_to(5000)
    chain.allow(NAME, 1, 1000, None)
    assert chain.nothing_from(0) == 100


def test_what_is_known_of_the_alignment_can_be_looked_at():
    chain, _ = aligned()
    read(chain, 0, 101)
    chain.allow(NAME, 1, 60, 20)
    facts = chain.observe()[NAME]
    assert facts["alignment"] == {"group": "live", "lead_ms": 20, "allowed": 60}
    assert facts["splits"] == {
        0: {"watermark": 100, "idle": False, "paused": True},
        1: {"watermark": None, "idle": False, "paused": False},
    }


def test_in_batch_mode_nobody_waits():
    chain, subtask = aligned(batch=True)
    read(chain, 0, 101)
    assert may_read(chain) == [0, 1]
    assert subtask.reports == []


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(PlanError, match="none"):
        Watermarks.none().aligned("live", "1s")
    with pytest.raises(PlanError, match="needs a name"):
        Watermarks.monotonous().aligned("", "1s")
    for bad in ({"max_drift": 0}, {"max_drift": "1s", "update": "soon"}, {"max_drift": "1s", "update": 0}):
        with pytest.raises(ConfigError, match=r"of Watermarks\.aligned"):
            Watermarks.monotonous().aligned("live", **bad)


def examples():
    """One spec of each kind that runs in a chain and says that it is immediate."""
    yield specs.MapSpec(str)
    yield specs.FlatMapSpec(str)
    yield specs.FilterSpec(str)
    yield specs.MapBatchesSpec(str)
    yield specs.CountSpec(str)
    yield TimestampSpec(str, Watermarks.monotonous())


@pytest.mark.parametrize("spec", list(examples()), ids=lambda spec: spec.kind)
def test_what_a_plan_takes_for_immediate_is_so_when_it_runs(spec):
    assert isinstance(spec, OperatorSpec)
    assert spec.role is Role.TRANSFORM
    assert spec.immediate
    chain = compile_chain(operators(spec), [], Subtask())
    assert all(stage.immediate for stage in chain._stages)
