"""Looks at actors of another node: those of about one time are one message there and one back, and no answer spoils another."""

import pytest
from actor_harness import DEADLINE_S, Gate, Recorder

from actorflow.actor import ActorDeadError
from actorflow.actor.looks import GATHERED_S
from actorflow.actor.messages import LookAnswer, LooksAnswered, LooksRequested
from actorflow.errors import ErrorInfo, TransportError, UserFunctionError
from actorflow.ids import NodeId


class Watched(Recorder):
    """Counts how often it is looked at."""

    looks = 0

    def observe(self):
        self.looks += 1
        if self.log == ["bad"]:
            raise ValueError("cannot show myself")
        return self.looks, "x" * len(self.log)


@pytest.fixture
def looked(sims):
    """The node that looks, the one that is looked at, the messages between them, and functions that settle and that let the questions go."""
    left, right, link, settle = sims
    sent = []
    carry = link.send

    def send(to, message, **kwargs):
        if isinstance(message, LooksAnswered) and sum(len(str(answer.value)) for answer in message.answers) > 100:
            raise TransportError("larger than what may wait for a peer")
        sent.append(message)
        carry(to, message, **kwargs)

    link.send = send

    def pass_gathering():
        left.clock.advance_to(left.clock.now() + GATHERED_S)
        settle()

    return left, right, sent, settle, pass_gathering


def _kinds(sent):
    return [type(message) for message in sent]


def test_the_first_question_goes_at_once_and_those_that_follow_go_together(looked):
    left, right, sent, settle, pass_gathering = looked
    for name in "abc":
        right.spawn(Watched, name=name)
    first, *others = [left.resolve(f"right/{name}").look("observe") for name in "abc"]
    settle()
    assert (first.done(), [each.done() for each in others]) == (True, [False, False])
    pass_gathering()

    assert [each.get(timeout=0) for each in (first, *others)] == [[1, ""]] * 3
    assert _kinds(sent) == [LooksRequested, LooksAnswered] * 2
    assert [len(message.answers) for message in sent[1::2]] == [1, 2]
    assert len(left.asks) == 0


def test_after_a_quiet_time_a_question_goes_at_once_again(looked):
    left, right, sent, settle, pass_gathering = looked
    right.spawn(Watched, name="a")
    far = left.resolve("right/a")
    far.look("observe")
    for _ in range(3):
        pass_gathering()
    seen = far.look("observe")
    settle()

    assert seen.get(timeout=0) == [2, ""]
    assert _kinds(sent) == [LooksRequested, LooksAnswered] * 2


def test_who_asks_for_the_same_thing_at_one_time_gets_the_same_answer(looked):
    left, right, sent, settle, pass_gathering = looked
    right.spawn(Watched, name="a")
    far = left.resolve("right/a")
    far.look("observe")
    settle()
    observed = [far.look("observe") for _ in range(5)]
    stories = [far.look("story", n) for n in (1, 2, 1)]
    pass_gathering()

    assert [each.get(timeout=0) for each in observed] == [[2, ""]] * 5
    assert [[entry["event"] for entry in each.get(timeout=0)] for each in stories] == [["started"]] * 3
    assert sorted(len(question.numbers) for question in sent[2].questions) == [1, 2, 5]
    assert len(left.asks) == 0


def test_who_cannot_answer_spoils_no_other_answer(looked):
    left, right, _sent, settle, pass_gathering = looked
    for name, message in {"good": "x", "bad": "bad"}.items():
        right.spawn(Watched, name=name).tell(message)
    left.resolve("right/good").look("observe")
    settle()
    good, bad, dead = [left.resolve(f"right/{name}").look("observe") for name in ("good", "bad", "nobody")]
    pass_gathering()

    assert good.get(timeout=0) == [2, "x"]
    with pytest.raises(UserFunctionError, match="cannot show myself"):
        bad.get(timeout=0)
    with pytest.raises(ActorDeadError, match="right/nobody not found"):
        dead.get(timeout=0)


def test_an_answer_that_cannot_travel_keeps_no_other_from_it(looked):
    left, right, _sent, settle, pass_gathering = looked
    right.spawn(Watched, name="small")
    right.spawn(Watched, ["x"] * 1000, name="large")
    left.resolve("right/small").look("observe")
    settle()
    small, large = [left.resolve(f"right/{name}").look("observe") for name in ("small", "large")]
    pass_gathering()

    assert small.get(timeout=0) == [2, ""]
    with pytest.raises(UserFunctionError, match="larger than"):
        large.get(timeout=0)


def test_questions_that_wait_for_others_are_lost_with_their_node(looked):
    left, _right, sent, _settle, pass_gathering = looked
    _first, waiting = [left.resolve("right/a").look("observe") for _ in range(2)]
    left.node_lost(NodeId("right"))

    with pytest.raises(ActorDeadError, match="its node 'right' is lost"):
        waiting.get(timeout=0)
    pass_gathering()
    assert _kinds(sent) == [LooksRequested, LooksAnswered]  # the first; what nobody waits for is not asked


def test_only_the_node_that_is_looked_at_may_answer(sims):
    left, _right, link, settle = sims
    link.cut = True
    asked = left.resolve("right/a").look("observe")
    settle()
    numbers = tuple(left.asks._pending)
    for answer in (LookAnswer(numbers, "forged"), LookAnswer(numbers, error=ErrorInfo("E", "forged"))):
        left.deliver("/", LooksAnswered((answer,)), control=True, sender=NodeId("elsewhere"))
    assert asked.done() is False
    for value in ("true", "twice"):
        left.deliver("/", LooksAnswered((LookAnswer(numbers, value),)), control=True, sender=NodeId("right"))
    assert asked.get(timeout=0) == "true"


def test_nobody_waits_for_an_actor_that_has_a_thread_of_its_own(pair):
    left, right, _link = pair
    gate = Gate()
    right.spawn(Recorder, name="a")
    right.spawn(Recorder, gate=gate, name="stands", dispatcher="pinned").tell("gate")
    assert gate.entered.wait(DEADLINE_S)
    left.resolve("right/a").look("observe")
    stands = left.resolve("right/stands").look("observe")
    goes = left.resolve("right/a").look("observe")

    assert goes.get(timeout=DEADLINE_S) == []
    assert stands.done() is False
    gate.opened.set()
    assert stands.get(timeout=DEADLINE_S) == ["gate"]
