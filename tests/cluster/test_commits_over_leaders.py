"""Leaders that are lost at any moment of a job's end, in virtual time: what it commits, and what its client gets, is there once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_takeover_in_time import Succession

import actorflow as af
from actorflow.ids import split_address
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.runtime.jobs.durable_job import DurableJob

WORDS = ["a", "b", "a", "c", "b", "a"]
COUNTED = sorted([("a", 3), ("b", 2), ("c", 1)])
RUNNING = sorted([("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 2), ("a", 3)])


def counting(directory, mode, *, collects):
    """Counts of words, written to a directory, and sent to the client, or not."""
    pipeline = af.Pipeline("counting", mode=mode)
    counts = pipeline.read(af.sources.collection(WORDS)).key_by(lambda word: word).count()
    counts.map(repr).write(af.sinks.text(str(directory)))
    if collects:
        counts.write(af.sinks.collect())
    return pipeline


def written(directory):
    visible = [path for path in Path(directory).glob("*") if not path.name.startswith(".")]
    return sorted(line for path in visible for line in path.read_text().splitlines())


class Watched:
    """Counts the messages that JobMasters take, of all leaders."""

    def __init__(self, patched):
        self.taken = 0
        handle = JobMachine.handle

        def counted(machine, event, now):
            self.taken += 1
            return handle(machine, event, now)

        patched.setattr(JobMachine, "handle", counted)


def run(directory, patched, mode, *, collects, lost_after=None, writes_arrive=True):
    """Run the job; lose the leader after its JobMaster has taken so many messages. Return what came of it, and how many it takes in all.

    What the leader was writing down when it was lost arrives, or does not.
    """
    cluster = Succession({"restart-strategy.type": "none", "slot.request.timeout": "5s"})
    watched = Watched(patched)
    try:
        job = cluster.submit(counting(directory, mode, collects=collects))
        if lost_after is not None:
            cluster.run_until(lambda: watched.taken >= lost_after or job.status().final)
            cluster.fence.epoch += not writes_arrive
            cluster.kill()
            cluster.lead()
        cluster.run_until(lambda: job.status().final)
        if job.status() is not JobStatus.FINISHED:
            return job.status(), watched.taken
        hidden = [path.name for path in Path(directory).rglob(".*") if path.is_file()]
        result = job.result()
        return (written(directory), sorted(result.results), result.records_in, hidden), watched.taken
    finally:
        cluster.cluster.close()


KINDS = [("batch", False), ("batch", True), ("streaming", False), ("streaming", True)]


def undoubled(directory, mode, *, collects, **lost):
    """Return whether the output is that of an undisturbed run when the leader is lost there."""
    with pytest.MonkeyPatch.context() as patched:
        came, _ = run(directory, patched, mode, collects=collects, **lost)
    expected = COUNTED if mode == "batch" else RUNNING
    return came == (sorted(map(repr, expected)), expected if collects else [], len(WORDS), [])


def messages(directory, mode, *, collects):
    with pytest.MonkeyPatch.context() as patched:
        return run(directory, patched, mode, collects=collects)[1]


def doubled(tmp_path, mode, *, collects, last=None):
    """Return after which of the messages, or of the last of them, the loss of the leader is seen in the output."""
    taken = messages(tmp_path / "undisturbed", mode, collects=collects)
    moments = [(after, arrive) for after in range(1 if last is None else taken - last, taken + 1) for arrive in (True, False)]
    return [
        (after, arrive)
        for after, arrive in moments
        if not undoubled(tmp_path / f"{after}-{arrive}", mode, collects=collects, lost_after=after, writes_arrive=arrive)
    ]


@pytest.mark.parametrize(("mode", "collects"), KINDS)
def test_a_leader_may_be_lost_while_a_job_comes_to_its_end(tmp_path, mode, collects):
    assert [] == doubled(tmp_path, mode, collects=collects, last=5)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "collects"), KINDS)
def test_a_leader_may_be_lost_at_any_message(tmp_path, mode, collects):
    assert [] == doubled(tmp_path, mode, collects=collects)


def keeps_nothing(patched):
    patched.setattr(DurableJob, "ended", lambda durable, end: None)


def runs_again_what_was_kept(patched):
    patched.setattr("actorflow.runtime.jobs.job_manager.LastCommit", JobMachine)


@pytest.mark.parametrize("bug", [keeps_nothing, runs_again_what_was_kept])
def test_a_planted_bug_is_found(tmp_path, monkeypatch, bug):
    bug(monkeypatch)
    assert [] != doubled(tmp_path, "batch", collects=True, last=5)


def described(cluster, job):
    return cluster.system.find(split_address(cluster.leader.dispatcher)[1]).actor._board.record(job.id)


@pytest.mark.parametrize("ends", ["finished", "failed"])
def test_the_next_leader_knows_how_a_job_looked_at_its_end(tmp_path, ends):
    cluster = Succession({"restart-strategy.type": "none", "slot.request.timeout": "5s"})
    try:
        cluster.coordination = replace(cluster.coordination, storage=str(tmp_path / "ha"))
        cluster.lead()
        pipeline = counting(tmp_path / "out", "batch", collects=False)
        if ends == "failed":
            pipeline.read(af.sources.collection([0])).map(lambda n: 1 // n).write(af.sinks.discard())
        job = cluster.submit(pipeline)
        cluster.run_until(lambda: job.status().final)
        before = described(cluster, job)
        assert {"name": "counting", "status": ends} == {
            "name": json.loads(before)["topology"]["name"],
            "status": job.status().value,
        }
        cluster.kill()
        cluster.lead()
        cluster.run_for(1)
        assert before == described(cluster, job)
    finally:
        cluster.cluster.close()
