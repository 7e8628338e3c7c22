"""The watchdog: user code that does not return is named, with its line."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from actorflow.clock import ManualClock
from actorflow.runtime.subtasks.meter import Activity, Meter
from actorflow.runtime.workers.watchdog import Watchdog


@dataclass
class FakeSubtask:
    name: str
    meter: Meter
    thread: int | None


def watched(clock, *names):
    subtasks = [FakeSubtask(name, Meter(clock), threading.get_ident()) for name in names]
    return Watchdog(subtasks, 10.0), subtasks


def test_a_turn_that_takes_too_long_is_reported_once_with_the_line_it_stands_on():
    clock = ManualClock()
    watchdog, (subtask,) = watched(clock, "map (1/2)")
    subtask.meter.switch(Activity.BUSY)
    clock.advance(11)
    [report] = watchdog.look()

    assert "'map (1/2)' has worked on one batch for 11 s" in report
    assert "test_runtime_watchdog.py" in report
    assert watchdog.look() == []


def test_short_turns_are_not_reported():
    clock = ManualClock()
    watchdog, (subtask,) = watched(clock, "map (1/1)")
    for _ in range(20):
        subtask.meter.switch(Activity.BUSY)
        clock.advance(1)

    assert watchdog.look() == []


def test_waiting_is_not_being_stuck():
    clock = ManualClock()
    watchdog, subtasks = watched(clock, "idle", "pressed")
    for subtask, activity in zip(subtasks, (Activity.IDLE, Activity.BACK_PRESSURED), strict=True):
        subtask.meter.switch(activity)
    clock.advance(100)

    assert watchdog.look() == []


def test_the_one_that_holds_the_thread_is_named_not_those_that_wait_for_it():
    clock = ManualClock()
    watchdog, (waiting, working) = watched(clock, "waiting", "working")
    waiting.meter.switch(Activity.BUSY)
    clock.advance(1)
    working.meter.switch(Activity.BUSY)
    clock.advance(20)

    [report] = watchdog.look()
    assert "'working'" in report


def test_each_thread_is_watched_for_itself():
    clock = ManualClock()
    watchdog, (shared, waiting, pinned, unborn) = watched(clock, "shared", "waiting", "pinned", "unborn")
    entered, let_go = threading.Event(), threading.Event()

    def user_code_of_the_pinned_one():
        entered.set()
        let_go.wait()

    thread = threading.Thread(target=user_code_of_the_pinned_one)
    thread.start()
    try:
        entered.wait()
        pinned.thread, unborn.thread = thread.ident, None
        for subtask in (waiting, pinned, unborn, shared):
            subtask.meter.switch(Activity.BUSY)
            clock.advance(1)
        clock.advance(10)
        first, second = sorted(watchdog.look())
    finally:
        let_go.set()
        thread.join()

    assert ("'pinned'" in first, "user_code_of_the_pinned_one" in first) == (True, True)
    assert ("'shared'" in second, "user_code_of_the_pinned_one" in second) == (True, False)
    assert watchdog.look() == []
