"""A job goes on from an unaligned checkpoint of another parallelism: what was in flight is processed once, by whoever has its key."""

import contextlib
from collections import Counter

import pytest
from retained_checkpoints import manifests
from visible_output import committed

import actorflow as af
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.storage.manifest_files import read_manifest

FILES, LINES, KEYS = 6, 2500, 17


def write_input(directory):
    directory.mkdir()
    for number in range(FILES):
        lines = "".join(f"{number * LINES + line}\n" for line in range(LINES))
        (directory / f"{number}.txt").write_text(lines)


def pipeline_of(tmp_path):
    """Return a job of four stages, with keyed, custom and keyless edges."""
    pipeline = af.Pipeline("counting")
    counts = pipeline.read(af.sources.text(str(tmp_path / "in"))).map(int).key_by(lambda number: number % KEYS).count()
    spread = counts.rebalance().map(lambda pair: (pair[1] % 5, pair[1]))
    mine = spread.partition_by(lambda group, parallelism: group % parallelism, key=lambda pair: pair[0]).map(lambda pair: pair)
    mine.key_by(lambda pair: pair[0]).sum(1).write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


CONFIG = {
    "execution.checkpointing.interval": "10ms",
    "execution.checkpointing.unaligned.enabled": True,
    "execution.checkpointing.num-retained": 50,  # a job that is being cancelled may complete some more, with nothing in flight
    "execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation",
    "execution.batch-records.max": 10,
    "taskmanager.network.memory.buffer-debloat.enabled": False,
}


def last_checkpoint(checkpoints):
    """Return the directory of the newest complete checkpoint, and how many subtasks have batches in flight in it."""
    found = {0: (None, 0)}
    for path in manifests(checkpoints):
        with contextlib.suppress(af.ActorflowError):  # it was just subsumed
            manifest = read_manifest(path.as_uri())
            holding = sum(part.in_flight is not None for vertex in manifest.vertices for part in vertex.parts)
            found[manifest.checkpoint] = path.parent, holding
    return found[max(found)]


def with_much_in_flight(checkpoints):
    return last_checkpoint(checkpoints)[1] > 3


def cut_off(tmp_path, parallelism):
    """Run the job, and cancel it when a checkpoint holds much in flight; return where that is.

    It may be given up with the job, if the JobMaster does not know yet that it is complete, and another one may still follow: then the job
    goes on from the last one, and is cancelled again.
    """
    location, holding, runs = None, 0, 0
    while holding <= 3:
        runs += 1
        directory = tmp_path / f"checkpoints-{runs}"
        with af.LocalCluster(slots="inline", config=CONFIG | {"execution.checkpointing.dir": str(directory)}) as cluster:
            job = cluster.submit(pipeline_of(tmp_path), parallelism=parallelism, from_savepoint=location)
            assert job.wait_until(lambda here=directory, job=job: job.status().final or with_much_in_flight(here), 60.0)
            job.cancel()
            assert job.wait_until(lambda job=job: job.status().final, 60.0)
        assert job.status() is JobStatus.CANCELLED
        last, holding = last_checkpoint(directory)
        location = last or location
    return location


def go_on(tmp_path, location, parallelism):
    """Run the job to its end, from that checkpoint."""
    af.run(pipeline_of(tmp_path), parallelism=parallelism, slots="inline", from_savepoint=location)
    return committed(tmp_path / "out")


@pytest.mark.parametrize(("before", "after"), [(2, 3), (4, 2)])
def test_a_job_that_goes_on_with_another_parallelism_commits_what_an_undisturbed_one_commits(tmp_path, before, after):
    write_input(tmp_path / "in")
    assert is_undisturbed(go_on(tmp_path, cut_off(tmp_path, before), after))


def is_undisturbed(output):
    """Return whether every record was counted once in each stage; the last sums do not depend on the order."""
    sums, records = Counter(), Counter()
    for number in range(FILES * LINES):
        count = number // KEYS + 1
        sums[count % 5] += count
        records[count % 5] += 1

    last = {group: max((total for one, total in output if one == group), default=0) for group in sums}
    return Counter(group for group, _ in output) == records and last == dict(sums)


def test_a_job_whose_chains_are_others_now_is_refused(tmp_path):
    """With a parallelism of 1 nothing has to be spread: what were stages of their own is one chain."""
    write_input(tmp_path / "in")
    location = cut_off(tmp_path, 2)
    with pytest.raises(af.ActorflowError, match="in flight"):
        go_on(tmp_path, location, 1)


def test_a_savepoint_holds_nothing_in_flight_though_barriers_overtake(tmp_path):
    write_input(tmp_path / "in")
    config = CONFIG | {"execution.checkpointing.dir": str(tmp_path / "checkpoints")}
    with af.LocalCluster(slots="inline", config=config) as cluster:
        job = cluster.submit(pipeline_of(tmp_path), parallelism=2)
        assert job.wait_until(lambda: with_much_in_flight(tmp_path / "checkpoints"), 60.0)
        location = job.stop(savepoint=str(tmp_path / "savepoints"))

    assert is_undisturbed(go_on(tmp_path, location, 1))
