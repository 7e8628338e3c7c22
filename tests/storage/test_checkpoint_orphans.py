"""Orphans are collected when a new attempt starts: all of them, and never a file that a checkpoint or the attempt itself needs."""

import tempfile
from pathlib import Path

from few_and_many import at_length
from hypothesis import strategies as st

from actorflow.errors import CheckpointError
from actorflow.storage.checkpoint_files import CheckpointFiles, files_of_part
from actorflow.storage.manifest_files import MANIFEST
from actorflow.wire.manifest import Manifest, SubtaskState, VertexState

RETAINED = 2


def manifest_of(number, attempt, parts):
    vertex = VertexState("count", "count", (("count", "count"),), len(parts), 128, tuple(parts))
    return Manifest("job-1", "wordcount", number, attempt, 0, savepoint=False, version="0.1.0", vertices=(vertex,))


def files_of(manifest):
    return [file for vertex in manifest.vertices for part in vertex.parts for file in files_of_part(part)]


class Job:
    """A JobMaster and the workers of its attempts, with files that are real: what a coordinator would have them do, in random order."""

    def __init__(self, directory):
        self.directory = directory
        self.master = CheckpointFiles(directory, "job-1", inline_bytes_max=0)
        self.attempt = self.number = 0
        self.retained = []  # (location, manifest), oldest first
        self.line = ()
        self.stored = []  # parts of a checkpoint that is under way
        self.late = []  # completions of runs that are over: (number, attempt, parts)
        self.start()

    def worker(self, attempt):
        return CheckpointFiles(self.directory, "job-1", inline_bytes_max=0, attempt=attempt)

    def start(self):
        """Begin an attempt. What is under way is given up: of some of it nobody hears any more."""
        if self.stored:
            self.late.append((self.number, self.attempt, self.stored))
        self.attempt += 1
        self.number += 1
        self.stored = []
        self.line = tuple(files_of(self.retained[-1][1])[1:]) if self.retained else ()
        self.keep = [file for _, manifest in self.retained for file in files_of(manifest)]

    def collect(self):
        return self.master.collect_left(self.attempt, self.keep)

    def store(self, *, layer):
        worker = self.worker(self.attempt)
        files = {f"layer-{place}": file for place, file in enumerate(self.line)}
        if layer:
            files["own"] = worker.write_shared(b"a layer")
        self.stored = [SubtaskState(0, worker.write_state(self.number, "count/0", b"state"), files)]

    def write_late(self, attempt):
        """A worker whose run is over goes on writing."""
        self.worker(attempt).write_shared(b"late")
        self.worker(attempt).write_state(self.number, "count/0", b"late")

    def complete(self):
        if not self.stored:
            return
        manifest = manifest_of(self.number, self.attempt, self.stored)
        self.retained.append((self.master.write_manifest(manifest), manifest))
        self.line, self.stored = tuple(self.stored[0].files.values()), []
        self.number += 1
        if len(self.retained) > RETAINED:
            location, old = self.retained.pop(0)
            self.master.discard(location, files_of(old))

    def complete_late(self):
        """The manifest of a checkpoint whose run is over: it is refused, or discarded as soon as it is there."""
        if not self.late:
            return
        number, attempt, parts = self.late.pop(0)
        manifest = manifest_of(number, attempt, parts)
        try:
            location = self.master.write_manifest(manifest)
        except CheckpointError:
            return
        self.master.discard(location, files_of(manifest))

    def needed(self):
        manifests = {location for location, _ in self.retained}
        under_way = [file for part in self.stored for file in files_of_part(part)]
        return manifests | {file.uri for file in under_way} | {file.uri for _, one in self.retained for file in files_of(one)}

    def present(self):
        return {str(path) for path in Path(self.directory).rglob("*") if path.is_file()}


STEPS = st.one_of(
    st.sampled_from(["start", "collect", "complete", "late manifest"]),
    st.tuples(st.just("store"), st.booleans()),
    st.tuples(st.just("late upload"), st.integers(0, 3)),
)


def follow(steps):
    with tempfile.TemporaryDirectory() as directory:
        job = Job(directory)
        for step in steps:
            match step:
                case "start":
                    job.start()
                case "collect":
                    job.collect()
                case "complete":
                    job.complete()
                case "late manifest":
                    job.complete_late()
                case ("store", layer):
                    job.store(layer=layer)
                case ("late upload", back):
                    job.write_late(max(1, job.attempt - back))
            assert job.needed() <= job.present()
        job.start()
        job.collect()
        assert job.needed() == job.present()


@at_length(st.lists(STEPS, max_size=30), few=60)
def test_a_new_attempt_finds_what_checkpoints_need_and_nothing_else(steps):
    follow(steps)


def test_what_the_attempt_itself_and_later_ones_write_is_not_touched(tmp_path):
    own, later = (CheckpointFiles(str(tmp_path), "job-1", inline_bytes_max=0, attempt=attempt) for attempt in (10, 11))
    written = [one.write_state(7, "9-count/0", b"x").uri for one in (own, later)] + [own.write_shared(b"y").uri]
    assert [] == CheckpointFiles(str(tmp_path), "job-1", inline_bytes_max=0).collect_left(10, [])
    assert all(Path(uri).exists() for uri in written)


def test_files_that_no_attempt_has_written_are_not_touched(tmp_path):
    home = tmp_path / "job-1"
    others = ["chk-1/" + MANIFEST, "chk-1/1-notes", "shared/notes", "savepoint-1/part-1-count-0-abc", "saved/shared/1-abc", "1-abc"]
    for name in others:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"mine")
    assert [] == CheckpointFiles(str(tmp_path), "job-1", inline_bytes_max=0).collect_left(100, [])
    assert all((home / name).exists() for name in others)


def test_a_directory_that_is_given_as_a_uri_is_looked_through(tmp_path):
    uri = f"file://{tmp_path}"
    kept, left = (CheckpointFiles(uri, "job-1", inline_bytes_max=0, attempt=1).write_shared(data) for data in (b"kept", b"left"))
    assert [left.uri] == CheckpointFiles(uri, "job-1", inline_bytes_max=0).collect_left(2, [kept])
    assert 1 == len([path for path in tmp_path.rglob("*") if path.is_file()])


def test_another_job_is_not_touched(tmp_path):
    other = CheckpointFiles(str(tmp_path), "job-12", inline_bytes_max=0, attempt=1).write_shared(b"x")
    CheckpointFiles(str(tmp_path), "job-1", inline_bytes_max=0, attempt=1).write_shared(b"x")
    assert 1 == len(CheckpointFiles(str(tmp_path), "job-1", inline_bytes_max=0).collect_left(2, []))
    assert Path(other.uri).exists()
