"""How jobs looked at their end, stored for the next leader: the last ones, and nothing that hinders anybody."""

import logging

import pytest

from actorflow.ids import JobId
from actorflow.runtime.jobs.job_archive import JobArchive

JOBS = [JobId(f"words/../{number}") for number in range(5)]


@pytest.fixture
def archive(tmp_path):
    return lambda records_max=3: JobArchive(str(tmp_path), records_max)


def stored(tmp_path):
    return sorted((tmp_path / "archive").iterdir())


def recalled(archive, jobs=JOBS):
    return dict(archive.recall(jobs))


def test_the_next_leader_has_the_records_of_the_last_one(archive, tmp_path):
    archive().put(JOBS[0], b"how it looked")
    assert {JOBS[0]: b"how it looked"} == recalled(archive())
    assert [0o600] == [path.stat().st_mode & 0o777 for path in stored(tmp_path)]


def test_as_many_are_kept_as_results_are_those_of_leaders_before_included(archive, tmp_path):
    first, second = archive(), archive()
    for job in JOBS[:2]:
        first.put(job, job.encode())
    recalled(second, JOBS[:2])
    for job in JOBS[2:]:
        second.put(job, job.encode())
    assert {job: job.encode() for job in JOBS[2:]} == recalled(archive())
    assert 3 == len(stored(tmp_path))


def test_records_of_jobs_whose_results_are_forgotten_go(archive, tmp_path):
    for job in JOBS[:3]:
        archive().put(job, b"record")
    assert [JOBS[1]] == list(recalled(archive(), [JOBS[1]]))
    assert 1 == len(stored(tmp_path))


def test_what_is_stored_while_the_others_are_recalled_stays(archive):
    now = archive()
    now.put(JOBS[0], b"record")
    assert {} == recalled(now, [])
    assert [JOBS[0]] == list(recalled(archive()))


def test_a_record_that_is_torn_is_named_and_no_other_suffers(archive, tmp_path, caplog):
    for job in JOBS[:2]:
        archive().put(job, bytes(1000))
    torn = stored(tmp_path)[0]
    torn.write_bytes(torn.read_bytes()[:-1])
    assert 1 == len(recalled(archive()))
    assert "how job 'words/../" in caplog.text


def test_what_cannot_be_stored_is_logged_and_no_more(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "archive").write_text("in the way")
    JobArchive(str(tmp_path), 3).put(JOBS[0], b"record")
    assert f"how job '{JOBS[0]}' looked at its end is not stored" in caplog.text


def test_where_none_are_to_be_kept_none_is_stored(archive, tmp_path):
    archive(0).put(JOBS[0], b"record")
    assert not (tmp_path / "archive").exists()
