"""Whole jobs whose keyed state is on disk."""

import os
import signal
from collections import Counter

import pytest

import actorflow as af
from actorflow.errors import JobFailed

WORDS = [f"word {n % 70}" for n in range(2000)]


@pytest.fixture
def on_disk(tmp_path):
    """Options under which nothing stays in memory from one batch to the next."""
    return {
        "state.backend.type": "rocksdb",
        "state.backend.rocksdb.localdir": str(tmp_path / "state"),
        "state.backend.rocksdb.memory.fixed-per-slot": "8mb",
        "actorflow.state.rocksdb.objects-ratio": 0.0,
    }


class Repeated(af.OperatorActor):
    """Tells of each word that comes again, in an hour or when the input ends."""

    times = af.ValueState(int, default=0)
    lengths = af.MapState(str, int)
    recent = af.ListState(int)

    def on_record(self, record, ctx):
        self.times.set(self.times.get() + 1)
        self.lengths.put(record, len(record))
        self.recent.update([*self.recent.get(), self.times.get()][-3:])
        if self.times.get() == 2:
            ctx.timers.processing(ctx.processing_time() + 3_600_000)

    def on_timer(self, timestamp, ctx):
        ctx.emit((ctx.key, dict(self.lengths.items()), self.recent.get()))


@pytest.mark.parametrize("number", ["inline", pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
class TestJobs:
    def test_words_are_counted_as_a_counter_does(self, on_disk, tmp_path, number):
        pipeline = af.Pipeline("words")
        words = pipeline.read(af.sources.collection(WORDS)).key_by(lambda word: word)
        lasts = words.count().key_by(lambda pair: pair[0]).reduce(max)
        counts = Counter()
        for word, count in af.collect(lasts, slots=number, config=on_disk):
            counts[word] = max(count, counts[word])
        assert Counter(WORDS) == counts
        assert [] == list((tmp_path / "state").iterdir())

    def test_states_of_every_kind_and_timers_last(self, on_disk, tmp_path, number):
        pipeline = af.Pipeline("repeated")
        stream = pipeline.read(af.sources.collection(WORDS)).key_by(lambda word: word).process(Repeated())
        counts = Counter(WORDS)
        expected = {(word, len(word), tuple(range(count - 2, count + 1))) for word, count in counts.items()}
        found = af.collect(stream, slots=number, config=on_disk)
        assert len(expected) == len(found)
        assert expected == {(word, lengths[word], tuple(recent)) for word, lengths, recent in found}
        assert [] == list((tmp_path / "state").iterdir())

    def test_a_directory_that_cannot_be_made_fails_the_job_and_is_named(self, on_disk, tmp_path, number):
        (tmp_path / "state").write_text("a file")
        stream = af.Pipeline("words").read(af.sources.collection(WORDS)).key_by(lambda word: word).count()
        with pytest.raises(JobFailed, match=r"cannot keep state in '.*/state': File exists \(hint: state.backend.rocksdb.localdir"):
            af.collect(stream, slots=number, config=on_disk)


def killed_at_last(counted):
    if counted == ("word 69", 28):
        os.kill(os.getpid(), signal.SIGKILL)
    return counted


@pytest.mark.slow
def test_what_a_killed_worker_had_on_disk_is_removed(on_disk, tmp_path):
    words = af.Pipeline("words").read(af.sources.collection(WORDS)).key_by(lambda word: word)
    with pytest.raises(JobFailed, match="was killed by SIGKILL"):
        af.collect(words.count().map(killed_at_last), slots=1, config=on_disk)
    assert [] == list((tmp_path / "state").iterdir())
