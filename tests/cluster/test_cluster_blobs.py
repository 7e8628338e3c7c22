"""Files and code of jobs on a cluster of processes: from the client's disk to every worker, once, whole, and gone afterwards."""

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest
from cluster_processes import running_cluster, until

import actorflow as af

pytestmark = pytest.mark.slow

SLOTS = 8


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the nodes keep what jobs bring."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, kept):
    options = {
        "taskmanager.hosts": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": SLOTS,
        "io.tmp.dirs": str(kept),
        "actorflow.slot.offer-interval": "200ms",
    }
    with running_cluster(tmp_path_factory.mktemp("clusters"), "blobs", **options) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    cluster.start()
    with af.connect(cluster.conf) as client:
        yield client


class Look(af.OperatorActor):
    """Emits which file it has been given, and a digest of what is in it."""

    def on_start(self, ctx):
        path = Path(ctx.cached_file("given"))
        files = sorted(each for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())
        digest = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()
        self.seen = (path.name, str(path), files[0].stat().st_ino, tuple(each.name for each in files), digest)

    def on_record(self, record, ctx):
        ctx.emit(self.seen)


def looked(client, given, carried=b"", parallelism=SLOTS):
    """Submit a job with a cached file and large code, take the file away, and return what each subtask has seen."""
    pipeline = af.Pipeline("looking")
    pipeline.cached_file("given", given)
    records = pipeline.read(af.sources.collection(range(40))).map(lambda n: (n, len(carried))[0], parallelism=1)
    records.rebalance().process(Look(), parallelism=parallelism).write(af.sinks.collect())
    job = client.submit(pipeline)
    given.rename(given.with_name("away"))
    results = job.wait("60s").results
    assert 40 == len(results)
    return set(results)


def files_kept(kept):
    walked = os.walk(kept)  # takes no offence at what goes meanwhile
    return [Path(place) / name for place, _, names in walked for name in names if not name.endswith(".lock")]


def until_nothing_is_kept(client, kept):
    deadline = time.monotonic() + 30
    while files_kept(kept):  # each question gives the cluster a moment
        client.jobs()
        assert time.monotonic() < deadline, files_kept(kept)


def test_eight_subtasks_get_one_copy_of_a_large_file_of_the_client_and_nothing_of_it_stays(client, kept, tmp_path):
    data = os.urandom(1 << 20) * 100
    (tmp_path / "large.bin").write_bytes(data)
    [(name, path, _, _, digest)] = looked(client, tmp_path / "large.bin")
    assert ("large.bin", hashlib.sha256(data).hexdigest()) == (name, digest)
    assert Path(path).is_relative_to(kept)
    until_nothing_is_kept(client, kept)


def test_a_directory_and_code_that_is_larger_than_a_message_come_the_same_way(client, kept, tmp_path):
    (tmp_path / "tree" / "below").mkdir(parents=True)
    for name in ("a", ".b", "below/_c"):
        (tmp_path / "tree" / name).write_text(name)
    code = os.urandom(3 << 20)
    [(name, _, _, names, _)] = looked(client, tmp_path / "tree", carried=code)
    assert ("tree", {"a", ".b", "_c"}) == (name, set(names))
    until_nothing_is_kept(client, kept)


def test_a_file_that_is_not_there_is_refused_when_the_job_is_submitted(client, tmp_path):
    pipeline = af.Pipeline("missing")
    pipeline.cached_file("given", tmp_path / "nothing")
    pipeline.read(af.sources.collection([1])).write(af.sinks.collect())
    with pytest.raises(af.PlanError, match=r"cannot read cached file 'given'.*file:///"):
        client.submit(pipeline)


def test_files_of_jobs_whose_job_manager_was_killed_go_under_the_next(cluster, client, kept, tmp_path):
    (tmp_path / "given").write_text("given")
    pipeline = af.Pipeline("endless")
    pipeline.cached_file("given", tmp_path / "given")
    numbers = pipeline.read(af.sources.generator(lambda n: n, rate=1_000)).process(Look(), parallelism=2)
    numbers.write(af.sinks.discard())
    job = client.submit(pipeline)
    until(job, lambda: job.progress()[0] > 0)
    assert any(path.read_text() == "given" for path in files_kept(kept))
    cluster.signal("jobmanager-1", signal.SIGKILL)
    cluster.start()
    with af.connect(cluster.conf) as other:
        until_nothing_is_kept(other, kept)
