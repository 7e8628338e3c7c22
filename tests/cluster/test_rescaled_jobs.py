"""Jobs that are rescaled while they run write what an undisturbed run would write."""

import pytest
from cluster_options import REPORT_SOON
from trickling import counting, expected, written

import actorflow as af
from actorflow.errors import RescaleError


@pytest.mark.slow
@pytest.mark.parametrize("unaligned", [False, True])
def test_a_rescaled_job_writes_what_an_undisturbed_one_writes(tmp_path, unaligned):
    config = REPORT_SOON | {
        "execution.checkpointing.interval": "10min",
        "execution.checkpointing.unaligned.enabled": unaligned,
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "pipeline.operator-chaining.enabled": not unaligned,
        "restart-strategy.type": "none",
    }
    with af.LocalCluster(task_managers=2, slots=2, config=config) as cluster:
        job = cluster.submit(counting(tmp_path), parallelism=1)
        for parallelism in (3, 1, 2):
            assert job.wait_until(lambda: job.status().final or job.progress()[0] > 0, 20.0)
            assert parallelism == job.rescale(parallelism, timeout="30s").parallelism
        with pytest.raises(RescaleError, match="would need 5 slots, and there are 4"):
            job.rescale(5)
        with pytest.raises(RescaleError, match="is 129, above its max_parallelism"):
            job.rescale(operators={"numbers": 129})
        (tmp_path / "gate").touch()
        job.wait("60s")
        with pytest.raises(RescaleError, match="cannot be rescaled: it is finished"):
            job.rescale(3)
    assert expected() == written(tmp_path)
    assert 4 == job.attempts
