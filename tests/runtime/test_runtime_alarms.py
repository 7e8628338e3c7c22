"""Calls that wait for processing time."""

from actorflow.runtime.subtasks.alarms import Alarms


def ring_all(alarms, now):
    while alarms.due(now):
        alarms.ring(now)


def test_calls_are_made_by_time_and_then_in_the_order_in_which_they_were_asked_for():
    rung, armed = [], []
    alarms = Alarms(armed.append)
    for name, timestamp in (("late", 30), ("first", 10), ("second", 10), ("middle", 20)):
        alarms.set(timestamp, lambda name=name: rung.append(name))
    assert [30, 10] == armed
    ring_all(alarms, 9)
    assert [] == rung
    ring_all(alarms, 20)
    assert ["first", "second", "middle"] == rung
    assert 30 == armed[-1]


def test_a_cancelled_call_is_not_made_and_asks_for_no_more_time():
    rung, armed = [], []
    alarms = Alarms(armed.append)
    first = alarms.set(10, lambda: rung.append("first"))
    alarms.set(40, lambda: rung.append("last"))
    first.cancel()
    ring_all(alarms, 15)
    assert [] == rung
    assert 40 == armed[-1]
    ring_all(alarms, 40)
    assert ["last"] == rung


def test_a_wall_clock_that_was_set_back_makes_a_call_later_and_not_never():
    armed = []
    alarms = Alarms(armed.append)
    alarms.set(10, lambda: None)
    alarms.awake(9)
    assert [10, 10] == armed
    alarms.awake(10)
    assert [10, 10] == armed, "it is due"
    ring_all(alarms, 10)
    alarms.awake(11)
    assert [10, 10] == armed, "nothing waits"


def test_a_call_may_ask_for_the_next_one():
    rung = []
    alarms = Alarms(lambda _: None)

    def again():
        rung.append(1)
        if len(rung) < 3:
            alarms.set(5, again)

    alarms.set(5, again)
    ring_all(alarms, 5)
    assert [1, 1, 1] == rung
