"""A cluster whose `high-availability.storageDir` is on a disk that is full: who submits what does not fit is told, and the cluster goes on."""

import pytest
from cluster_processes import ROOT, running_cluster
from small_disk import small_disk

pytestmark = pytest.mark.slow

SCRIPT = """
import random
import actorflow as af

pipeline = af.Pipeline("{name}")
pipeline.read(af.sources.collection([random.randbytes({size}), b""])).map(len).write(af.sinks.text({out!r}))
af.run(pipeline)
"""


@pytest.fixture
def cluster(zookeeper, tmp_path):
    options = {
        "taskmanager.hosts": ["127.0.0.1"],
        "rest.port": 0,
        "high-availability.zookeeper.quorum": zookeeper.quorum,
        "high-availability.storageDir": str(tmp_path / "ha"),
    }
    with (
        small_disk(tmp_path / "ha", "256k") as disk,
        running_cluster(tmp_path / "run", "full", ROOT / "conf" / "ha.yaml", **options) as cluster,
    ):
        cluster.disk = disk
        yield cluster


@pytest.fixture
def run(cluster, tmp_path):
    def run(name, size, *arguments, code=0):
        script = tmp_path / f"{name}.py"
        script.write_text(SCRIPT.format(name=name, size=size, out=str(tmp_path / name)))
        return cluster.command("run", "--cluster", cluster.conf, *arguments, script, code=code)

    return run


def test_a_job_for_which_there_is_no_room_is_refused_and_the_next_one_runs(cluster, run, tmp_path):
    for arguments in ([], ["--detach"]):
        said = run("large", 500_000, *arguments, code=1)
        assert "no space left on device (hint: it needs 5" in said
        assert f"make room in '{tmp_path / 'ha'}" in said
    assert [] == [path for path in cluster.disk.rglob("*") if path.is_file()]
    run("small", 7)
    assert ["0", "7"] == sorted(line for path in (tmp_path / "small").iterdir() for line in path.read_text().split())
    assert not (tmp_path / "large").exists()
