"""Jobs in a directory whose disk is full: who stores one is told what is missing, and what was stored is as it was."""

import pytest
from coordination_harness import Heard
from small_disk import small_disk

from actorflow.errors import StorageError
from actorflow.ids import JobId

pytestmark = pytest.mark.slow

SMALL, LARGE = JobId("small-1"), JobId("large-2")


@pytest.fixture
def stored(tmp_path):
    """Give what lists the files on a small disk that JobManagers share."""
    with small_disk(tmp_path / "ha") as disk:
        yield lambda: [path for path in disk.rglob("*") if path.is_file()]


@pytest.fixture
def leading(stored, on_zookeeper):
    coordination, heard = on_zookeeper(), Heard()
    coordination.election.contend(heard.granted, heard.revoked)
    return coordination, heard.next()[1]


@pytest.mark.parametrize("job", [LARGE, SMALL], ids=["another job", "the same job, rescaled"])
def test_a_job_for_which_there_is_no_room_harms_none_that_is_stored(leading, stored, tmp_path, job):
    coordination, epoch = leading
    coordination.jobs.put(SMALL, b"plan", epoch)
    there = stored()
    with pytest.raises(StorageError, match=f"cannot store job '{job}': cannot write .* no space left on device") as caught:
        coordination.jobs.put(job, bytes(100_000), epoch)
    assert caught.value.hint.startswith("it needs 100,000 bytes, and ")
    assert str(tmp_path / "ha") in caught.value.hint
    assert there == stored()
    coordination.jobs.collect(epoch)
    assert {SMALL: b"plan"} == coordination.jobs.read().submissions
    coordination.jobs.put(job, b"smaller", epoch)
    assert b"smaller" == coordination.jobs.read().submissions[job]
