"""Time to live, over every backend, against an oracle that remembers when each value was used."""

from datetime import timedelta

import pytest
from backend_kinds import BACKENDS, rocksdb_with_little_room, rocksdb_without_room
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorflow.errors import ConfigError, PlanError
from actorflow.operators.aggregate import Aggregate
from actorflow.state.backend import NO_KEY
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, ValueState
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.ttl import Ttl

TTL = 10


class Sum(Aggregate):
    def create(self):
        return 0

    def add(self, acc, value):
        return acc + value

    def merge(self, a, b):
        return a + b

    def result(self, acc):
        return f"sum {acc}"


def named(descriptor, name="state"):
    descriptor.__set_name__(None, name)
    return descriptor


class Clock:
    """Processing and event time of a test."""

    def __init__(self):
        self.now = 1000

    def __call__(self):
        return self.now


def at(clock, make):
    backend = make(clock)
    backend.event_time = clock
    backend.watermark = clock.now
    return backend


keys = st.sampled_from(["a", "b", "c"])
entries = st.sampled_from(["p", "q"])


def machine_over(make_backend, update, expired, time):
    class TtlAgainstTimesOfUse(RuleBasedStateMachine):
        @initialize()
        def start(self):
            self.clock = Clock()
            self.open()
            self.values, self.maps, self.lists = {}, {}, {}

        def open(self):
            self.backend = at(self.clock, make_backend)
            ttl = Ttl(TTL, update=update, expired=expired, time=time)
            self.value = self.backend.bind(named(ValueState(int, default=-1, ttl=ttl), "value"))
            self.entries = self.backend.bind(named(MapState(str, int, ttl=ttl), "entries"))
            self.listed = self.backend.bind(named(ListState(int, ttl=ttl), "listed"))

        @property
        def now(self):
            """What the time is for the record in hand: late records come at the watermark."""
            return max(self.clock.now, self.backend.watermark)

        def alive(self, used):
            return self.now - used[1] < TTL

        def seen(self, used):
            """Whether a read shows it, if it is certain; reading what expired may or may not show it when clean-up decides."""
            return used is not None and self.alive(used)

        def refreshed(self, used):
            return (used[0], max(used[1], self.now)) if update == "read" and self.alive(used) else used

        @rule(step=st.integers(0, TTL + 1), behind=st.integers(0, TTL + 1))
        def time_passes(self, step, behind):
            self.clock.now += step
            self.backend.watermark = max(self.backend.watermark, self.clock.now - behind)
            self.backend.settle()

        @precondition(lambda self: time == "event")
        @rule(earlier=st.integers(0, 2 * TTL))
        def an_earlier_record_comes(self, earlier):
            self.clock.now -= earlier

        @rule(key=keys, number=st.integers(0, 9))
        def value_is_set(self, key, number):
            self.backend.current_key = key
            self.value.set(number)
            self.values[key] = (number, self.now)

        @rule(key=keys)
        def value_is_read(self, key):
            self.backend.current_key = key
            got, used = self.value.get(), self.values.get(key)
            if self.seen(used):
                assert used[0] == got
                self.values[key] = self.refreshed(used)
            elif expired == "hide" or used is None:
                assert got == -1
            else:
                assert got in {-1, used[0]}

        @rule(key=keys, entry=entries, number=st.integers(0, 9))
        def entry_is_put(self, key, entry, number):
            self.backend.current_key = key
            self.entries.put(entry, number)
            self.maps.setdefault(key, {})[entry] = (number, self.now)

        @rule(key=keys, entry=entries)
        def entry_is_read(self, key, entry):
            self.backend.current_key = key
            used = self.maps.get(key, {}).get(entry)
            got = self.entries.get(entry)
            if self.seen(used):
                assert used[0] == got
                self.maps[key][entry] = self.refreshed(used)
            elif expired == "hide" or used is None:
                assert got is None

        @rule(key=keys)
        def entries_are_read(self, key):
            self.backend.current_key = key
            got = dict(self.entries.items())
            held = self.maps.get(key, {})
            expected = {entry: used[0] for entry, used in held.items() if self.seen(used)}
            if expired == "hide":
                assert expected == got
            else:
                assert expected.items() <= got.items()
            self.maps[key] = {entry: self.refreshed(used) for entry, used in held.items()}

        @rule(key=keys, number=st.integers(0, 9))
        def element_is_added(self, key, number):
            self.backend.current_key = key
            self.listed.add(number)
            self.lists.setdefault(key, []).append((number, self.now))

        @rule(key=keys)
        def list_is_read(self, key):
            self.backend.current_key = key
            got = self.listed.get()
            held = self.lists.get(key, [])
            expected = [used[0] for used in held if self.seen(used)]
            if expired == "hide":
                assert expected == got
            else:
                assert expected == got[len(got) - len(expected) :]
            self.lists[key] = [self.refreshed(used) for used in held]

        @rule()
        def everything_is_moved_to_another_backend(self):
            groups, watermark = self.backend.snapshot(lambda _: 0), self.backend.watermark
            self.backend.close()
            self.open()
            self.backend.watermark = watermark
            self.backend.restore(groups.values())

        @invariant()
        def what_was_never_used_is_not_there(self):
            if hasattr(self, "backend"):
                assert set(self.backend.keys()) <= {*self.values, *self.maps, *self.lists}

        def teardown(self):
            if not hasattr(self, "backend"):
                return
            self.clock.now = self.now + 10 * TTL
            self.backend.watermark = self.clock.now
            for _ in range(5):
                self.backend.settle()
            assert [] == list(self.backend.keys())
            self.backend.close()

    examples = 25 if make_backend is HashMapBackend else 8
    TtlAgainstTimesOfUse.TestCase.settings = settings(max_examples=examples, stateful_step_count=25, deadline=None)
    return TtlAgainstTimesOfUse.TestCase


TestWriteHideProcessing = machine_over(HashMapBackend, "write", "hide", "processing")
TestReadHideProcessing = machine_over(HashMapBackend, "read", "hide", "processing")
TestWriteUncleanedProcessing = machine_over(HashMapBackend, "write", "until_cleaned", "processing")
TestWriteHideEvent = machine_over(HashMapBackend, "write", "hide", "event")
TestReadHideEvent = machine_over(HashMapBackend, "read", "hide", "event")
TestWriteHideProcessingOnDisk = machine_over(rocksdb_without_room, "write", "hide", "processing")
TestReadHideProcessingOnDisk = machine_over(rocksdb_with_little_room, "read", "hide", "processing")
TestWriteUncleanedProcessingOnDisk = machine_over(rocksdb_without_room, "write", "until_cleaned", "processing")
TestWriteHideEventOnDisk = machine_over(rocksdb_without_room, "write", "hide", "event")
TestReadHideEventOnDisk = machine_over(rocksdb_with_little_room, "read", "hide", "event")


@pytest.fixture(params=BACKENDS)
def backend_at(request):
    """Makes backends of one kind at a clock, which are closed at the end."""
    made = []

    def make(clock):
        made.append(at(clock, request.param))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.mark.parametrize(("age", "shown"), [(TTL - 1, 5), (TTL, None), (TTL + 1, None)])
def test_a_value_is_there_until_its_time_is_over(backend_at, age, shown):
    clock = Clock()
    backend = backend_at(clock)
    value = backend.bind(named(ValueState(int, ttl=TTL)))
    backend.current_key = "k"
    value.set(5)
    backend.settle()
    clock.now += age
    assert shown == value.get()


def test_in_event_time_an_earlier_record_still_sees_what_a_later_one_does_not(backend_at):
    clock = Clock()
    backend = backend_at(clock)
    value = backend.bind(named(ValueState(int, ttl=Ttl(TTL, time="event"))))
    backend.current_key = "k"
    value.set(5)
    clock.now += TTL
    assert value.get() is None
    clock.now -= 1
    assert 5 == value.get()
    backend.watermark = clock.now + 1
    backend.settle()
    assert value.get() is None
    assert 0 == len(backend)


def test_reducing_and_aggregating_state_fold_values_and_expire_as_one(backend_at):
    clock = Clock()
    backend = backend_at(clock)
    largest = backend.bind(named(ReducingState(int, max, ttl=TTL), "largest"))
    total = backend.bind(named(AggregatingState(Sum(), int, ttl="10ms"), "total"))
    backend.current_key = "k"
    assert largest.get() is None
    assert total.get() is None
    for number in (3, 9, 4):
        largest.add(number)
        total.add(number)
        backend.settle()
    assert (9, "sum 16") == (largest.get(), total.get())
    assert {"largest": 9, "total": "sum 16"} == backend.values("k")
    clock.now += TTL
    assert (None, None) == (largest.get(), total.get())
    largest.add(1)
    assert 1 == largest.get()
    largest.clear()
    assert largest.get() is None


@pytest.mark.parametrize("expired", ["hide", "until_cleaned"])
def test_who_looks_at_a_key_sees_what_its_handles_would_show(backend_at, expired):
    clock = Clock()
    backend = backend_at(clock)
    ttl = Ttl(TTL, expired=expired, time="event")
    backend.current_key = "k"
    backend.bind(named(ValueState(int, ttl=ttl), "value")).set(5)
    backend.bind(named(ReducingState(int, max, ttl=ttl), "largest")).add(7)
    items, entries = backend.bind(named(ListState(int, ttl=ttl), "list")), backend.bind(named(MapState(str, int, ttl=ttl), "map"))
    items.add(1)
    entries.put("a", 1)
    clock.now += 1
    items.add(2)
    entries.put("b", 2)
    everything = {"value": 5, "largest": 7, "list": [1, 2], "map": {"a": 1, "b": 2}}
    assert everything == backend.values("k")
    clock.now += TTL - 1
    assert backend.values("k") == ({"list": [2], "map": {"b": 2}} if expired == "hide" else everything)
    clock.now += 1
    assert backend.values("k") == ({} if expired == "hide" else everything)


def test_a_state_has_one_handle_however_often_it_is_bound(backend_at):
    backend = backend_at(Clock())
    descriptor = named(MapState(str, int, ttl=TTL))
    assert backend.bind(descriptor) is backend.bind(descriptor)


def test_a_reduced_none_is_a_value(backend_at):
    backend = backend_at(Clock())
    last = backend.bind(named(ReducingState(object, lambda _, new: new)))
    backend.current_key = "k"
    last.add(1)
    last.add(None)
    backend.settle()
    assert ["k"] == list(backend.keys())
    assert {"state": None} == backend.values("k")


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: ValueState(int, ttl=0), PlanError, "over at once"),
        (lambda: ValueState(int, ttl="soon"), ConfigError, "'soon' is not a duration"),
        (lambda: Ttl("1h", update="always"), PlanError, "update of a Ttl cannot be 'always'"),
        (lambda: Ttl("1h", time="wall"), PlanError, "time of a Ttl cannot be 'wall'"),
        (lambda: ReducingState(int, 5), PlanError, "needs a function of two values, not 5"),
        (lambda: AggregatingState(Sum), PlanError, "needs an Aggregate object"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_a_ttl_is_any_duration():
    assert [3_600_000, 5, 1000] == [Ttl(after).after_ms for after in ("1h", 5, timedelta(seconds=1))]


def test_there_is_no_key_outside_of_records():
    backend = HashMapBackend()
    handle = backend.bind(named(ValueState(int, ttl=TTL)))
    backend.current_key = NO_KEY
    with pytest.raises(PlanError, match="no current key"):
        handle.set(1)
