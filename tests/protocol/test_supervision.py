"""The supervision machine, event by event, and against a naive oracle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.protocol.machine import CancelTimer, ChildEnded, Report, SetTimer, Stopped, TimerFired
from actorflow.protocol.supervision import (
    STOP_ALWAYS,
    ChildFailed,
    Directive,
    EndChild,
    FailParent,
    RestartChild,
    ResumeChild,
    Supervise,
    Supervision,
    SuspendChild,
    escalate,
    restart,
    restart_if_retry_helps,
    resume,
    stop,
)

ERROR = ErrorInfo("ValueError", "bad", domain=Domain.USER, retry=Retry.BACKOFF)
HOPELESS = ErrorInfo("TypeError", "wrong", domain=Domain.USER, retry=Retry.NEVER)
ABC = ("a", "b", "c")


def failed(name="b", policy=None, error=ERROR, siblings=ABC, luck=0.5, instance=0):
    return ChildFailed(name, error, policy or Supervise(decide=restart), siblings, luck, instance)


def handle(machine, event, now=0.0):
    effects = list(machine.handle(event, now))
    machine.check()
    return effects


def test_resume_lets_only_the_failed_child_go_on():
    assert handle(Supervision(), failed(policy=Supervise(decide=resume, scope="all"))) == [Report(ResumeChild("b"))]


def test_restart_without_backoff_is_immediate():
    assert handle(Supervision(), failed()) == [Report(RestartChild("b", ERROR, 1))]


def test_stop_ends_the_child_as_failed():
    assert handle(Supervision(), failed(policy=STOP_ALWAYS)) == [Report(EndChild("b", ERROR))]


def test_escalate_fails_the_parent():
    assert handle(Supervision(), failed(policy=Supervise(decide=escalate))) == [Report(FailParent("b", ERROR))]


def test_all_for_one_restarts_siblings_in_order_and_stops_them_in_reverse():
    assert handle(Supervision(), failed(policy=Supervise(decide=restart, scope="all"))) == [
        Report(RestartChild(name, ERROR, 1)) for name in ABC
    ]
    assert handle(Supervision(), failed(policy=Supervise(decide=stop, scope="all"))) == [
        Report(EndChild(name, ERROR)) for name in reversed(ABC)
    ]


def test_the_default_restarts_only_what_a_retry_can_help():
    assert restart_if_retry_helps(ERROR) is Directive.RESTART
    assert restart_if_retry_helps(HOPELESS) is Directive.STOP
    assert handle(Supervision(), failed(policy=Supervise(), error=HOPELESS)) == [Report(EndChild("b", HOPELESS))]


def test_restarts_beyond_the_limit_stop_the_child():
    policy = Supervise(decide=restart, restarts_max=2, window_s=10)
    machine = Supervision()
    effects = [handle(machine, failed(policy=policy, instance=instance), float(instance)) for instance in range(3)]
    assert effects == [[Report(RestartChild("b", ERROR, 1))], [Report(RestartChild("b", ERROR, 2))], [Report(EndChild("b", ERROR))]]


def test_restarts_beyond_the_limit_escalate_if_asked_to():
    policy = Supervise(decide=restart, restarts_max=0, beyond_limit=Directive.ESCALATE)
    assert handle(Supervision(), failed(policy=policy)) == [Report(FailParent("b", ERROR))]


def test_restarts_outside_the_window_are_forgotten():
    policy = Supervise(decide=restart, restarts_max=1, window_s=10)
    machine = Supervision()
    assert handle(machine, failed(policy=policy), 0.0) == [Report(RestartChild("b", ERROR, 1))]
    assert handle(machine, failed(policy=policy, instance=1), 10.0) == [Report(RestartChild("b", ERROR, 2))]
    assert handle(machine, failed(policy=policy, instance=2), 19.9) == [Report(EndChild("b", ERROR))]


def test_backoff_grows_is_capped_and_starts_again_after_quiet():
    policy = Supervise(decide=restart, backoff_min_s=1, backoff_max_s=5, backoff_factor=2, jitter=0, quiet_s=60, restarts_max=100)
    machine = Supervision()
    waits = []
    for instance, now in enumerate((0.0, 10.0, 20.0, 30.0, 90.0)):
        [timer] = handle(machine, failed(policy=policy, instance=instance), now)
        waits.append(timer.at - now)
        handle(machine, TimerFired(timer.name), timer.at)
    assert waits == [1, 2, 4, 5, 1]


def test_jitter_is_an_argument():
    policy = Supervise(decide=restart, backoff_min_s=10, jitter=0.2)
    assert [handle(Supervision(), failed(policy=policy, luck=luck)) for luck in (0.0, 0.5)] == [
        [SetTimer("restart:b", 8.0)],
        [SetTimer("restart:b", 10.0)],
    ]


def test_during_an_all_for_one_backoff_siblings_are_suspended_and_then_all_restarted():
    policy = Supervise(decide=restart, scope="all", backoff_min_s=1, jitter=0)
    machine = Supervision()
    assert handle(machine, failed(policy=policy)) == [
        Report(SuspendChild("a")),
        Report(SuspendChild("c")),
        SetTimer("restart:b", 1.0),
    ]
    assert handle(machine, TimerFired("restart:b"), 1.0) == [Report(RestartChild(name, ERROR, 1)) for name in ABC]
    assert handle(machine, TimerFired("restart:b"), 1.0) == []


def test_a_child_that_ends_during_its_backoff_frees_its_siblings():
    policy = Supervise(decide=restart, scope="all", backoff_min_s=1)
    machine = Supervision()
    handle(machine, failed(policy=policy))
    assert handle(machine, ChildEnded("c", Stopped())) == []
    assert handle(machine, ChildEnded("b", Stopped())) == [CancelTimer("restart:b"), Report(RestartChild("a", ERROR, 1))]
    assert handle(machine, TimerFired("restart:b"), 1.0) == []
    assert machine.observe().children == ()


def test_two_that_fail_at_a_time_are_restarted_once_and_counted_once():
    policy = Supervise(decide=restart, scope="all", restarts_max=1, window_s=60)
    machine = Supervision()
    assert len(handle(machine, failed("a", policy))) == 3
    assert handle(machine, failed("b", policy)) == []
    assert [(child.name, child.in_a_row) for child in machine.observe().children] == [("a", 1)]
    assert handle(machine, failed("b", policy, instance=1)) == [Report(RestartChild(name, ERROR, 2)) for name in ABC]


def test_a_failure_during_the_backoff_of_a_sibling_is_part_of_it():
    policy = Supervise(decide=restart, scope="all", backoff_min_s=1, jitter=0)
    machine = Supervision()
    handle(machine, failed("a", policy))
    assert handle(machine, failed("b", policy), 0.5) == []
    assert handle(machine, TimerFired("restart:a"), 1.0) == [Report(RestartChild(name, ERROR, 1)) for name in ABC]
    assert handle(machine, TimerFired("restart:b"), 1.5) == []


def test_one_for_all_takes_over_the_backoffs_of_single_children():
    alone = Supervise(decide=restart, backoff_min_s=30, jitter=0)
    together = Supervise(decide=restart, scope="all", backoff_min_s=1, jitter=0)
    machine = Supervision()
    handle(machine, failed("a", alone))
    assert handle(machine, failed("b", together), 5.0) == [
        CancelTimer("restart:a"),
        Report(SuspendChild("a")),
        Report(SuspendChild("c")),
        SetTimer("restart:b", 6.0),
    ]
    assert handle(machine, TimerFired("restart:b"), 6.0) == [Report(RestartChild(name, ERROR, 1)) for name in ABC]


def test_an_ended_child_and_one_that_follows_it_under_its_name_are_told_apart():
    machine = Supervision()
    handle(machine, failed())
    handle(machine, ChildEnded("b", Stopped()))
    assert handle(machine, failed()) == [Report(RestartChild("b", ERROR, 1))]


@pytest.mark.parametrize(
    ("decide", "problem"),
    [
        (lambda _error: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda _error: "stop", "returned a 'str', which is no"),
    ],
)
def test_a_decider_that_fails_decides_to_stop_and_the_error_tells_both(decide, problem):
    [effect] = handle(Supervision(), failed(policy=Supervise(decide=decide)))
    assert (type(effect.value), effect.value.error.kind) == (EndChild, "ValueError")
    assert effect.value.error.message.startswith(f"bad (and `decide` of its supervision {problem}")


def test_late_and_foreign_events_change_nothing():
    machine = Supervision()
    assert handle(machine, TimerFired("restart:x")) == []
    assert handle(machine, ChildEnded("x", Stopped())) == []
    assert handle(machine, object()) == []


def test_observe_shows_children_that_failed():
    machine = Supervision()
    handle(machine, failed("a"), 1.0)
    handle(machine, failed("b", Supervise(decide=restart, backoff_min_s=1)), 2.0)
    assert [(c.name, c.in_a_row, c.restarts_in_window, c.waiting) for c in machine.observe().children] == [
        ("a", 1, 1, False),
        ("b", 1, 1, True),
    ]


@given(
    gaps=st.lists(st.floats(0, 30, allow_nan=False), max_size=40),
    restarts_max=st.integers(0, 5),
    window_s=st.floats(1, 60),
)
def test_restarts_are_granted_as_by_a_naive_count_of_the_window(gaps, restarts_max, window_s):
    policy = Supervise(decide=restart, restarts_max=restarts_max, window_s=window_s)
    machine = Supervision()
    now, granted, expected, actual = 0.0, [], [], []
    for gap in gaps:
        now += gap
        may = sum(1 for at in granted if now - at < window_s) < restarts_max
        if may:
            granted.append(now)
        expected.append(RestartChild if may else EndChild)
        [effect] = handle(machine, failed(policy=policy, instance=actual.count(RestartChild)), now)
        actual.append(type(effect.value))
    assert expected == actual


@given(
    in_a_row=st.integers(1, 200),
    luck=st.floats(0, 1, exclude_max=True),
    jitter=st.floats(0, 0.99),
)
def test_the_backoff_stays_within_its_bounds(in_a_row, luck, jitter):
    policy = Supervise(decide=restart, backoff_min_s=0.5, backoff_max_s=8, jitter=jitter, restarts_max=1000)
    machine = Supervision()
    for instance in range(in_a_row):
        [timer] = handle(machine, failed(policy=policy, luck=luck, instance=instance), 0.0)
        handle(machine, TimerFired(timer.name), 0.0)
    middle = min(8, 0.5 * 2 ** min(in_a_row - 1, 60))
    assert middle * (1 - jitter) - 1e-9 <= timer.at <= middle * (1 + jitter) + 1e-9
