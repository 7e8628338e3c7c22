"""A job that runs with the slots there are writes what an undisturbed run would write, while TaskManagers come and go."""

import subprocess
import sys

import pytest
from cluster_options import REPORT_SOON
from cluster_processes import DEADLINE_S, running_cluster, until
from trickling import counting, expected, written

import actorflow as af
from actorflow.protocol.jobs.job_messages import JobStatus

ADAPTIVE = {
    "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout": "50ms",
    "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling": "50ms",
    "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout": "50ms",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 10,
    "restart-strategy.fixed-delay.delay": "10ms",
    "execution.checkpointing.interval": "10min",
}


def running_in(job, run):
    """Whether the job has come to this run, and reads."""
    return job.attempts >= run and job.status() is JobStatus.RUNNING and job.progress()[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "parallelism"),
    [({"jobmanager.scheduler": "adaptive"}, 2), ({"scheduler-mode": "reactive"}, None)],
    ids=["adaptive", "reactive"],
)
def test_a_job_is_as_wide_as_the_cluster_allows_while_a_task_manager_joins_and_leaves(tmp_path, mode, parallelism):
    options = {"taskmanager.hosts": "127.0.0.1", "taskmanager.numberOfTaskSlots": 1, **REPORT_SOON, **ADAPTIVE, **mode}
    options["execution.checkpointing.dir"] = str(tmp_path / "checkpoints")
    with running_cluster(tmp_path, "adaptive", **options) as cluster, af.connect(cluster.conf) as client:
        job = client.submit(counting(tmp_path), parallelism=parallelism)
        until(job, lambda: running_in(job, 2))  # the first has waited for two slots
        command = [sys.executable, "-m", "actorflow.cli.main", "taskmanager", "--config", str(cluster.conf)]
        joining = subprocess.Popen(command, env=cluster.environment, stderr=subprocess.DEVNULL)
        try:
            until(job, lambda: running_in(job, 3))
        finally:
            joining.terminate()
            joining.wait(DEADLINE_S)
        until(job, lambda: running_in(job, 5))  # the fourth has waited for two slots again
        (tmp_path / "gate").touch()
        job.wait("60s")
    assert expected() == written(tmp_path)


@pytest.mark.slow
def test_a_job_takes_all_state_of_a_savepoint_that_it_starts_from_though_it_runs_wider_than_it_was_submitted(tmp_path):
    config = {"execution.checkpointing.interval": "10min", "execution.checkpointing.dir": str(tmp_path / "checkpoints")}
    with af.LocalCluster(task_managers=1, slots=2, config=config) as cluster:
        job = cluster.submit(counting(tmp_path), parallelism=1)
        until(job, lambda: job.progress()[0] > 100)
        savepoint = job.stop(savepoint=str(tmp_path / "savepoint"))
        (tmp_path / "gate").touch()
    with af.LocalCluster(task_managers=1, slots=2, config=config | {"scheduler-mode": "reactive"}) as cluster:
        job = cluster.submit(counting(tmp_path), parallelism=1, from_savepoint=savepoint)
        job.wait("60s")
    assert expected() == written(tmp_path)
