"""One contender's way through the line: when it leads, when it does so no longer, and what it ignores."""

import pytest

from actorflow.errors import ErrorInfo
from actorflow.protocol.machine import CancelTimer, Report, SetTimer, Start, TimerFired, WorkDone, WorkFailed
from actorflow.protocol.nodes.leadership import (
    AGAIN,
    SESSION,
    Connected,
    Granted,
    Join,
    Leadership,
    Leave,
    Look,
    NodeGone,
    Revoked,
    SessionLost,
    Stage,
    Suspended,
    TakeEpoch,
    Watch,
    Withdraw,
)

ERROR = ErrorInfo("ConnectionLoss", "connection lost")


class Contender:
    """Drives a machine with its work answered from a line that the test keeps."""

    def __init__(self, line=("me",), epoch=6, **settings):
        self.machine = Leadership(session_timeout_s=30.0, retry_s=1.0, **settings)
        self.line = list(line)
        self.epoch = epoch
        self.reports = []
        self.other = []
        self.work = []

    def tell(self, event, now=0.0):
        """Hand an event over, and keep its effects."""
        for effect in self.machine.handle(event, now):
            match effect:
                case Start(work):
                    self.work.append(work)
                case Report(value):
                    self.reports.append(value)
                case _:
                    self.other.append(effect)
        self.machine.check()
        return self

    def settle(self):
        """Answer work until there is none."""
        while self.work:
            work = self.work.pop(0)
            self.tell(WorkDone(work, self.answer(work)))
        return self

    def answer(self, work):
        match work:
            case Join():
                return "me"
            case Look():
                return tuple(self.line)
            case Watch(node=node):
                return node in self.line
            case TakeEpoch():
                self.epoch += 1
                return self.epoch
            case Withdraw():
                return None

    @property
    def stage(self):
        return self.machine.observe().stage


def test_the_first_in_the_line_leads_with_the_next_epoch():
    contender = Contender().tell(Connected()).settle()
    assert contender.reports == [Granted(7)]
    assert contender.machine.observe().epoch == 7


def test_who_is_not_the_first_watches_the_one_before_it_alone():
    contender = Contender(line=("a", "b", "me", "c")).tell(Connected())
    contender.tell(WorkDone(contender.work.pop(), "me"))
    contender.tell(WorkDone(contender.work.pop(), tuple(contender.line)))
    assert contender.work == [Watch(1, "b")]
    assert contender.settle().reports == []


def test_when_the_one_before_is_gone_the_line_is_looked_at_again():
    contender = Contender(line=("a", "b", "me")).tell(Connected()).settle()
    contender.line.remove("b")
    contender.tell(NodeGone(1, "b")).settle()
    assert contender.reports == []
    assert contender.stage is Stage.WAITING
    contender.line.remove("a")
    contender.tell(NodeGone(1, "a")).settle()
    assert contender.reports == [Granted(7)]


def test_one_that_is_gone_before_it_could_be_watched_counts_as_gone():
    contender = Contender(line=("a", "me")).tell(Connected())
    contender.tell(WorkDone(contender.work.pop(), "me"))
    contender.tell(WorkDone(contender.work.pop(), ("a", "me")))
    contender.line.remove("a")
    assert contender.settle().reports == [Granted(7)]


@pytest.mark.parametrize("event", [Suspended(), SessionLost()])
def test_without_a_connection_nobody_leads(event):
    contender = Contender().tell(Connected()).settle().tell(event)
    assert contender.reports == [Granted(7), Revoked(7)]
    assert contender.stage is Stage.AWAY


def test_who_is_connected_again_and_still_the_first_leads_with_a_new_epoch():
    contender = Contender().tell(Connected()).settle().tell(Suspended()).tell(Connected()).settle()
    assert contender.reports == [Granted(7), Revoked(7), Granted(8)]


def test_a_grant_that_is_heard_of_after_the_connection_was_lost_is_dropped():
    contender = Contender().tell(Connected())
    contender.tell(WorkDone(contender.work.pop(), "me"))
    contender.tell(WorkDone(contender.work.pop(), ("me",)))
    contender.tell(WorkDone(contender.work.pop(), True))
    (take,) = contender.work
    assert take == TakeEpoch(1, "me")
    contender.tell(Suspended()).tell(WorkDone(take, 7))
    assert contender.reports == []
    contender.tell(Connected()).tell(WorkDone(take, 7))
    assert contender.reports == []


def test_an_epoch_that_was_refused_is_looked_into():
    contender = Contender().tell(Connected())
    contender.tell(WorkDone(contender.work.pop(), "me"))
    contender.tell(WorkDone(contender.work.pop(), ("me",)))
    contender.tell(WorkDone(contender.work.pop(), True))
    contender.tell(WorkDone(contender.work.pop(), None))
    assert contender.work == [Look(1)]
    assert contender.settle().reports == [Granted(7)]


def test_a_counter_that_was_set_back_is_raised_until_it_is_above_what_was_granted():
    contender = Contender().tell(Connected()).settle().tell(Suspended())
    contender.epoch = 3
    assert contender.tell(Connected()).settle().reports == [Granted(7), Revoked(7), Granted(8)]


@pytest.mark.parametrize("life", [0, 2])
def test_watches_of_another_life_are_ignored(life):
    contender = Contender().tell(Connected()).settle().tell(NodeGone(life, "me"))
    assert contender.reports == [Granted(7)]
    assert contender.work == []


def test_a_leader_whose_node_was_removed_leads_no_longer_and_joins_anew():
    contender = Contender().tell(Connected()).settle().tell(NodeGone(1, "me"))
    assert contender.reports == [Granted(7), Revoked(7)]
    assert contender.work == [Join(2)]


def test_what_fails_is_tried_again_after_a_while():
    contender = Contender().tell(Connected())
    contender.tell(WorkFailed(contender.work.pop(), ERROR), now=10.0)
    assert contender.other == [SetTimer(AGAIN, 11.0)]
    assert contender.tell(TimerFired(AGAIN)).settle().reports == [Granted(7)]


def test_who_was_removed_while_it_took_an_epoch_does_not_lead_with_it():
    contender = Contender().tell(Connected())
    contender.tell(WorkDone(contender.work.pop(), "me"))
    contender.tell(WorkDone(contender.work.pop(), ("me",)))
    contender.tell(WorkDone(contender.work.pop(), True))
    contender.tell(NodeGone(1, "me")).tell(WorkDone(TakeEpoch(1, "me"), 7))
    assert contender.reports == []


class TestToleratingSuspendedConnections:
    """A leader goes on while its session lives for sure."""

    @pytest.fixture
    def leader(self):
        return Contender(tolerate_suspended=True).tell(Connected()).settle()

    def test_a_short_suspension_changes_nothing(self, leader):
        leader.tell(Suspended(), now=100.0)
        assert SetTimer(SESSION, 110.0) in leader.other
        leader.tell(Connected()).settle()
        assert leader.other[-1] == CancelTimer(SESSION)
        assert leader.reports == [Granted(7)]

    def test_after_the_time_that_is_left_of_the_session_it_leads_no_longer(self, leader):
        leader.tell(Suspended(), now=100.0).tell(TimerFired(SESSION), now=110.0)
        assert leader.reports == [Granted(7), Revoked(7)]
        leader.tell(Connected()).settle()
        assert leader.reports == [Granted(7), Revoked(7), Granted(8)]

    def test_a_session_that_was_lost_ends_it_at_once(self, leader):
        leader.tell(Suspended()).tell(SessionLost())
        assert leader.reports == [Granted(7), Revoked(7)]

    def test_who_cannot_look_after_its_node_when_it_comes_back_looks_again_and_goes_on(self, leader):
        leader.tell(Suspended()).tell(Connected())
        leader.tell(WorkFailed(leader.work.pop(), ERROR)).tell(TimerFired(AGAIN)).settle()
        assert leader.reports == [Granted(7)]

    def test_who_comes_back_and_is_not_in_the_line_leads_no_longer(self, leader):
        leader.line = ["other"]
        leader.tell(Suspended()).tell(Connected())
        leader.tell(WorkDone(leader.work.pop(), ("other",)))
        assert leader.reports == [Granted(7), Revoked(7)]


def test_who_leaves_withdraws_its_node_and_hears_nothing_any_more():
    contender = Contender().tell(Connected()).settle().tell(Leave())
    assert contender.work == [Withdraw(2, "me")]
    contender.settle().tell(Suspended()).tell(Connected())
    assert contender.reports == [Granted(7)]
    assert contender.work == []
