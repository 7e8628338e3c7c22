"""A job on real processes whose links to the JobManager break again and again: nothing that is said there is lost, and no run is."""

import pytest

import actorflow as af
from actorflow.connectors.contracts import END_OF_SPLIT
from actorflow.wire.batch import ObjectBatch

SPLITS = 500
LOST = (1, 5, 9, 100, 500)
"""Which messages to the JobManager are lost: those by which workers come up and report what they have built, and some of reading."""


class OneRecord:
    """Reads a split of one record."""

    def __init__(self, number):
        self.position = 0
        self.left = [number]

    def read(self, records_max):
        batch, self.left = self.left, None
        return END_OF_SPLIT if batch is None else ObjectBatch(batch)

    def close(self):
        pass


class ManySplits(af.Source):
    """Asks the JobMaster for each of its records."""

    def splits(self, parallelism):
        return range(SPLITS)

    def open(self, split, position):
        return OneRecord(split)


class Breaker:
    """Loses some of the messages that come to a cluster's node, and each time breaks the link that it came over.

    What is on its way then is refused, because the peer has to say hello first: so more is lost, in both directions.
    """

    def __init__(self, cluster):
        endpoint = cluster._node.endpoint
        take, links = endpoint._take_message, endpoint._links
        self.arrived = 0
        self.losses = []

        def take_or_lose(sender, payload):
            self.arrived += 1
            if self.arrived not in LOST:
                return take(sender, payload)
            self.losses.append(self.arrived)
            return links._break(links.peers[sender.encode()])

        endpoint._take_message = take_or_lose


@pytest.mark.slow
def test_a_job_survives_broken_links_between_job_master_and_workers_without_a_restart(tmp_path):
    pipeline = af.Pipeline("tough")
    counted = pipeline.read(ManySplits()).key_by(lambda n: n % 7).count()
    counted.write(af.sinks.json_lines(tmp_path / "out"))
    counted.write(af.sinks.collect())
    with af.LocalCluster(slots=2) as cluster:
        breaker = Breaker(cluster)
        result = cluster.submit(pipeline).wait(timeout="60s")

    expected = sorted((key, count) for key in range(7) for count in range(1, len(range(key, SPLITS, 7)) + 1))
    assert list(LOST) == breaker.losses
    assert (1, SPLITS, 2 * SPLITS) == (result.attempts, result.records_in, result.records_out)
    assert expected == sorted(result.results)
    lines = [line for file in (tmp_path / "out").iterdir() for line in file.read_text().splitlines()]
    assert SPLITS == len(lines)
