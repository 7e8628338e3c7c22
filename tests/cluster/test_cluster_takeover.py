"""Clusters of several JobManagers, as `conf/ha.yaml` has them, on a real ZooKeeper server: leaders are stopped and killed, jobs go on."""

import json
import re
import signal
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from cluster_processes import DEADLINE_S, ROOT, free_ports, running_cluster, until
from visible_output import lines_of

import actorflow as af
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.runtime.jobs.durable_jobs import NUMBERS_OF_EPOCH

pytestmark = pytest.mark.slow

RECORDS, KEYS, PER_S = 3_000, 7, 1_000
STAGED_RECORDS = 1_000


@pytest.fixture
def cluster(zookeeper, tmp_path):
    *found, first, _, _, _, last = free_ports(8)
    hosts = [f"127.0.0.1:{port}" for port in found]
    options = {
        "jobmanager.hosts": hosts,
        "rest.bind-port": f"{first}-{last}",
        "taskmanager.hosts": ["127.0.0.1", "127.0.0.1"],
        "taskmanager.numberOfTaskSlots": 1,
        "high-availability.zookeeper.quorum": zookeeper.quorum,
        "high-availability.zookeeper.client.session-timeout": "2s",
        "high-availability.storageDir": str(tmp_path / "ha"),
        "blob.offload.minsize": "1b",
        "execution.checkpointing.interval": "200ms",
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
    }
    with running_cluster(tmp_path / "run", "ha", ROOT / "conf" / "ha.yaml", **options) as cluster:
        cluster.hosts, cluster.rest_ports = hosts, range(first, last + 1)
        yield cluster


def leading_node(cluster, client, *others):
    """Return the name of the process that leads, once that is none of these."""
    link = client._link
    with link._changed:
        assert link._changed.wait_for(lambda: link._leader is not None and name_of(cluster, link._leader) not in others, DEADLINE_S)
        return name_of(cluster, link._leader)


def name_of(cluster, leader):
    (number,) = [number for number, host in enumerate(cluster.hosts, 1) if leader.node.endswith(host.replace(":", "-"))]
    return f"jobmanager-{number}"


def shown_by(cluster, job, client, servers):
    """Ask every REST server for a job, until so many answer for the leader that the client follows; return what they say of its state."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        states, leader = [], client.cluster().rest_url
        for port in cluster.rest_ports:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/jobs/{job.id}", timeout=5) as answer:
                    states += [json.load(answer)["state"]] if leader is not None and answer.url.startswith(leader) else []
            except OSError:  # nobody listens there, or nobody is known to lead
                continue
        if len(states) == servers:
            return states
    raise AssertionError("not all REST servers show the leader's jobs")


def vertices_of(job, client):
    """Return what the leader's REST server shows of the job's vertices."""
    with urllib.request.urlopen(f"{client.cluster().rest_url}/jobs/{job.id}", timeout=5) as answer:
        return json.load(answer)["vertices"]


def counting(directory, gate, given):
    """Running counts; the last records come when there is a file at `gate`. No worker starts without the file `given`, and the job's code."""

    def key(number):
        while number > RECORDS / 2 and not Path(gate).exists():
            time.sleep(0.01)
        return number % KEYS

    pipeline = af.Pipeline("counting")
    pipeline.cached_file("from the client", given)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=PER_S))
    numbers.map(key).key_by(lambda key: key).count().map(str).write(af.sinks.text(str(directory)))
    return pipeline


def test_a_job_goes_on_when_its_leader_stands_still_and_when_the_next_is_killed(cluster, tmp_path):
    out, gate, given = tmp_path / "out", tmp_path / "gate", tmp_path / "given"
    given.write_text("the client has it only when it submits")
    with af.connect(cluster.conf) as client:
        job = client.submit(counting(out, gate, given), parallelism=2)
        given.unlink()
        assert 2 == len(list((tmp_path / "ha").glob("*/blobs/*")))
        until(job, lambda: len(lines_of(out)) > 100)
        assert shown_by(cluster, job, client, 3) == ["RUNNING"] * 3
        assert [job.id] == [shown["id"] for shown in json.loads(cluster.command("list", "--json", "--cluster", cluster.conf))]
        first = leading_node(cluster, client)
        cluster.signal(first, signal.SIGSTOP)
        until(job, lambda: job.attempts > NUMBERS_OF_EPOCH and job.status() is JobStatus.RUNNING)
        cluster.signal(first, signal.SIGCONT)
        cluster.signal(leading_node(cluster, client, first), signal.SIGKILL)
        until(job, lambda: job.attempts > 2 * NUMBERS_OF_EPOCH and job.status() is JobStatus.RUNNING)
        assert shown_by(cluster, job, client, 2) == ["RUNNING"] * 2
        gate.touch()
        job.wait("60s")
        assert job.status() is JobStatus.FINISHED
        vertices = vertices_of(job, client)
        assert all(vertex["tasks"]["FINISHED"] == vertex["parallelism"] for vertex in vertices)
        cluster.signal(last := leading_node(cluster, client), signal.SIGKILL)
        leading_node(cluster, client, last)
        assert shown_by(cluster, job, client, 1) == ["FINISHED"]
        assert vertices == vertices_of(job, client)
    assert [] == list((tmp_path / "ha").glob("*/blobs/*"))
    assert Counter(lines_of(out)) == Counter(str((number % KEYS, number // KEYS + 1)) for number in range(RECORDS))


def in_stages(directory):
    """Counts by group in two stages, and sums that up in a third, whose functions wait for a file `go`. The first two note their calls."""

    def noting(name):
        def note(record):
            with (directory / name).open("a") as calls:
                calls.write(".")
            return record

        return note

    def last(pair):
        (directory / "reached").touch()
        while not (directory / "go").exists():
            time.sleep(0.01)
        return str(pair)

    config = {"execution.batch-shuffle-mode": "ALL_EXCHANGES_BLOCKING"}
    pipeline = af.Pipeline("stages", mode="batch", parallelism=2, config=config)
    numbers = pipeline.read(af.sources.collection(range(STAGED_RECORDS))).map(noting("first"))
    counted = numbers.key_by(lambda number: number % KEYS).count().map(noting("second"))
    counted.key_by(lambda _: "all").sum(1).map(last).write(af.sinks.text(str(directory / "out")))
    return pipeline


def kept_stages(storage):
    """Return of which vertices it is stored where they have written, once the next leader finds that: what was stored before is removed then."""
    paths = list(storage.glob("*/jobs/*"))
    with suppress(FileNotFoundError):  # replaced meanwhile
        return set(re.findall(rb"/partitions/\d+-(\d+)-\d+", paths[0].read_bytes())) if len(paths) == 1 else set()
    return set()


def test_the_next_leader_of_a_batch_job_goes_on_behind_its_finished_stages(cluster, tmp_path):
    with af.connect(cluster.conf) as client:
        job = client.submit(in_stages(tmp_path))
        deadline = time.monotonic() + DEADLINE_S
        while not ((tmp_path / "reached").exists() and kept_stages(tmp_path / "ha") == {b"0", b"1"}):
            assert time.monotonic() < deadline, job.status()
            time.sleep(0.01)
        first = job.attempts
        cluster.signal(leading_node(cluster, client), signal.SIGKILL)
        until(job, lambda: job.attempts > first + NUMBERS_OF_EPOCH // 2 and job.status() is JobStatus.RUNNING)
        (tmp_path / "go").touch()
        assert STAGED_RECORDS == job.wait("60s").records_in
    assert (STAGED_RECORDS, KEYS) == tuple((tmp_path / name).stat().st_size for name in ("first", "second"))
    assert [f"('all', {STAGED_RECORDS})"] == lines_of(tmp_path / "out")
