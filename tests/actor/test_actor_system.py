"""Life in a system: the tree, lanes, stopping, watching, looking."""

import pickle
import threading
import time

import pytest
from actor_harness import DEADLINE_S, Gate, Recorder

from actorflow.actor import Actor, ActorSystem, LightActor
from actorflow.errors import ActorflowError, MailboxOverflow
from actorflow.ids import NodeId
from actorflow.protocol.machine import ChildEnded, Done, Killed, Stopped


def family(system, log, depth=2, width=2):
    """Spawn /a with children, and return its reference."""

    def grow(actor, level):
        if level:
            for index in range(width):
                child = actor.ctx.spawn(Recorder, log, name=f"c{index}")
                child.tell(lambda self, level=level: grow(self, level - 1))

    top = system.spawn(Recorder, log, name="a")
    top.tell(lambda self: grow(self, depth))
    deadline = time.monotonic() + DEADLINE_S
    expected = sum(width**level for level in range(depth + 1))
    while len(system.tree()) < expected:
        assert time.monotonic() < deadline
        top.observe()
    return top


def test_paths_and_addresses_name_actors_by_their_place_in_the_tree(system):
    top = family(system, [], depth=2, width=1)
    assert [row.path for row in system.tree()] == ["/a", "/a/c0", "/a/c0/c0"]
    assert system.resolve("/a/c0").address == "here/a/c0"
    assert system.resolve("here/a") == top
    assert top.ask(lambda self: [child.path for child in self.ctx.children]) == ["/a/c0"]
    assert system.resolve("/a/c0").ask(lambda self: self.ctx.parent.path) == "/a"


def test_stopping_a_parent_stops_its_children_first_youngest_first(system):
    log = []
    top = family(system, log)
    assert top.stop(timeout=DEADLINE_S) is True
    assert log == [
        "stop /a/c1/c1", "stop /a/c1/c0", "stop /a/c1", "stop /a/c0/c1", "stop /a/c0/c0", "stop /a/c0", "stop /a",
    ]  # fmt: skip
    assert system.tree() == ()


def test_shutdown_stops_everything_and_the_threads():
    log = []
    system = ActorSystem(NodeId("short-lived"))
    system.start()
    family(system, log, depth=1)
    system.spawn(Recorder, log, name="pinned", dispatcher="pinned")
    system.spawn(Recorder, log, name="pool", dispatcher="pool").ask("x", timeout=DEADLINE_S)
    assert system.shutdown(timeout_s=DEADLINE_S) is True
    assert log == ["x", "stop /pool", "stop /pinned", "stop /a/c1", "stop /a/c0", "stop /a"]
    assert [thread.name for thread in threading.enumerate() if "short-lived" in thread.name] == []
    assert system.shutdown(timeout_s=DEADLINE_S) is True
    with pytest.raises(ActorflowError, match="its parent is ended"):
        system.spawn(Recorder, name="late")


def test_shutdown_says_when_an_actor_does_not_return():
    gate = Gate()
    system = ActorSystem(NodeId("stuck"))
    system.start()
    system.spawn(Recorder, [], gate, name="stuck").tell("gate")
    assert gate.entered.wait(DEADLINE_S)
    assert system.shutdown(timeout_s=0.05) is False
    gate.opened.set()
    assert system.shutdown(timeout_s=DEADLINE_S) is True


def test_names_are_unique_among_siblings_and_well_formed(system):
    system.spawn(Recorder, name="a")
    with pytest.raises(ActorflowError, match="cannot spawn /a: the name is taken"):
        system.spawn(Recorder, name="a")
    with pytest.raises(ActorflowError, match="has no slash"):
        system.spawn(Recorder, name="a/b")
    assert [row.path for row in system.tree()] == ["/a"]


def test_a_name_is_free_again_when_its_actor_has_ended(system):
    system.spawn(Recorder, name="a").stop(timeout=DEADLINE_S)
    assert system.spawn(Recorder, name="a").ask("x", timeout=DEADLINE_S) == 1


def test_an_init_that_raises_leaves_nothing_behind(system):
    class Broken(Recorder):
        def __init__(self):
            super().__init__()
            self.ctx.spawn(Recorder, name="orphan")
            raise OSError("no")

    class Forgetful(Actor):
        def __init__(self):
            pass

    with pytest.raises(OSError, match="no"):
        system.spawn(Broken, name="a")
    with pytest.raises(ActorflowError, match=r"hint: call super\(\).__init__\(\)"):
        system.spawn(Forgetful, name="a")
    assert system.tree() == ()


def test_an_actor_needs_a_system():
    with pytest.raises(ActorflowError, match=r"system.spawn\(Recorder"):
        Recorder.start()


def test_the_control_lane_overtakes_the_data_lane_and_each_keeps_its_order(system):
    gate, log = Gate(), []
    ref = system.spawn(Recorder, log, gate, name="a")
    ref.tell("gate")
    for number in range(3):
        ref.tell(number)
        ref.tell_control(f"control {number}")
    gate.opened.set()
    ref.ask("end", timeout=DEADLINE_S)
    assert [entry for entry in log if entry != "gate"] == ["control 0", "control 1", "control 2", 0, 1, 2, "end"]


def test_stop_without_drain_overtakes_data_which_becomes_dead_letters(system):
    gate, log = Gate(), []
    ref = system.spawn(Recorder, log, gate, name="a")
    ref.tell("gate")
    assert gate.entered.wait(DEADLINE_S)
    ref.tell("never handled")
    stopped = ref.stop(block=False, drain=False)
    gate.opened.set()
    assert stopped.get(timeout=DEADLINE_S) is True
    assert log == ["gate", "stop /a"]
    assert [(letter.target, letter.message) for letter in system.dead_letters.last()] == [("here/a", "never handled")]
    assert system.dead_letters.count == 1


def test_control_to_a_dead_actor_is_a_dead_letter_not_an_error(system):
    ref = system.spawn(Recorder, name="a")
    ref.stop(timeout=DEADLINE_S)
    ref.tell_control("late")
    system.resolve("/nobody").tell("lost")
    system.resolve("elsewhere/x").tell("lost, too")
    system.spawn(Recorder, name="b").ask("x", timeout=DEADLINE_S)
    assert {(letter.target, letter.message, letter.reason) for letter in system.dead_letters.last()} == {
        ("here/a", "late", "the actor has ended"),
        ("here/nobody", "lost", "nobody lives at this address"),
        ("elsewhere/x", "lost, too", "this node has no transport"),
    }
    assert system.dead_letters.count == 3


def test_a_full_lane_refuses_with_an_error_that_names_actor_lane_and_limit():
    system = ActorSystem(NodeId("small"), inbox_messages_max=2)
    ref = system.spawn(Recorder, name="a")
    light = system.spawn(LightActor, name="light")
    for lane, tell in (("data", ref.tell), ("control", ref.tell_control)):
        with pytest.raises(MailboxOverflow, match=f"{lane} lane of small/a: it holds 2 messages"):
            for _ in range(3):
                tell("x")
    with pytest.raises(MailboxOverflow, match="small/light"):
        light.tell("x")
    assert system.shutdown(timeout_s=DEADLINE_S)


def test_data_waits_while_paused_and_control_flows(system):
    log = []
    ref = system.spawn(Recorder, log, name="a")
    ref.ask(lambda self: self.ctx.pause_data(), timeout=DEADLINE_S)
    ref.tell("data")
    ref.tell_control("control")
    assert ref.observe() == ("control",)
    ref.tell_control(lambda self: self.ctx.resume_data())
    ref.ask("more", timeout=DEADLINE_S)
    assert log == ["control", "data", "more"]


def test_stashed_messages_come_back_in_front_and_in_order(system):
    class Shy(Recorder):
        open = False

        def on_receive(self, message):
            if message == "open":
                self.open = True
                self.ctx.unstash_all()
            elif not self.open:
                self.ctx.stash()
                return None
            return super().on_receive(message)

    log = []
    ref = system.spawn(Shy, log, name="a")
    ref.tell(1)
    answer = ref.ask(2, block=False)
    ref.tell("open")
    ref.tell(3)
    assert answer.get(timeout=DEADLINE_S) == 3
    ref.ask("end", timeout=DEADLINE_S)
    assert log == ["open", 1, 2, 3, "end"]


def test_an_answer_may_be_given_in_a_later_turn(system):
    class Later(Actor):
        waiting = None

        def on_receive(self, message):
            if message == "question":
                self.waiting = self.ctx.reply_to
                return "ignored"
            self.waiting.set(message)
            self.ctx.reply("now")
            return "ignored, too"

    ref = system.spawn(Later, name="a")
    question = ref.ask("question", block=False)
    assert ref.ask("the answer", timeout=DEADLINE_S) == "now"
    assert question.get(timeout=DEADLINE_S) == "the answer"


def test_a_watcher_hears_once_how_an_actor_ended(system):
    heard = threading.Semaphore(0)

    class Watcher(Recorder):
        def on_receive(self, message):
            if isinstance(message, ChildEnded):
                heard.release()
            return super().on_receive(message)

    log = []
    watcher = system.spawn(Watcher, log, name="w")
    targets = [system.spawn(Recorder, name=name) for name in ("a", "b", "c")]
    child = watcher.ask(lambda self: self.ctx.spawn(Recorder, name="child"), timeout=DEADLINE_S)
    for ref in (*targets, child, system.resolve("/nobody")):
        watcher.ask(lambda self, ref=ref: self.ctx.watch(ref), timeout=DEADLINE_S)
    watcher.ask(lambda self: self.ctx.unwatch(targets[2]), timeout=DEADLINE_S)
    assert heard.acquire(timeout=DEADLINE_S)
    for ref in (targets[2], targets[0], child):
        ref.stop(timeout=DEADLINE_S)
    targets[1].ask(lambda self: self.ctx.finish(), timeout=DEADLINE_S)
    for _ in range(3):
        assert heard.acquire(timeout=DEADLINE_S)
    assert set(watcher.observe()) == {
        ChildEnded("here/nobody", Killed()),
        ChildEnded("here/a", Stopped()),
        ChildEnded("child", Stopped()),
        ChildEnded("here/b", Done()),
    }


def test_references_are_equal_by_actor_and_pickled_as_addresses(system):
    ref = system.spawn(Recorder, name="a")
    light = system.spawn(LightActor, name="light")
    assert pickle.loads(pickle.dumps(ref)) == "here/a"
    assert system.resolve(pickle.loads(pickle.dumps(light))) == light
    assert len({ref, system.resolve("/a"), light, system.resolve("/light")}) == 2
    assert system.resolve(system.resolve("/a")) is ref


def test_a_reference_to_nobody_finds_an_actor_that_comes_later(system):
    early = system.resolve("/later")
    assert early.is_alive() is False
    system.spawn(Recorder, name="later")
    assert early.is_alive() is True
    assert early.ask("x", timeout=DEADLINE_S) == 1


def test_the_tree_shows_state_depth_and_what_actors_show_of_themselves(system):
    ref = system.spawn(Recorder, name="a")
    ref.ask("x", timeout=DEADLINE_S)
    ref.ask(lambda self: self.ctx.pause_data(), timeout=DEADLINE_S)
    ref.tell("waits")
    [row] = system.tree(observe=True, timeout_s=DEADLINE_S)
    assert (row.path, row.kind, row.state, row.control_depth, row.data_depth, row.handled, row.restarts, row.children) == (
        "/a", "Recorder", "running", 0, 1, 2, 0, 0,
    )  # fmt: skip
    assert row.observation == ("x",)


def test_an_observe_that_raises_harms_nobody(system):
    class Opaque(Recorder):
        def observe(self):
            raise LookupError("nothing to see")

    ref = system.spawn(Opaque, name="a")
    with pytest.raises(LookupError, match="nothing to see"):
        ref.observe()
    assert isinstance(system.tree(observe=True)[0].observation, LookupError)
    assert ref.ask("x", timeout=DEADLINE_S) == 1


def test_the_story_tells_the_steps_of_a_life(system):
    ref = system.spawn(Recorder, name="a")
    assert [entry.event for entry in ref.story()] == ["started"]
