"""The supervision machine, event by event, and against a naive oracle."""

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


def failed(name="b", policy=None, error=ERROR, siblings=ABC, luck=0.5):
    return ChildFailed(name, error, policy or Supervise(decide=restart), siblings, luck)


def handle(machine, event, now=0.0):
    effects = list(machine.handle(event, now))
    machine.check()
    return effects


def test_resume_lets_only_the_failed_child_go_on():
    assert handle(Supervision(), failed(policy=Supervise(decide=resume, scope="all"))) == [Report(ResumeChild("b"))]


def test_restart_without_backoff_is_immediate():
    assert handle(Supervision(), failed()) == [Report(RestartChild("b", ERROR))]


def test_stop_ends_the_child_as_failed():
    assert handle(Supervision(), failed(policy=STOP_ALWAYS)) == [Report(EndChild("b", ERROR))]


def test_escalate_fails_the_parent():
    assert handle(Supervision(), failed(policy=Supervise(decide=escalate))) == [Report(FailParent("b", ERROR))]


def test_all_for_one_restarts_siblings_in_order_and_stops_them_in_reverse():
    assert handle(Supervision(), failed(policy=Supervise(decide=restart, scope="all"))) == [
        Report(RestartChild(name, ERROR)) for name in ABC
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
    effects = [handle(machine, failed(policy=policy), now) for now in (0.0, 1.0, 2.0)]
    assert effects == [[Report(RestartChild("b", ERROR))], [Report(RestartChild("b", ERROR))], [Report(EndChild("b", ERROR))]]


def test_restarts_beyond_the_limit_escalate_if_asked_to():
    policy = Supervise(decide=restart, restarts_max=0, beyond_limit=Directive.ESCALATE)
    assert handle(Supervision(), failed(policy=policy)) == [Report(FailParent("b", ERROR))]


def test_restarts_outside_the_window_are_forgotten():
    policy = Supervise(decide=restart, restarts_max=1, window_s=10)
    machine = Supervision()
    assert handle(machine, failed(policy=policy), 0.0) == [Report(RestartChild("b", ERROR))]
    assert handle(machine, failed(policy=policy), 10.0) == [Report(RestartChild("b", ERROR))]
    assert handle(machine, failed(policy=policy), 19.9) == [Report(EndChild("b", ERROR))]


def test_backoff_grows_is_capped_and_starts_again_after_quiet():
    policy = Supervise(decide=restart, backoff_min_s=1, backoff_max_s=5, backoff_factor=2, jitter=0, quiet_s=60, restarts_max=100)
    machine = Supervision()
    waits = []
    for now in (0.0, 10.0, 20.0, 30.0, 90.0):
        [timer] = handle(machine, failed(policy=policy), now)
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
    assert handle(machine, TimerFired("restart:b"), 1.0) == [Report(RestartChild(name, ERROR)) for name in ABC]
    assert handle(machine, TimerFired("restart:b"), 1.0) == []


def test_a_child_that_ends_during_its_backoff_frees_its_siblings():
    policy = Supervise(decide=restart, scope="all", backoff_min_s=1)
    machine = Supervision()
    handle(machine, failed(policy=policy))
    assert handle(machine, ChildEnded("c", Stopped())) == []
    assert handle(machine, ChildEnded("b", Stopped())) == [CancelTimer("restart:b"), Report(RestartChild("a", ERROR))]
    assert handle(machine, TimerFired("restart:b"), 1.0) == []
    assert machine.observe().children == ()


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
        [effect] = handle(machine, failed(policy=policy), now)
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
    for _ in range(in_a_row):
        [timer] = handle(machine, failed(policy=policy, luck=luck), 0.0)
    middle = min(8, 0.5 * 2 ** min(in_a_row - 1, 60))
    assert middle * (1 - jitter) - 1e-9 <= timer.at <= middle * (1 + jitter) + 1e-9
