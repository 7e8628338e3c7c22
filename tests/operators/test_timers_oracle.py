"""Timers of operators, compared with a naive oracle."""

from chain_harness import Subtask, chain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from join_harness import BACKENDS, on_backends
from timer_harness import Hurried, Scripted, advance, first_of

from actorflow.operators.specs import ProcessSpec
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch


class NaiveTimers:
    """The same by the letter of the documentation: a list of timers, searched for the first one again and again."""

    def __init__(self, script):
        self.script = script
        self.watermark = MIN_TIMESTAMP
        self.now = 0
        self.ended = False
        self.timers = {"event": [], "processing": []}
        self.fired = []

    def act(self, key, actions):
        for what, timestamp in actions:
            kind = "processing" if "processing" in what else "event"
            timers, timer = self.timers[kind], (timestamp, key)
            if what.startswith("delete"):
                if timer in timers:
                    timers.remove(timer)
            elif timer not in timers and not (self.ended and kind == "processing"):
                timers.append(timer)

    def fire(self, kind, until):
        timers = self.timers[kind]
        while due := [timer for timer in timers if timer[0] <= until]:
            first = min(due, key=lambda timer: timer[0])  # the one set first among equals
            timers.remove(first)
            timestamp, key = first
            self.fired.append((key, timestamp, kind, self.watermark))
            self.act(key, self.script.get(timestamp, ()))

    def take(self, step):
        match step:
            case ("records", records):
                for key, actions in records:
                    self.act(key, actions)
            case ("watermark", timestamp) if timestamp > self.watermark:
                self.watermark = timestamp
                self.fire("event", timestamp)
            case ("time", now):
                self.now = max(self.now, now)
                self.fire("processing", self.now)

    def end(self):
        self.ended = True
        self.fire("processing", MAX_TIMESTAMP)
        self.watermark = MAX_TIMESTAMP
        self.fire("event", MAX_TIMESTAMP)


TIMES = st.integers(-5, 30)
ACTIONS = st.lists(st.tuples(st.sampled_from(["event", "event", "processing", "delete", "delete processing"]), TIMES), max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("records"), st.lists(st.tuples(st.sampled_from("abc"), ACTIONS), min_size=1, max_size=5)),
        st.tuples(st.just("watermark"), TIMES),
        st.tuples(st.just("time"), TIMES),
    ),
    max_size=12,
)
LATER = st.integers(1, 10)


@st.composite
def scripts(draw):
    """What timers do. They set only later timers, so that they end, and delete none, whose place in the line is not promised."""
    settable = st.lists(st.tuples(st.sampled_from(["event", "processing"]), LATER), max_size=2)
    script = draw(st.dictionaries(TIMES, settable, max_size=6))
    return {at: [(what, at + later) for what, later in actions] for at, actions in script.items()}


def check_against_oracle(steps, script, context):
    chain, output = chain_of(ProcessSpec(first_of, Scripted(script)), context=context)
    oracle = NaiveTimers(script)
    chain.open()
    for step in steps:
        oracle.take(step)
        match step:
            case ("records", records):
                chain.process(ObjectBatch(records))
            case ("watermark", timestamp) if timestamp == oracle.watermark:
                advance(chain, timestamp)
            case ("time", _):
                context.advance_to(oracle.now)
    oracle.end()
    advance(chain, MAX_TIMESTAMP)
    assert chain.finish()
    chain.close()
    for backend in chain.backends().values():
        backend.close()
    assert oracle.fired == output.records


@on_backends(hashmap=100, rocksdb=10)
def test_timers_fire_as_the_oracle_says(backend, examples):
    @given(STEPS, scripts())
    @settings(max_examples=examples, deadline=None)
    def check(steps, script):
        check_against_oracle(steps, script, Subtask(BACKENDS[backend]))

    check()


EVENT_STEPS = STEPS.map(lambda steps: [step for step in steps if step[0] != "time"])


@given(EVENT_STEPS, scripts())
@settings(max_examples=100, deadline=None)
def test_slices_change_nothing_in_the_order_of_event_time_timers(steps, script):
    class Still(Hurried):
        def call_at(self, timestamp, callback):
            return super().call_at(10**9, callback)  # the clock runs, but nobody looks

    check_against_oracle(steps, script, Still())
