"""Checkpoints in files that jobs leave, or go on from: how they are asked for, found and waited for."""

from pathlib import Path

from cluster_options import REPORT_SOON


def checkpointed(directory, **more):
    return {
        "execution.checkpointing.interval": "30ms",
        "execution.checkpointing.dir": str(directory),
        "execution.checkpointing.data-inline-threshold": 0,
        **REPORT_SOON,
        **more,
    }


def manifests(directory):
    """Return the manifests below a directory. Checkpoints may go meanwhile, which `Path.rglob` would stumble over."""
    return list(Path(directory).glob("*/chk-*/manifest.json"))


def newest(directory):
    """Return the newest checkpoint of the only job that has left some: the one before it may be there still."""
    return max((path.parent for path in manifests(directory)), key=lambda home: int(home.name.removeprefix("chk-")), default=None)


def wait_for_a_checkpoint(job, directory):
    """Wait until one counts for the job, as the next one is stored too: one that it has only just stored goes when it is cancelled."""
    assert job.wait_until(lambda: newest(directory) is not None, 60)
    first = newest(directory)
    assert job.wait_until(lambda: newest(directory) not in {None, first}, 60)
