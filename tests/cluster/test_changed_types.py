"""Jobs whose types of state have changed since the native savepoint, or the checkpoint, that they go on from."""

import dataclasses
import sys
from typing import NamedTuple

import pytest
from cluster_options import REPORT_SOON
from retained_checkpoints import checkpointed, newest, wait_for_a_checkpoint
from visible_output import committed

import actorflow as af
from actorflow.errors import CheckpointError, IncompatibleState, JobCancelled

pytestmark = pytest.mark.slow

HERE = sys.modules[__name__]


def version(*classes, found=None):
    """Return a version of some classes; with a monkeypatch they are found by their names, else they are pickled by their definition."""
    for cls in classes:
        cls.__module__, cls.__qualname__ = __name__, cls.__name__
        if found is not None:
            found.setattr(HERE, cls.__name__, cls, raising=False)
    return classes


def as_it_was(found=None):
    class Profile(NamedTuple):
        visits: int
        gone: str = "gone"

    @dataclasses.dataclass
    class Note:
        number: int
        text: str = ""

    return version(Profile, Note, found=found)


def as_it_is(found=None):
    class Profile(NamedTuple):
        city: str = "Rome"
        count: float = 0.0

    Profile.__state_aliases__ = {"count": "visits"}

    @dataclasses.dataclass
    class Note:
        number: int
        tags: list[str] = dataclasses.field(default_factory=list)

    return version(Profile, Note, found=found)


def changed_to_text():
    class Profile(NamedTuple):
        visits: str = ""

    return version(Profile, as_it_was()[1])


def noting(classes, out, *, parallelism=1, states=("profile", "recent", "notes"), key=None, count=2000, rate=50_000.0):
    """Count visits of each key in every kind of state that changes its type."""
    profile, note = classes

    class Visits(af.OperatorActor):
        if "profile" in states:
            profile = af.ValueState(classes[0])
        if "recent" in states:
            recent = af.ListState(classes[0], ttl="1h")
        if "notes" in states:
            notes = af.OperatorListState(classes[1])

        def on_record(self, number, ctx):
            if "profile" not in states:
                return
            known = self.profile.get()
            self.profile.set(profile(**{profile_count(profile): (known[counted(profile)] if known else 0) + 1}))
            self.recent.update([*self.recent.get(), self.profile.get()][-2:])
            self.notes.add(note(number))
            now = self.profile.get()
            ctx.emit([len(self.recent.get()), float(now[counted(profile)]), getattr(now, "city", "nowhere")])

    pipeline = af.Pipeline("noting", parallelism=parallelism)
    numbers = pipeline.read(af.sources.generator(count=count, rate=rate), uid="numbers")
    keyed = numbers.key_by(key or (lambda number: number % 2))
    keyed.process(Visits(), uid="visits", name="visits").write(af.sinks.json_lines(str(out)), uid="out")
    return pipeline


def counted(profile):
    return profile._fields.index(profile_count(profile))


def profile_count(profile):
    return "visits" if "visits" in profile._fields else "count"


def left_by(pipeline, how, tmp_path, config):
    """Run a job for a while; return what it has left to go on from."""
    with af.LocalCluster(slots="inline", config=config) as cluster:
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.progress()[0] >= 100, 60)
        if how == "native":
            return job.stop(tmp_path / "savepoints", format="native")
        if how == "canonical":
            return job.stop(tmp_path / "savepoints")
        wait_for_a_checkpoint(job, tmp_path / "checkpoints")
        job.cancel()
        with pytest.raises(JobCancelled):
            job.wait()
    return newest(tmp_path / "checkpoints")


def config_of(tmp_path, how, **more):
    retained = {"execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation"}
    if how == "native without checkpoints":
        return REPORT_SOON | more
    return checkpointed(tmp_path / "checkpoints", **retained, **more)


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("how", "backend", "by_name"),
    [
        ("retained", "rocksdb", False),
        slow("native", "hashmap", True),
        slow("canonical", "hashmap", False),
        slow("native", "hashmap", False),
        slow("native", "rocksdb", True),
        slow("native without checkpoints", "hashmap", True),
        slow("native without checkpoints", "hashmap", False),
        slow("retained", "hashmap", True),
        slow("retained", "rocksdb", True),
    ],
)
def test_types_of_state_change_between_one_job_and_the_next(tmp_path, how, backend, by_name, monkeypatch):
    config = config_of(tmp_path, how, **{"state.backend.type": backend})
    found = monkeypatch if by_name else None
    path = left_by(noting(as_it_was(found), tmp_path / "out", rate=1000.0), how.split()[0], tmp_path, config)
    af.run(noting(as_it_is(found), tmp_path / "out", parallelism=2), slots="inline", from_savepoint=path, config=config)
    assert [[2, 1000.0, "Rome"], [2, 1000.0, "Rome"]] == [row for row in committed(tmp_path / "out") if row[1] == 1000]


@pytest.mark.parametrize("how", ["canonical", "native", "retained"])
def test_what_cannot_be_read_is_refused_by_its_field_before_anything_runs(tmp_path, how):
    path = left_by(noting(as_it_was(), tmp_path / "out", rate=1000.0), how, tmp_path, config_of(tmp_path, how))
    wrong = noting(changed_to_text(), tmp_path / "other")
    with pytest.raises(IncompatibleState, match="'profile' of 'visits': visits was int, is str"):
        af.run(wrong, slots="inline", from_savepoint=path)
    fewer = noting(as_it_was(), tmp_path / "other", states=("recent",), count=300)
    with pytest.raises(CheckpointError, match=r"cannot restore 'visits': it declares no state '(profile|notes)' any more"):
        af.run(fewer, slots="inline", from_savepoint=path)
    assert not (tmp_path / "other").exists()
    af.run(fewer, slots="inline", from_savepoint=path, allow_non_restored_state=True)


@pytest.mark.parametrize("how", ["native", "native without checkpoints"])
def test_a_changed_class_that_is_also_that_of_keys_is_refused_by_its_name(tmp_path, how, monkeypatch):
    old = as_it_was(monkeypatch)
    profile = old[0]
    pipeline = noting(old, tmp_path / "out", key=lambda number: profile(number % 2), rate=1000.0)
    path = left_by(pipeline, how.split()[0], tmp_path, config_of(tmp_path, how))
    with pytest.raises(af.JobFailed, match="Profile' has changed, and is also the class of keys"):
        af.run(noting(as_it_is(monkeypatch), tmp_path / "out"), slots="inline", from_savepoint=path)
