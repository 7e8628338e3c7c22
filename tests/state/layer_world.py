"""One subtask's state in layers, under a coordinator: what operators change, what becomes of checkpoints, and faults that may be planted."""

import copy

from actorflow.runtime.checkpoints.layer_line import LayerLine
from actorflow.state.changes import ChangeLog
from actorflow.state.descriptors import ListState, MapState, ValueState
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.layers import Layers, decode_layer, encode_layer, encode_layers, payload
from actorflow.wire.manifest import StoredFile

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
    """One backend with its line of layers, as the runtime puts them together, under a coordinator that retains one checkpoint, and those
    before it that the subtask may yet build upon."""

    def __init__(self, inline_bytes_max=0, make=HashMapBackend, line=LayerLine, file_bytes_max=200):
        self.file_bytes_max = file_bytes_max
        self.make, self.line_class = make, line
        backend = self.made()
        self.begin(backend)
        self.files = Files()
        self.inline_bytes_max = inline_bytes_max
        self.pending = {}
        self.savepoints = []
        self.retained = None
        self.completed = {}  # files by the number of each checkpoint that is there: the retained one is the last
        self.unheard = []
        self.last = self.unused = None
        self.number = 0

    def made(self):
        backend = self.make(lambda: 0)
        backend.replaced("counts")
        backend.replaced("panes")
        self.log = backend.track()
        return backend

    def begin(self, backend):
        self.backend = backend
        self.line = self.line_class(self.log.confirm, self.log.decline)
        self.value = backend.bind(named(ValueState(object, default=None), "value"))
        self.map = backend.bind(named(MapState(object, object), "map"))
        self.list = backend.bind(named(ListState(object), "list"))

    def restart(self):
        self.backend.close()
        self.pending = {}
        self.savepoints = []
        self.unheard = []
        self.completed = dict(list(self.completed.items())[-1:])
        backend = self.made()
        if self.retained is not None:
            self.restore(backend)
        self.begin(backend)
        if self.retained is not None and not self.retained[2]:
            self.line.resume(self.retained[0], self.base)
            self.log.resume()

    # --- what operators do

    def count(self, key):
        self.backend.load("counts", [key])
        table = self.backend.table("counts")
        table[key] = table.get(key, 1000) + 1  # beyond the integers that Python has once only
        self.backend.settle()

    def load(self, key):
        """Load a key whose value is not set then: who says that values are replaced should not do it."""
        self.backend.load("counts", [key])
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
        if self.unused in (*below.layers, *below.kept):
            self.unused = None
        pieces = self.log.capture(self.number, whole=not below.layers)
        # The bytes are made later, off the thread: what happens now must not show.
        self.pending[self.number] = (below, pieces, self.contents(self.backend))

    def savepoint(self):
        """Capture what a native savepoint adds to the line, which later snapshots know nothing of."""
        self.number += 1
        below = self.line.lend(self.number)
        pieces = self.log.capture(self.number, whole=not below.layers)
        self.log.decline(self.number)
        self.savepoints.append((self.number, below, pieces, self.contents(self.backend)))

    def store_savepoint(self):
        """Store the oldest savepoint: all files that it was lent are still there."""
        number, below, pieces, expected = self.savepoints.pop(0)
        data = encode_layer((OPERATOR, one) for piece in pieces for one in piece.payloads())
        restored = HashMapBackend(lambda: 0)
        self.absorb(restored, [*(self.files.data[file] for file in below.layers), data])
        assert ordered(expected) == ordered(self.contents(restored))
        self.line.given_back(number)

    def end(self):
        """Leave what all later checkpoints have of it, as `SubtaskCheckpoints.leave` takes it."""
        self.number += 1
        below = self.line.begin(self.number)
        pieces = self.log.capture(self.number, whole=not below.layers)
        data = encode_layer((OPERATOR, one) for piece in pieces for one in piece.payloads())
        own = tuple(map(self.files.write, self.cut(data)))
        only_here = {*below.layers, *below.kept, *own}.difference(below.line)
        self.last = ((*below.layers, *own), below.beside, only_here, self.contents(self.backend))

    def check_last(self):
        """See whether a checkpoint that is complete now can have what was left."""
        layers, beside, _, expected = self.last
        assert self.files.data.keys() >= {*layers, *beside}
        restored = HashMapBackend(lambda: 0)
        self.absorb(restored, [self.files.data[file] for file in layers])
        assert ordered(expected) == ordered(self.contents(restored))

    def settle(self, number, outcome):
        below, pieces, expected = self.pending.pop(number)
        if outcome == "unheard":  # not stored: nobody tells the subtask
            return
        data = encode_layer((OPERATOR, one) for piece in pieces for one in piece.payloads())
        own = () if len(data) <= self.inline_bytes_max else tuple(map(self.files.write, self.cut(data)))
        self.line.stored(number, own)
        if outcome == "aborted":
            self.line.given_up(number)
            self.files.keep(self.named())
            return
        assert self.files.data.keys() >= {*below.layers, *below.beside}, "a checkpoint names what was removed"
        self.retained = ((*below.layers, *own), below.beside, b"" if own else data, expected)
        self.base = below.base or len(own)
        self.completed = {one: files for one, files in self.completed.items() if one >= below.oldest}
        self.completed[number] = {*self.retained[0], *below.beside}
        if self.last is None:
            self.unheard.append(number)
            if outcome == "completed":
                self.hear()
        self.files.keep(self.named())

    def hear(self, *, newest=True):
        """Tell of a checkpoint that is complete."""
        if self.unheard:
            self.line.completed(self.unheard.pop() if newest else self.unheard.pop(0))

    def cut(self, data):
        """Give a layer as several files."""
        payloads = ((operator, payload(chunk)) for operator, chunk in decode_layer(data))
        return encode_layers(payloads, self.file_bytes_max)

    def merge(self):
        if sources := self.line.due():
            merged = Layers(base=self.line.is_base(sources))
            for source in sources:
                merged.add(self.files.data[source])
            file = self.files.write(encode_layer(merged.payloads()))
            if self.line.merged(sources, file):
                self.unused = file

    def named(self):
        left = set() if self.last is None else self.last[2]
        if self.unused is not None:
            left = {*left, self.unused}
        merged = ({*below.layers, *below.kept}.difference(below.line) for below, _, _ in self.pending.values())
        return set().union(left, *merged, *self.completed.values())

    @staticmethod
    def contents(backend):
        groups = backend.snapshot(lambda key: 0)
        return {name: copy.deepcopy(values) for name, values in groups.get(0, {}).items() if values}

    def restore(self, backend):
        """Restore from the retained checkpoint."""
        layers, _, top, _ = self.retained
        self.absorb(backend, [*(self.files.data[file] for file in layers), *([top] if top else [])])

    @staticmethod
    def absorb(backend, layers):
        for name in ("panes", "bags"):
            backend.namespaces(name)
        for data in layers:
            for _, chunk in decode_layer(data):
                backend.absorb(chunk)

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


def run(subtask, steps, *, check=True):
    for step in steps:
        match step:
            case ("count", key):
                subtask.count(key)
            case ("load", key):
                subtask.load(key)
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
                    if outcome in {"completed", "heard later"}:  # it overtakes those before it, of which the subtask may hear later
                        for older in [one for one in subtask.pending if one < number]:
                            subtask.settle(older, "unheard")
                    subtask.settle(number, outcome)
            case ("hear", newest):
                subtask.hear(newest=newest)
            case ("merge",):
                subtask.merge()
            case ("savepoint",):
                subtask.savepoint()
            case ("store savepoint",):
                if subtask.savepoints:
                    subtask.store_savepoint()
            case ("restart",):
                subtask.restart()
        if check or step[0] == "settle":
            subtask.check()
