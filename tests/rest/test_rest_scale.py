"""How wide a job runs, over HTTP: by vertex, as Flink's resource requirements."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rest_harness import DEADLINE_S, served

import actorflow as af
from actorflow.protocol.jobs.rescaling import RescalingView
from actorflow.rest import answers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server on a cluster with a job that takes checkpoints."""
    options = {
        "execution.checkpointing.interval": "10min",
        "execution.checkpointing.dir": str(tmp_path_factory.mktemp("checkpoints")),
    }
    with served(options) as served_:
        yield served_


def path_of(rest):
    return f"/jobs/{rest.job.id}/resource-requirements"


def bounds(widths, lower=1):
    return {vertex: {"parallelism": {"lowerBound": lower, "upperBound": width}} for vertex, width in widths.items()}


def widths(rest):
    return {vertex["id"]: vertex["parallelism"] for vertex in rest.ask(f"/jobs/{rest.job.id}")[1]["vertices"]}


def test_a_job_runs_with_the_upper_bounds(running):
    source, count = widths(running)
    assert running.ask(path_of(running)) == (200, bounds({source: 2, count: 2}))

    status, answer = running.ask(path_of(running), "PUT", bounds({count: 3}))

    assert (answer, status in {200, 202}) == ({}, True)
    assert running.job.wait_until(lambda: widths(running) == {source: 2, count: 3}, DEADLINE_S)
    assert running.ask(path_of(running)) == (200, bounds({source: 2, count: 3}))
    assert running.ask("/config")[1]["features"]["web-rescale"] is True


def test_the_lower_bounds_are_kept_with_those_of_vertices_that_are_not_named(running):
    source, count = widths(running)
    before = running.ask(path_of(running))[1]
    assert running.ask(path_of(running), "PUT", bounds({count: 4}, lower=2))[0] in {200, 202}
    assert running.job.wait_until(lambda: widths(running)[count] == 4, DEADLINE_S)
    assert running.ask(path_of(running), "PUT", bounds({source: 1}))[0] in {200, 202}
    assert running.job.wait_until(lambda: widths(running)[source] == 1, DEADLINE_S)
    assert running.ask(path_of(running)) == (200, before | bounds({count: 4}, lower=2) | bounds({source: 1}))


@pytest.mark.parametrize(
    ("width", "lower", "status", "why"),
    [
        (129, 1, 400, "above its max_parallelism"),
        (1, 2, 400, "at least 2 and at most 1"),
        (0, 0, 400, "at least 0"),
        ("many", 1, 400, "upperBound"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(running, width, lower, status, why):
    before = widths(running)
    got, content = running.ask(path_of(running), "PUT", bounds({next(iter(before)): width}, lower))

    assert (got, why in content["errors"][0]) == (status, True), content
    assert widths(running) == before


def test_vertices_and_jobs_are_there(running):
    assert running.ask(path_of(running), "PUT", bounds({"nothing": 1}))[0] == 400
    assert running.ask("/jobs/nobody/resource-requirements", "PUT", bounds({"nothing": 1}))[0] == 404
    assert running.ask("/jobs/nobody/resource-requirements")[0] == 404


def test_a_job_without_checkpoints_is_not_begun_anew(rest):
    status, content = rest.ask(path_of(rest), "PUT", bounds(dict.fromkeys(widths(rest), 1)))

    assert status == 409
    assert "takes no checkpoints to go on from" in content["errors"][0]


def test_a_job_that_runs_with_the_slots_there_are_shows_what_was_asked_for(tmp_path):
    options = {"jobmanager.scheduler": "adaptive", "execution.checkpointing.interval": "10min"}
    with served({**options, "execution.checkpointing.dir": str(tmp_path)}, slots=2) as narrow:
        narrow.job.rescale(100, timeout="20s")
        there = widths(narrow)
        assert set(there.values()) == {2}
        assert narrow.ask(path_of(narrow)) == (200, bounds(dict.fromkeys(there, 100)))


def test_a_job_shows_its_parallelism_and_which_of_its_stages_run(rest):
    pipeline = af.Pipeline("staged", mode="batch", config={"execution.batch-shuffle-mode": "ALL_EXCHANGES_BLOCKING"})
    numbers = pipeline.read(af.sources.generator(count=100_000, rate=100))
    numbers.key_by(lambda n: n % 3).count(name="count").write(af.sinks.discard())
    job = rest.cluster.submit(pipeline, parallelism=2)
    assert job.wait_until(lambda: job.progress()[0] > 0, DEADLINE_S)
    shown = rest.ask(f"/jobs/{job.id}")[1]
    job.cancel()

    assert (shown["job-type"], shown["parallelism"], shown["rescaling"]) == ("BATCH", 2, None)
    assert [vertex["status"] for vertex in shown["vertices"]] == ["RUNNING", "CREATED"]
    expected = [([vertex["id"]], status) for vertex, status in zip(shown["vertices"], ("RUNNING", "CREATED"), strict=True)]
    assert [(stage["vertices"], stage["status"]) for stage in shown["stages"]] == expected


def test_another_parallelism_is_shown_from_when_it_is_asked_for(rest):
    view = rest.cluster.look()
    line, facts = answers.job_line(view.jobs()[rest.job.id], 0), view.facts(rest.job.id)

    asked = replace(facts, rescaling=RescalingView(4, "due"))
    shown = [answers.job_details(line, 0, each, {}) for each in (facts, asked)]
    assert [(each["parallelism"], each["rescaling"]) for each in shown] == [(2, None), (2, {"parallelism": 4, "phase": "due"})]
