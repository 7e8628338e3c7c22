"""Versions that differ between client, JobManager and TaskManagers: refused when a job is submitted, with the list."""

import os
import subprocess
import sys
import time

import pytest
from cluster_processes import DEADLINE_S, running_cluster

import actorflow as af

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    options = {"taskmanager.hosts": "127.0.0.1", "taskmanager.numberOfTaskSlots": 1}
    with running_cluster(tmp_path_factory.mktemp("clusters"), "versions", **options) as cluster:
        yield cluster


def other_versions(directory, **versions):
    """Make a directory that, on the path of a process, has it find distributions of other versions."""
    for name, version in versions.items():
        info = directory / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return directory


def pipeline():
    import msgspec  # a package that the job names, and every node has

    pipeline = af.Pipeline("encoding")
    pipeline.read(af.sources.collection([1])).map(msgspec.json.encode).write(af.sinks.collect())
    return pipeline


def test_a_client_with_other_versions_is_refused_with_the_list(cluster, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(other_versions(tmp_path, actorflow="9.9", msgspec="7.7"))
    with af.connect(cluster.conf) as client, pytest.raises(af.PlanError) as refused:
        client.submit(pipeline())
    assert "made with actorflow 9.9, and the cluster has " in refused.value.message
    assert "; msgspec 7.7, and the cluster has " in refused.value.message


def test_a_job_is_refused_while_a_task_manager_has_other_versions_and_taken_when_that_is_gone(cluster, tmp_path):
    paths = [str(other_versions(tmp_path, actorflow="9.9", msgspec="7.7")), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "actorflow.cli.main", "taskmanager", "--config", str(cluster.conf)]
    environment = {**cluster.environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with af.connect(cluster.conf) as client:
        (usual,) = client.cluster().task_managers
        # Elsewhere: it would look for distributions where it starts first, and an installation from source is one.
        odd = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            names = wait_for_task_managers(client, 2)
            with pytest.raises(af.PlanError) as refused:
                client.submit(pipeline())
        finally:
            odd.terminate()
            odd.wait(DEADLINE_S)
        (name,) = [node.partition("/")[0] for node in names if node != usual]
        assert f", and TaskManager {name} has 9.9; msgspec " in refused.value.message
        assert refused.value.message.endswith(f", and TaskManager {name} has 7.7")
        wait_for_task_managers(client, 1)
        assert [b"1"] == client.submit(pipeline(), parallelism=1).wait("60s").results


def wait_for_task_managers(client, count):
    """Ask until there are so many; each question gives the cluster a moment."""
    deadline = time.monotonic() + DEADLINE_S
    while len(found := client.cluster().task_managers) != count:
        assert time.monotonic() < deadline, found
    return found
