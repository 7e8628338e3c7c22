"""What operator tests share: a subtask to run chains in, outputs that remember, and naive oracles."""

import asyncio
import logging
import queue
import threading
from collections import defaultdict
from concurrent.futures import Future

from actorflow.config import Config
from actorflow.ids import OperatorId, SubtaskId, VertexId
from actorflow.operators.chain import compile_chain
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.contract import OutputPort
from actorflow.plan.graph import LogicalOperator
from actorflow.runtime.subtasks.alarms import Alarms
from actorflow.state.hashmap import HashMapBackend
from actorflow.wire.batch import ColumnBatch, ObjectBatch

DEADLINE_S = 20


class Subtask:
    """A `SubtaskContext` whose thread is the test's own."""

    job_name = "test"
    subtask = SubtaskId(VertexId("chain"), 1)
    parallelism = 2
    max_parallelism = 128
    attempt = 1
    log = logging.getLogger("test")
    config = Config()
    batch = False

    def __init__(self, make_backend=HashMapBackend):
        self.make_backend = make_backend
        self.posted = queue.Queue()
        self.told = []
        self.wakes = 0
        self.now_ms = 0
        self.held_ms = 0
        self.reports = []
        self.forwarded = []
        self.alarms = Alarms(lambda _: None)
        self._loop = None

    def post(self, callback):
        self.posted.put(callback)

    def wake(self):
        self.wakes += 1

    def processing_time(self):
        return self.now_ms

    def held_up_ms(self):
        return self.held_ms

    def call_at(self, timestamp, callback):
        return self.alarms.set(timestamp, callback)

    def advance_to(self, now_ms):
        """Let processing time pass, and make the calls that are due."""
        self.now_ms = now_ms
        while self.alarms.due(now_ms):
            self.alarms.ring(now_ms)

    def forward_watermark(self, timestamp):
        self.forwarded.append(timestamp)

    def forward_idleness(self, *, idle):
        self.forwarded.append("idle" if idle else "active")

    def report_watermark(self, operator, *, number, watermark, idle, max_drift_ms):
        self.reports.append((watermark, "idle" if idle else "active"))

    def keyed_backend(self, operator):
        return self.make_backend()

    def event_loop(self):
        if self._loop is None:
            started = Future()

            def run():
                loop = asyncio.new_event_loop()
                loop.call_soon(started.set_result, loop)
                loop.run_forever()
                loop.close()

            self._thread = threading.Thread(target=run, daemon=True)
            self._thread.start()
            self._loop = started.result(DEADLINE_S)
        return self._loop

    def tell(self, to, message):
        self.told.append((to, message))

    def cached_file(self, name):
        return {"lookup": "cached/lookup"}[name]

    def run_posted_until(self, done):
        """Be the subtask's thread until `done()`."""
        while not done():
            self.posted.get(timeout=DEADLINE_S)()

    def stop(self):
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(DEADLINE_S)


class Collected:
    """An output that remembers batches."""

    def __init__(self):
        self.batches = []

    def emit(self, batch):
        assert len(batch), "an empty batch was emitted"
        self.batches.append(batch)

    @property
    def objects(self):
        return [to_objects(batch) if isinstance(batch, ColumnBatch) else batch for batch in self.batches]

    @property
    def records(self):
        return [record for batch in self.objects for record in batch.records]

    @property
    def stamped(self):
        return [pair for batch in self.objects for pair in zip(batch.records, batch.timestamps or [None] * len(batch), strict=True)]


def port(output, position=-1, tag=None):
    return OutputPort(position, tag, output)


def operators(*specs):
    return [LogicalOperator(OperatorId(f"id{n}"), f"{spec.kind}-{n}", spec) for n, spec in enumerate(specs)]


def chain_of(*specs, ports=(), context=None):
    """Compile a chain whose last operator's output is collected; return chain and output."""
    output = Collected()
    chain = compile_chain(operators(*specs), [*ports, port(output, len(specs) - 1)], context or Subtask())
    return chain, output


def run(*specs, records, timestamps=None, **options):
    """Run one batch through a chain and return what comes out."""
    chain, output = chain_of(*specs, **options)
    chain.open()
    chain.process(ObjectBatch(list(records), timestamps))
    assert chain.finish()
    chain.close()
    return output.records


class NaiveChain:
    """The same chain a record at a time, written for clarity. It follows nothing but the specs' documentation."""

    def __init__(self, specs):
        self.specs = specs
        self.states = [{} for _ in specs]
        self.outputs = defaultdict(list)

    def take(self, record, stamp, position=0):
        self.outputs[position - 1].append((record, stamp))
        if position == len(self.specs):
            return
        for result in self.apply(self.specs[position], self.states[position], record):
            self.take(result, stamp, position + 1)

    def apply(self, spec, state, record):
        def part(selector):
            return record if selector is None else record[selector] if isinstance(selector, str) else selector(record)

        match spec.kind:
            case "map":
                return [spec.fn(record)]
            case "filter":
                return [record] if spec.fn(record) else []
            case "flat_map":
                return list(spec.fn(record))
        key = part(spec.key)
        seen = state.setdefault(key, [])
        match spec.kind:
            case "count":
                seen.append(1)
                return [(key, len(seen))]
            case "sum" | "min" | "max":
                seen.append(part(spec.value))
                return [(key, {"sum": sum, "min": min, "max": max}[spec.kind](seen))]
            case "reduce":
                seen.append(record)
                result = seen[0]
                for other in seen[1:]:
                    result = spec.fn(result, other)
                return [result]
            case "aggregate":
                seen.append(record)
                acc = spec.aggregate.create()
                for other in seen:
                    acc = spec.aggregate.add(acc, other)
                return [(key, spec.aggregate.result(acc))]
