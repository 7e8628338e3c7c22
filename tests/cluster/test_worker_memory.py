"""The limit of a slot's memory: who goes beyond it is ended by name, and nobody else notices."""

import subprocess
import sys
import time

import pytest
from cluster_options import REPORT_SOON

import actorflow as af

LIMIT = {"taskmanager.memory.process.size": "600mb", **REPORT_SOON}


class Hoarder(af.OperatorActor):
    """Keeps more memory than a slot has, and goes on."""

    def on_start(self, ctx):
        self.kept = b"x" * (400 << 20)

    def on_record(self, record, ctx):
        ctx.emit(record)


class HoarderByProxy(af.OperatorActor):
    """Has processes of its own that do the same."""

    def on_start(self, ctx):
        hoard = "kept = b'x' * (100 << 20); print(flush=True); input()"
        self.started = [
            subprocess.Popen([sys.executable, "-c", hoard], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
        ]
        for each in self.started:
            each.stdout.readline()

    def on_record(self, record, ctx):
        ctx.emit(record)


class HoarderInSteps(af.OperatorActor):
    """Takes more with every record, as fast as it can, and never comes back."""

    def on_record(self, record, ctx):
        kept = []
        while True:
            kept.append(b"x" * (1 << 20))
            time.sleep(0.001)


def endless(name, operator=None):
    pipeline = af.Pipeline(name)
    numbers = pipeline.read(af.sources.generator(rate=500))
    (numbers if operator is None else numbers.process(operator, name="hoarder")).write(af.sinks.discard())
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize("hoarder", [Hoarder, HoarderByProxy, HoarderInSteps])
def test_a_worker_that_uses_more_than_its_share_fails_by_name_and_jobs_beside_it_go_on(hoarder):
    with af.LocalCluster(slots=2, config=LIMIT) as cluster:
        beside = cluster.submit(endless("beside"), parallelism=1)
        hoarding = cluster.submit(endless("hoarding", hoarder()), parallelism=1)
        with pytest.raises(
            af.JobFailed, match=r"uses \d+ MB, more than its limit of 300 MB .*taskmanager.memory.process.size"
        ) as failed:
            hoarding.wait("60s")
        assert "hoarder" in failed.value.error.context["it ran"]
        seen = beside.progress()[0]
        assert beside.wait_until(lambda: beside.progress()[0] > seen, 30)
        assert 1 == beside.attempts


def test_a_share_that_is_less_than_a_worker_needs_is_refused_with_the_figures():
    with pytest.raises(af.ConfigError, match=r"leaves each of 4 slots 25 MB, and a worker needs 48 MB .*192 MB at least"):
        af.LocalCluster(slots=4, config={"taskmanager.memory.process.size": "100mb"})
