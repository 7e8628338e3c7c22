"""What a job makes of the slots there are, as it follows from its options and from how wide it is to run."""

import math

import pytest

import actorflow as af
from actorflow.clock import ManualClock
from actorflow.config import Config
from actorflow.errors import ConfigError, PlanError
from actorflow.ids import Address, JobId
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.jobs.job_messages import SubmitJob
from actorflow.runtime.jobs.job_planning import JobPlanner

PREFIX = "jobmanager.adaptive-scheduler."
ADAPTIVE, REACTIVE = {"jobmanager.scheduler": "adaptive"}, {"scheduler-mode": "reactive"}


def described(options, scale=None, *, blocking=False):
    pipeline = af.Pipeline("counting", max_parallelism=8, mode="batch" if blocking else "auto")
    read = pipeline.read(af.sources.collection([1, 2, 3])).map(str, uid="as-text", slot_group="text")
    read.key_by(lambda text: text).count(uid="counted", slot_group="counts").write(af.sinks.discard())
    graph = build_execution_graph(pipeline.graph(), default_parallelism=4, blocking=blocking)
    submission = SubmitJob(JobId("job-1"), "counting", b"", {}, Address("client/ear"))
    planner = JobPlanner(submission, graph, Config.of(options), ManualClock(), submission.client, EarlierLife())
    return planner.plan(scale or Scale())


def elasticity(options, scale=None, **settings):
    return described(options, scale, **settings).elasticity


def test_a_job_waits_for_all_its_slots_unless_it_is_told_otherwise():
    assert elasticity({}) is None
    assert elasticity(ADAPTIVE, blocking=True) is None
    assert elasticity(REACTIVE, blocking=True) is None


def test_the_time_outs_of_an_adaptive_job_are_those_of_flink():
    found = elasticity(ADAPTIVE)
    assert (300.0, 10.0, 30.0, 60.0) == (found.wait_s, found.settle_s, found.cooldown_s, found.stabilize_s)


def test_a_reactive_job_waits_for_as_long_as_it_takes_and_takes_what_there_is_at_once():
    found = elasticity(REACTIVE)
    assert (math.inf, 0.0, 30.0, 0.0) == (found.wait_s, found.settle_s, found.cooldown_s, found.stabilize_s)


@pytest.mark.parametrize("mode", [ADAPTIVE, REACTIVE])
@pytest.mark.parametrize(("given", "wait_s"), [("7s", 7.0), ("-1", math.inf), (-1, math.inf), ("-1 ms", math.inf), (0, 0.0)])
def test_what_is_said_goes_before_the_defaults_of_either_mode(mode, given, wait_s):
    said = {
        f"{PREFIX}submission.resource-wait-timeout": given,
        f"{PREFIX}submission.resource-stabilization-timeout": "2s",
        f"{PREFIX}executing.resource-stabilization-timeout": "3s",
        f"{PREFIX}executing.cooldown-after-rescaling": "4s",
    }
    found = elasticity(mode | said)
    assert (wait_s, 2.0, 4.0, 3.0) == (found.wait_s, found.settle_s, found.cooldown_s, found.stabilize_s)


def test_only_the_time_to_wait_may_be_without_limit():
    with pytest.raises(ConfigError, match="resource-stabilization-timeout"):
        elasticity({f"{PREFIX}submission.resource-stabilization-timeout": "-1"})


def test_a_job_without_checkpoints_is_widened_only_if_that_is_said():
    assert not elasticity(ADAPTIVE).widens
    assert elasticity(ADAPTIVE | {"execution.checkpointing.interval": "1s"}).widens
    assert elasticity(ADAPTIVE | {"actorflow.adaptive-scheduler.widen-from-scratch": True}).widens


def test_what_a_job_wants_and_must_have_does_not_depend_on_how_many_slots_there_are():
    scale = {"parallelism": 5, "operators_least": {"counted": 3}}
    for most in (None, 1, 4):
        found = elasticity(ADAPTIVE, Scale(most=most, **scale))
        assert found.wanted == (5, 5, 5)
        assert sorted(found.least) == [1, 1, 3]


def test_what_was_asked_for_is_known_of_a_job_that_runs_narrower():
    narrow = described(ADAPTIVE, Scale(most=2, operators={"counted": 3}))
    assert {vertex.parallelism for vertex in narrow.graph.vertices} == {2}
    assert (4, 3) == (narrow.wanted["as-text"], narrow.wanted["counted"])


def test_a_job_is_refused_lower_bounds_of_operators_that_it_does_not_have():
    with pytest.raises(PlanError, match="no operator with the uid 'nobody'"):
        elasticity(ADAPTIVE, Scale(operators_least={"nobody": 3}))


def test_a_reactive_job_wants_all_that_its_key_groups_allow():
    assert elasticity(REACTIVE).wanted == (8, 8, 8)
