"""What tests of joins share: histories of two sides, and running one through a chain on either backend."""

import tempfile
from pathlib import Path

import pytest
from chain_harness import Collected, Subtask, chain_of, port
from hypothesis import strategies as st

from actorflow.state.hashmap import HashMapBackend
from actorflow.state.rocksdb.backend import RocksDBBackend
from actorflow.state.rocksdb.memory import ObjectShares, RocksDBMemory
from actorflow.state.rocksdb.store import Store
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch

LEFT, RIGHT = 0, 1


def on_disk():
    """Return a backend that keeps nothing in memory from one batch to the next."""
    store = Store(Path(tempfile.mkdtemp(prefix="actorflow-state-test-")), RocksDBMemory(8 << 20), "test")
    return RocksDBBackend(store, ObjectShares(0), 128)


BACKENDS = {"hashmap": HashMapBackend, "rocksdb": on_disk}


def on_backends(*, hashmap, rocksdb):
    """Try a property on so many examples, and as a slow test on many: `examples`, by the name of the `backend`."""
    many = [pytest.param("hashmap", 1000, marks=pytest.mark.slow), pytest.param("rocksdb", 250, marks=pytest.mark.slow)]
    return pytest.mark.parametrize(("backend", "examples"), [("hashmap", hashmap), ("rocksdb", rocksdb), *many])


TIMES = st.integers(-20, 40)


@st.composite
def histories(draw, *, clock=False):
    """Return steps: batches `(side, [(key, time), ...])`, `("watermark", time)`, and `("clock", time)` if asked for; none goes back.

    A record is `(side, key, time, number)`.
    """
    steps, number, watermark, now = [], 0, MIN_TIMESTAMP, 0
    kinds = [LEFT, RIGHT, LEFT, RIGHT, "watermark", *(["clock"] if clock else [])]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=16)):
        if kind == "watermark":
            watermark = max(watermark, draw(TIMES))
            steps.append(("watermark", watermark))
        elif kind == "clock":
            now = max(now, draw(st.integers(0, 60)))
            steps.append(("clock", now))
        else:
            records = []
            for key, at in draw(st.lists(st.tuples(st.sampled_from("ab"), TIMES), min_size=1, max_size=4)):
                records.append((kind, key, at, number))
                number += 1
            steps.append((kind, records))
    return steps


def key_of(record):
    return record[1]


class Run:
    """A join in a chain.

    Args:
        spec: the join.
        make_backend: where its state lives.
        tags: side outputs to collect.
        look: called with the chain after every step.
        keeps_state: whether state may be left at the end.
    """

    def __init__(self, spec, make_backend, tags=(), look=lambda chain, step: None, *, keeps_state=False):
        self.context = Subtask(make_backend)
        self.sides = {tag: Collected() for tag in tags}
        ports = [port(output, 0, tag) for tag, output in self.sides.items()]
        self.chain, self.output = chain_of(spec, ports=ports, context=self.context)
        self.name = f"{spec.kind}-0"
        self.look = look
        self.keeps_state = keeps_state
        self.stamped = True

    def play(self, steps):
        """Run the steps and the end of input; return what came out, each with its event time."""
        chain = self.chain
        chain.open()
        for step in [*steps, ("watermark", MAX_TIMESTAMP)]:
            match step:
                case ("watermark", watermark):
                    assert watermark == chain.advance_watermark(watermark)
                case ("clock", now):
                    self.context.advance_to(now)
                case (side, records):
                    times = [record[2] for record in records] if self.stamped else None
                    chain.process(ObjectBatch(list(records), times), side)
            self.look(chain, step)
        assert chain.finish()
        assert self.keeps_state or [] == list(chain.backends()[self.name].keys()), "no state is left"
        assert 0 == chain.observe()[self.name]["timers"], "no timer is left"
        self.facts = chain.observe()[self.name]
        chain.close()
        for backend in chain.backends().values():
            backend.close()
        return self.output.stamped
