"""The meter: where a subtask's time goes."""

from __future__ import annotations

from actorflow.clock import ManualClock
from actorflow.runtime.subtasks.meter import Activity, Meter


def spend(meter, clock, *parts):
    for activity, seconds in parts:
        meter.switch(activity)
        clock.advance(seconds)
    meter.switch(Activity.IDLE)


def test_time_is_booked_on_what_was_going_on():
    clock = ManualClock()
    meter = Meter(clock)
    spend(meter, clock, (Activity.BUSY, 2.0), (Activity.BACK_PRESSURED, 1.0), (Activity.IDLE, 0.5))

    assert meter.totals_s() == (2.0, 0.5, 1.0)


def test_the_shares_of_a_second_add_up_to_1000_ms():
    clock = ManualClock()
    meter = Meter(clock)
    spend(meter, clock, (Activity.BUSY, 0.333), (Activity.BACK_PRESSURED, 0.333), (Activity.IDLE, 0.4))

    assert sum(meter.shares_ms) == 1000


def test_the_shares_are_of_the_last_whole_second_only():
    clock = ManualClock()
    meter = Meter(clock)
    spend(meter, clock, (Activity.BUSY, 1.0), (Activity.BACK_PRESSURED, 0.25), (Activity.IDLE, 0.75))

    assert meter.shares_ms == (0, 750, 250)


def test_the_present_activity_counts_up_to_now():
    clock = ManualClock()
    meter = Meter(clock)
    meter.switch(Activity.BUSY)
    clock.advance(0.5)

    assert meter.totals_s()[0] == 0.5
