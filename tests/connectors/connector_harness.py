"""Runs sources and sinks by hand, as the runtime does: splits on one side, pickled to the reader's side."""

import contextlib
import pickle
from dataclasses import dataclass, field

from actorflow.clock import ManualClock
from actorflow.connectors.contracts import END_OF_SPLIT, Pause
from actorflow.connectors.direct_sinks import records_of
from actorflow.ids import SubtaskId, VertexId
from actorflow.wire import pickling
from actorflow.wire.batch import ObjectBatch

PAUSES_MAX = 1_000_000


def next_batch(reader, records_max):
    """Return the reader's next batch, or None at its end. For readers whose pauses pass by reading on."""
    for _ in range(PAUSES_MAX):
        got = reader.read(records_max)
        if not isinstance(got, Pause):
            return None if got is END_OF_SPLIT else got
    raise AssertionError("the reader pauses for ever")


def drain(reader, records_max=100):
    """Return all records to the reader's end, and close it."""
    records = []
    with contextlib.closing(reader):
        while (batch := next_batch(reader, records_max)) is not None:
            assert len(batch) > 0, "a batch is never empty"
            assert len(batch) <= records_max
            records.extend(records_of(batch))
        assert reader.read(records_max) is END_OF_SPLIT, "the end stays the end"
    return records


def splits_of(source, parallelism=1):
    """Return the splits as they arrive at a reader's node."""
    return pickle.loads(pickle.dumps(list(source.splits(parallelism))))


def read_all(source, parallelism=1, records_max=100):
    """Return the records of each split, read through a pickled copy of the source."""
    copy = pickling.loads(pickling.dumps(source.for_readers()))
    return [drain(copy.open(split, None), records_max) for split in splits_of(source, parallelism)]


def read_flat(source, parallelism=1, records_max=100):
    """Return all records of a source, in the order of its splits."""
    return [record for records in read_all(source, parallelism, records_max) for record in records]


@dataclass
class Context:
    """What a writer knows, for tests."""

    index: int = 0
    parallelism: int = 1
    attempt: int = 1
    job_name: str = "job"
    job_id: str = "job-1"
    results: list = field(default_factory=list)
    clock: object = field(default_factory=ManualClock)

    @property
    def subtask(self):
        return SubtaskId(VertexId("sink"), self.index)

    def send_result(self, payload):
        self.results.append(payload)


def write_all(sink, *batches, context=None):
    """Write batches of records through one writer, commit, and return the committable."""
    writer = sink.open(context or Context())
    for records in batches:
        writer.write(ObjectBatch(list(records)))
    writer.flush()
    finished = writer.prepare()
    writer.close()
    if finished is not None:
        sink.commit(pickle.loads(pickle.dumps([finished])))
    return finished
