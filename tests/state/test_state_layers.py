"""Snapshots in layers: whatever became of checkpoints, the layers of a completed one say what the state was."""

import copy
import random

import pytest
from backend_kinds import rocksdb, rocksdb_without_room
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import CheckpointError
from actorflow.runtime.layer_line import LayerLine
from actorflow.state.changes import ChangeLog
from actorflow.state.descriptors import ListState, MapState, ValueState
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.layers import Chunk, Layers, Place, decode_layer, encode_layer, payload
from actorflow.wire.manifest import StoredFile

KEYS = st.integers(0, 7)
OPERATOR = "count"


def named(descriptor, name):
    descriptor.name = name
    return descriptor


class Files:
    """A directory in memory: what the coordinator keeps, and what it removes."""

    def __init__(self):
        self.data = {}
        self.number = 0

    def write(self, data):
        self.number += 1
        file = StoredFile(f"file-{self.number}", len(data), "")
        self.data[file] = data
        return file

    def keep(self, named_files):
        self.data = {file: data for file, data in self.data.items() if file in named_files}


class LosesDeltas(ChangeLog):
    """A planted fault: what an aborted checkpoint held is held by no other."""

    def decline(self, checkpoint):
        self._unconfirmed = [(number, changes) for number, changes in self._unconfirmed if number != checkpoint]


class TrustsWhatIsStored(LayerLine):
    """A planted fault: a snapshot is built upon as soon as it is stored, whatever becomes of its checkpoint."""

    def given_up(self, checkpoint):
        if self._stored.get(checkpoint) is not None:
            self.completed(checkpoint)
        else:
            super().given_up(checkpoint)


class ForgetsWhatIsGone(ChangeLog):
    """A planted fault: a table that was dropped is not void in the layers below."""

    def drop(self, place):
        super().drop(place)
        self._now.dropped.clear()


class Subtask:
    """One backend with its line of layers, as the runtime puts them together, under a coordinator that retains one checkpoint."""

    def __init__(self, inline_bytes_max=0, make=HashMapBackend, line=LayerLine):
        self.make, self.line_class = make, line
        backend = make(lambda: 0)
        self.log = backend.track()
        self.begin(backend)
        self.files = Files()
        self.inline_bytes_max = inline_bytes_max
        self.pending = {}
        self.retained = None
        self.number = 0

    def begin(self, backend):
        self.backend = backend
        backend.replaced("counts")
        backend.replaced("panes")
        self.line = self.line_class(self.log.confirm, self.log.decline)
        self.value = backend.bind(named(ValueState(object, default=None), "value"))
        self.map = backend.bind(named(MapState(object, object), "map"))
        self.list = backend.bind(named(ListState(object), "list"))

    def restart(self):
        self.backend.close()
        self.pending = {}
        backend = self.make(lambda: 0)
        self.log = backend.track()
        if self.retained is not None:
            self.restore(backend)
        self.begin(backend)
        if self.retained is not None and not self.retained[2]:
            self.line.resume(self.retained[0])
            self.log.resume()

    # --- what operators do

    def count(self, key):
        self.backend.load("counts", [key])
        table = self.backend.table("counts")
        table[key] = table.get(key, 1000) + 1  # beyond the integers that Python has once only
        self.backend.settle()

    def count_in_pane(self, key, pane):
        self.backend.load("panes", [key], pane)
        table = self.backend.table("panes", pane)
        table[key] = table.get(key, 0) + 1  # equal counts are the same object here
        self.backend.settle()

    def add_to_bag(self, key, bag):
        self.backend.load("bags", [key], bag)
        self.backend.table("bags", bag).setdefault(key, []).append(len(self.pending))
        self.backend.settle()

    def use(self, key, what, entry):
        self.backend.current_key = key
        match what:
            case "value":
                self.value.set([entry])
            case "in place":
                if (held := self.value.get()) is not None:
                    held.append(entry)
                    if not self.backend.resident:
                        self.value.set(held)
            case "forget":
                self.value.clear()
            case "put":
                self.map.put(entry, entry)
            case "remove":
                self.map.remove(entry)
            case "append":
                self.list.add(entry)
            case "clear":
                self.list.clear()
        self.backend.current_key = None
        self.backend.settle()

    # --- what becomes of checkpoints

    def snapshot(self):
        self.number += 1
        below = self.line.begin(self.number, afresh=self.number % 3 == 0)
        pieces = self.log.capture(self.number, whole=not below.layers)
        # The bytes are made later, off the thread: what happens now must not show.
        self.pending[self.number] = (below, pieces, self.contents(self.backend))

    def settle(self, number, outcome):
        below, pieces, expected = self.pending.pop(number)
        if outcome == "unheard":  # stored or not: nobody tells the subtask
            return
        data = encode_layer((OPERATOR, one) for piece in pieces for one in piece.payloads())
        own = None if len(data) <= self.inline_bytes_max else self.files.write(data)
        self.line.stored(number, own)
        removed = not self.files.data.keys() >= {*below.layers, *below.kept}
        if outcome == "aborted" or removed:  # a manifest that names what was removed is refused
            self.line.given_up(number)
            self.files.keep(self.named())
            return
        layers = below.layers if own is None else (*below.layers, own)
        self.retained = (layers, below.kept, data if own is None else b"", expected)
        self.line.completed(number)
        self.files.keep(self.named())

    def merge(self):
        if sources := self.line.due():
            merged = Layers(base=self.line.is_base(sources))
            for source in sources:
                merged.add(self.files.data[source])
            self.line.merged(sources, self.files.write(encode_layer(merged.payloads())))

    def named(self):
        return set() if self.retained is None else {*self.retained[0], *self.retained[1]}

    @staticmethod
    def contents(backend):
        groups = backend.snapshot(lambda key: 0)
        return {name: copy.deepcopy(values) for name, values in groups.get(0, {}).items() if values}

    def restore(self, backend):
        """Restore from the retained checkpoint."""
        layers, _, top, _ = self.retained
        found = Layers()
        for data in [*(self.files.data[file] for file in layers), *([top] if top else [])]:
            found.add(data)
        for name in ("panes", "bags"):
            backend.namespaces(name)
        backend.restore([found.states(OPERATOR)])

    def check(self):
        if self.retained is None:
            return
        expected, restored = self.retained[3], HashMapBackend(lambda: 0)
        self.restore(restored)
        assert ordered(expected) == ordered(self.contents(restored))


def ordered(state):
    return {
        name: {key: sorted(value, key=repr) if name.startswith("timers:") else value for key, value in values.items()}
        for name, values in state.items()
    }


CHANGES = st.one_of(
    st.tuples(st.just("count"), KEYS),
    st.tuples(st.just("pane"), KEYS, st.integers(0, 2)),
    st.tuples(st.just("drop"), st.sampled_from(["panes", "bags"]), st.integers(0, 2)),
    st.tuples(st.just("bag"), KEYS, st.integers(0, 2)),
    st.tuples(
        st.just("use"),
        KEYS,
        st.sampled_from(["value", "in place", "forget", "put", "remove", "append", "clear"]),
        st.integers(0, 3),
    ),
    st.tuples(st.just("timer"), st.sampled_from(["set", "delete", "take"]), KEYS, st.integers(0, 5)),
)
OUTCOMES = st.lists(st.tuples(st.sampled_from(["completed", "completed", "aborted", "unheard"]), st.booleans()), max_size=2)
THEN = st.sampled_from([(), (), ("merge",), ("merge", "restart"), ("restart",)])
ROUNDS = st.lists(st.tuples(st.lists(CHANGES, max_size=6), OUTCOMES, THEN), min_size=3, max_size=12)


def steps_of(rounds):
    """Give changes, a snapshot, what became of it or of others, and maybe a merge or a restart, again and again."""
    for changes, outcomes, then in rounds:
        yield from changes
        yield ("snapshot",)
        yield from (("settle", *outcome) for outcome in outcomes)
        yield from ((step,) for step in then)


def run(subtask, steps):
    for step in steps:
        match step:
            case ("count", key):
                subtask.count(key)
            case ("pane", key, pane):
                subtask.count_in_pane(key, pane)
            case ("bag", key, bag):
                subtask.add_to_bag(key, bag)
            case ("drop", name, namespace):
                subtask.backend.drop(name, namespace)
            case ("use", key, what, entry):
                subtask.use(key, what, entry)
            case ("timer", "set", key, time):
                subtask.backend.timers("event").set(time, key, time % 2)
            case ("timer", "delete", key, time):
                subtask.backend.timers("event").delete(time, key, time % 2)
            case ("timer", "take", _, time):
                subtask.backend.timers("event").take(time)
            case ("snapshot",):
                subtask.snapshot()
            case ("settle", outcome, newest):
                if subtask.pending:
                    number = max(subtask.pending) if newest else min(subtask.pending)
                    if outcome == "completed":  # it overtakes those before it, of which the subtask may hear later
                        for older in [one for one in subtask.pending if one < number]:
                            subtask.settle(older, "unheard")
                    subtask.settle(number, outcome)
            case ("merge",):
                subtask.merge()
            case ("restart",):
                subtask.restart()
        subtask.check()


@given(ROUNDS, st.sampled_from([0, 150, 400]))
def test_the_layers_of_the_last_completed_checkpoint_say_what_the_state_was(rounds, inline_bytes_max):
    run(Subtask(inline_bytes_max), steps_of(rounds))


@pytest.mark.slow
@settings(max_examples=500)
@given(ROUNDS, st.sampled_from([0, 150, 400]))
def test_the_layers_say_what_the_state_was_in_many_runs(rounds, inline_bytes_max):
    run(Subtask(inline_bytes_max), steps_of(rounds))


@pytest.mark.parametrize("make", [rocksdb, rocksdb_without_room])
@settings(max_examples=10)
@given(rounds=ROUNDS, inline_bytes_max=st.sampled_from([0, 150]))
def test_the_layers_say_what_the_state_was_on_disk(make, rounds, inline_bytes_max):
    subtask = Subtask(inline_bytes_max, make)
    try:
        run(subtask, steps_of(rounds))
    finally:
        subtask.backend.close()


def drawn(seed):
    """Return the steps of a seed."""
    draw = random.Random(seed)

    def change():
        key, number = draw.randrange(8), draw.randrange(3)
        uses = ["value", "in place", "forget", "put", "remove", "append", "clear"]
        return draw.choice(
            [
                ("count", key),
                ("pane", key, number),
                ("drop", draw.choice(["panes", "bags"]), number),
                ("bag", key, number),
                ("use", key, draw.choice(uses), number),
                ("timer", draw.choice(["set", "delete", "take"]), key, number),
            ]
        )

    def outcomes():
        return [(draw.choice(["completed", "completed", "aborted"]), draw.random() < 0.5) for _ in range(draw.randrange(3))]

    return list(
        steps_of(
            [
                ([change() for _ in range(draw.randrange(6))], outcomes(), draw.choice([(), (), ("merge",), ("restart",)]))
                for _ in range(10)
            ]
        )
    )


def faulty(fault):
    """Return a subtask with a planted fault."""
    if issubclass(fault, LayerLine):
        return Subtask(line=fault)
    return Subtask(make=lambda clock: with_log(HashMapBackend(clock), fault))


def with_log(backend, log):
    backend._changes = log(backend)
    return backend


@pytest.mark.parametrize("fault", [LosesDeltas, TrustsWhatIsStored, ForgetsWhatIsGone])
def test_a_planted_fault_is_found_within_200_seeds(fault):
    def found(seed):
        try:
            run(faulty(fault), drawn(seed))
        except (AssertionError, KeyError):
            return True
        return False

    assert next((seed for seed in range(200) if found(seed)), None) is not None
    for seed in range(30):
        run(Subtask(), drawn(seed))


CYCLE = [("count", 1), ("use", 2, "value", 1), ("timer", "set", 3, 4), ("snapshot",)]


def test_what_an_aborted_checkpoint_held_is_in_the_next_one():
    subtask = Subtask()
    run(subtask, [*CYCLE, ("settle", "completed", True), ("count", 5), ("use", 5, "put", 1), ("timer", "set", 5, 3)])
    run(subtask, [("snapshot",), ("settle", "aborted", True), ("use", 6, "put", 1), ("snapshot",), ("settle", "completed", True)])
    assert {5: {1: 1}, 6: {1: 1}} == subtask.retained[3]["map"]


def test_a_delta_holds_what_changed_and_no_more():
    subtask = Subtask()
    for key in range(1000):
        subtask.count(key)
        subtask.use(key, "value", 1)
    run(subtask, [("snapshot",), ("settle", "completed", True)])
    subtask.count(7)
    subtask.use(8, "append", 1)
    run(subtask, [("snapshot",), ("settle", "completed", True)])
    chunks = [chunk for _, chunk in decode_layer(subtask.files.data[subtask.retained[0][-1]])]
    assert {(chunk.place.name, key) for chunk in chunks for key in chunk.keys} == {("counts", 7), ("list", 8)}


def test_deltas_larger_than_their_base_become_a_base_and_many_small_ones_become_one():
    subtask = Subtask()
    for key in range(200):
        subtask.use(key, "value", 1)
    for _ in range(40):
        run(subtask, [("use", 3, "append", 1), ("snapshot",), ("settle", "completed", True), ("merge",)])
    assert len(subtask.retained[0]) < 40
    assert len(subtask.retained[0]) > 1
    for key in range(200):
        subtask.use(key, "append", 1)
    for _ in range(3):
        run(subtask, [("snapshot",), ("settle", "completed", True), ("merge",)])
    assert len(subtask.retained[0]) <= 3


def test_a_layer_of_a_newer_version_is_refused_by_its_number():
    data = bytearray(encode_layer([("count", payload(Chunk(Place("value"), [1], [2], [])))]))
    assert [("count", Chunk(Place("value"), [1], [2], []))] == list(decode_layer(bytes(data)))
    data[7] = 9
    with pytest.raises(CheckpointError, match="version 9, this program reads up to 1"):
        list(decode_layer(bytes(data)))
    with pytest.raises(CheckpointError, match="it is none"):
        list(decode_layer(b"something else"))


def test_a_value_that_cannot_be_pickled_is_named_by_its_state():
    subtask = Subtask()
    subtask.backend.current_key = 1
    subtask.value.set([(one for one in ())])
    with pytest.raises(CheckpointError, match="state 'value' cannot be pickled"):
        subtask.log.capture(1, whole=True)
