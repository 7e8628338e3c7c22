"""Timers against a list that is sorted anew for every question."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actorflow.state.timers import HeapTimers, Timer

times = st.integers(-3, 6)
keys = st.sampled_from(["a", "b", 1, None, ("x", 2)])
namespaces = st.sampled_from([None, "w1", (0, 10)])


class TimersAgainstAList(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.timers = HeapTimers()
        self.expected = []

    @rule(timestamp=times, key=keys, namespace=namespaces)
    def set(self, timestamp, key, namespace):
        self.timers.set(timestamp, key, namespace)
        if (timestamp, key, namespace) not in self.expected:
            self.expected.append((timestamp, key, namespace))

    @rule(timestamp=times, key=keys, namespace=namespaces)
    def delete(self, timestamp, key, namespace):
        self.timers.delete(timestamp, key, namespace)
        if (timestamp, key, namespace) in self.expected:
            self.expected.remove((timestamp, key, namespace))

    @rule(until=times)
    def take(self, until):
        taken = self.timers.take(until)
        due = [timer for timer in self.expected if timer[0] <= until]
        if not due:
            assert taken is None
            return
        assert isinstance(taken, Timer)
        assert min(timer[0] for timer in due) == taken.timestamp
        self.expected.remove(tuple(taken))

    @invariant()
    def the_same_timers_are_set(self):
        if not hasattr(self, "timers"):
            return
        assert len(self.expected) == len(self.timers)
        assert {*self.expected} == {tuple(timer) for timer in self.timers}
        assert min((timer[0] for timer in self.expected), default=None) == self.timers.first()


TestTimersAgainstAList = TimersAgainstAList.TestCase
TestTimersAgainstAList.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_timers_of_one_timestamp_come_out_in_the_order_in_which_they_were_set():
    timers = HeapTimers([Timer(5, "b"), Timer(5, "a"), Timer(4, "z"), Timer(5, "c")])
    taken = []
    while (timer := timers.take(5)) is not None:
        taken.append(timer.key)
        if timer.key == "b":
            timers.delete(5, "a")
            timers.set(5, "d")
    assert ["z", "b", "c", "d"] == taken
