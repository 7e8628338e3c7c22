"""Operators are actors: they answer the client, and tell each other."""

from __future__ import annotations

import pytest
from cluster_options import REPORT_SOON

import actorflow as af
from actorflow.errors import PlanError, UserFunctionError


class Counter(af.OperatorActor):
    """Counts records, and answers how many it has seen."""

    def on_start(self, ctx):
        self.seen = 0
        self.told = []

    def on_record(self, record, ctx):
        self.seen += 1
        ctx.emit(record)

    def on_message(self, message, ctx):
        if message == "fail":
            raise ValueError("asked to fail")
        if message == "told?":
            ctx.reply(self.told)
        elif isinstance(message, tuple):
            self.told.append(message)
        else:
            ctx.reply({"message": message, "seen": self.seen, "index": ctx.parallel_index})


class Teller(af.OperatorActor):
    """Tells the first counter about every tenth record."""

    def on_record(self, record, ctx):
        if record % 10 == 0:
            ctx.actor("/jobs/talk/counter/0").tell((record, ctx.parallel_index))
        ctx.emit(record)


@pytest.fixture(params=["inline", pytest.param(2, marks=pytest.mark.slow)])
def job(request):
    pipeline = af.Pipeline("talk")
    numbers = pipeline.read(af.sources.generator(rate=500))
    numbers.process(Counter(), name="counter").rebalance().process(Teller(), name="teller").write(af.sinks.discard())
    with af.LocalCluster(slots=request.param, config=REPORT_SOON) as cluster:
        job = cluster.submit(pipeline, parallelism=2)
        assert job.wait_until(lambda: job.progress()[1] > 50, 20)
        yield job
        job.cancel()
        with pytest.raises(af.ActorflowError, match="cancelled"):
            job.wait("20s")


def test_an_operator_answers_with_any_value(job):
    first, second = (job.operator("counter", index).ask(("a", 1)) for index in (0, 1))
    answer = job.operator("counter", 1).ask({1: "ping"})

    assert (first, second) == (None, None)
    assert (answer["message"], answer["index"]) == ({1: "ping"}, 1)
    assert answer["seen"] > 0


def test_operators_tell_each_other_by_path(job):
    counter = job.operator("counter")

    assert job.wait_until(lambda: len(counter.ask("told?")) > 3, 20)
    assert {index for _, index in counter.ask("told?")} <= {0, 1}


def test_an_operator_that_is_not_there_is_refused_with_those_that_are(job):
    with pytest.raises(PlanError, match=r"/jobs/talk/counter/0\.\.1"):
        job.operator("conter")
    with pytest.raises(PlanError, match="no operator"):
        job.operator("counter", 2)


def test_what_on_message_raises_goes_to_the_asker_and_the_job_goes_on(job):
    with pytest.raises(UserFunctionError, match="asked to fail"):
        job.operator("counter").ask("fail")

    assert job.operator("counter").ask("alive?")["seen"] > 0


def test_what_a_told_message_raises_fails_the_job():
    pipeline = af.Pipeline("talk")
    pipeline.read(af.sources.generator(rate=500)).process(Counter(), name="counter").write(af.sinks.discard())
    with af.LocalCluster(slots="inline", config=REPORT_SOON) as cluster:
        job = cluster.submit(pipeline, parallelism=1)
        assert job.wait_until(lambda: job.progress()[1] > 50, 20)
        job.operator("counter").tell("fail")
        with pytest.raises(af.JobFailed, match="asked to fail"):
            job.wait("20s")
