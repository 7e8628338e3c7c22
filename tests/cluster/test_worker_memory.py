"""The limit of a slot's memory: who goes beyond it is ended by name, and nobody else notices."""

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


def endless(name, operator=None):
    pipeline = af.Pipeline(name)
    numbers = pipeline.read(af.sources.generator(rate=500))
    (numbers if operator is None else numbers.process(operator, name="hoarder")).write(af.sinks.discard())
    return pipeline


@pytest.mark.slow
def test_a_worker_that_uses_more_than_its_share_fails_by_name_and_jobs_beside_it_go_on():
    with af.LocalCluster(slots=2, config=LIMIT) as cluster:
        beside = cluster.submit(endless("beside"), parallelism=1)
        hoarding = cluster.submit(endless("hoarding", Hoarder()), parallelism=1)
        with pytest.raises(af.JobFailed, match=r"uses 4\d\d MB, more than its limit of 300 MB .*taskmanager.memory.process.size"):
            hoarding.wait("60s")
        seen = beside.progress()[0]
        assert beside.wait_until(lambda: beside.progress()[0] > seen, 30)
        assert 1 == beside.attempts
