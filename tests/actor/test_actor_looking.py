"""Looking at actors: the tree below one, what waits in its mailbox, and questions that overtake data."""

import pytest
from actor_harness import DEADLINE_S, Gate, Recorder

from actorflow.actor import ActorDeadError


def test_a_tree_is_of_the_actor_and_all_below_it(system):
    parent = system.spawn(Recorder, name="a")
    parent.ask(lambda self: self.ctx.spawn(Recorder, name="b").path, timeout=DEADLINE_S)
    system.spawn(Recorder, name="c")

    assert [row.path for row in parent.tree()] == ["/a", "/a/b"]
    assert [row.path for row in system.resolve("/").tree()] == ["/", "/a", "/a/b", "/c"]


def test_a_mailbox_shows_what_waits_and_calls_nothing_of_it(system):
    class Nosy:
        def __repr__(self):
            raise AssertionError("nobody asked for this")

    ref = system.spawn(Recorder, name="a")
    ref.ask(lambda self: self.ctx.pause_data(), timeout=DEADLINE_S)
    for message in ("x" * 1000, 2, Nosy()):
        ref.tell(message)
    seen = ref.mailbox(3)

    assert (seen.control_depth, seen.data_depth, seen.control) == (0, 3, ())
    assert [text[:6] for text in seen.data] == ["'xxxxx", "2", "<Nosy>"]
    assert ref.mailbox(1).data == seen.data[:1]


def test_looking_needs_no_waiting(system):
    gate = Gate()
    ref = system.spawn(Recorder, gate=gate, name="a")
    ref.tell("gate")
    assert gate.entered.wait(DEADLINE_S)
    future = ref.look("observe")
    gate.opened.set()

    assert future.get(timeout=DEADLINE_S) == ("gate",)


def test_a_question_on_the_control_lane_overtakes_data(system):
    gate = Gate()
    ref = system.spawn(Recorder, gate=gate, name="a")
    ref.tell("gate")
    assert gate.entered.wait(DEADLINE_S)
    later = ref.ask("data", block=False)
    sooner = ref.ask("control", block=False, control=True)
    gate.opened.set()

    assert (sooner.get(timeout=DEADLINE_S), later.get(timeout=DEADLINE_S)) == (2, 3)


def test_what_is_not_there_cannot_be_looked_at(system):
    ref = system.spawn(Recorder, name="a")
    ref.stop(timeout=DEADLINE_S)
    with pytest.raises(ActorDeadError):
        ref.look("tree")
