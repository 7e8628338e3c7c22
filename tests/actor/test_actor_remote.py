"""Two systems, joined by a router that carries messages through the wire codec: ask, watch, look and stop across nodes."""

import threading

import pykka
import pytest
from actor_harness import DEADLINE_S, Link

from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher, StoryLine, TreeRow
from actorflow.actor.messages import MESSAGES, Answered, AskFailed, Ended, StopRequested
from actorflow.errors import ActorflowError, AskRefused, ErrorInfo, SerializationError, UserFunctionError
from actorflow.ids import Address, NodeId
from actorflow.protocol.machine import ChildEnded, Done, Failed, Killed, Lost, Stopped
from actorflow.wire.message import MessageCodec
from actorflow.wire.plain_form import typed


class Recorder(Actor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    def on_receive(self, message):
        if isinstance(message, Exception):
            raise message
        if callable(message):
            return message(self)
        self.log.append(message)
        return len(self.log)

    def observe(self):
        return tuple(self.log)


def test_tell_and_ask_reach_the_other_node(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    ref = left.resolve("right/a")
    ref.tell("one")
    assert ref.ask("two", timeout=DEADLINE_S) == 2
    assert ref.ask("three", block=False).get(timeout=DEADLINE_S) == 3
    assert ref.observe(timeout=DEADLINE_S) == ["one", "two", "three"]
    assert [entry["event"] for entry in ref.story(timeout=DEADLINE_S)] == ["started"]
    assert len(left.asks) == 0


def test_an_error_on_the_other_node_is_raised_here_as_a_value(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    with pytest.raises(UserFunctionError, match="ValueError: bad"):
        left.resolve("right/a").ask(ValueError("bad"), timeout=DEADLINE_S)
    with pytest.raises(pykka.ActorDeadError, match="right/nobody not found"):
        left.resolve("right/nobody").ask("x", timeout=DEADLINE_S)
    assert [letter.target for letter in right.dead_letters.last()] == ["right/nobody"]


def test_answers_are_messages_or_plain_data_and_others_fail_the_ask_alone(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    ref = left.resolve("right/a")
    answers = {"none": None, "data": {"a": [1, 2.5, "x", b"y", True]}, "message": StopRequested(drain=False)}
    for answer in answers.values():
        assert ref.ask(lambda _self, answer=answer: answer, timeout=DEADLINE_S) == answer
    with pytest.raises(UserFunctionError, match="cannot encode message 'Answered'"):
        ref.ask(lambda _self: object(), timeout=DEADLINE_S)
    assert ref.ask("still there", timeout=DEADLINE_S) == 1


def test_an_ask_that_nobody_answers_times_out(pair):
    left, _right, _link = pair
    with pytest.raises(pykka.Timeout, match=r"gone/a did not answer in 0\.01 seconds"):
        left.resolve("gone/a").ask("x", timeout=0.01)
    with pytest.raises(pykka.Timeout):
        left.resolve("gone/a").ask("x", block=False, timeout=0.01).get(timeout=DEADLINE_S)
    assert len(left.asks) == 0


def test_a_late_answer_is_dropped(pair):
    left, _right, _link = pair
    left.deliver("/", "late", control=True, correlation=999)
    assert left.dead_letters.count == 0


def test_a_remote_ask_on_the_dispatchers_thread_is_refused(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    inside = left.spawn(Recorder, name="b")
    with pytest.raises(AskRefused, match="cannot ask right/a"):
        inside.ask(lambda self: self.ctx.system.resolve("right/a").ask("x"), timeout=DEADLINE_S)


def test_a_remote_actor_can_be_stopped(pair):
    left, right, _link = pair
    log = []
    local = right.spawn(Recorder, log, name="a")
    ref = left.resolve("right/a")
    ref.tell("before")
    assert ref.stop(timeout=DEADLINE_S) is True
    assert (log, local.is_alive()) == (["before"], False)
    assert ref.stop(timeout=DEADLINE_S, drain=False) is False
    assert ref.stop(block=False).get(timeout=DEADLINE_S) is False
    with pytest.raises(ActorflowError, match="only local actors"):
        ref.proxy()


def test_an_actor_can_reply_to_a_message_that_names_an_address(sims):
    left, right, _link, settle = sims
    log = []
    left.spawn(Recorder, log, name="asker")
    right.spawn(Recorder, name="a")
    right.deliver("/a", lambda self: self.ctx.reply("answer"), control=False, reply_to=Address("left/asker"))
    right.deliver("/a", "no answer wanted", control=False, reply_to=Address("left/asker"))
    settle()
    assert log == ["answer"]


def test_remote_watchers_hear_endings_and_the_transport_hears_of_watches(sims):
    left, right, link, settle = sims
    log = []
    watcher = left.spawn(Recorder, log, name="w")
    targets = {name: right.spawn(Recorder, name=name) for name in ("stopped", "done", "failed", "unwatched")}
    for name in (*targets, "nobody"):
        watcher.tell(lambda self, name=name: self.ctx.watch(self.ctx.system.resolve(f"right/{name}"), name))
    settle()
    watcher.tell(lambda self: self.ctx.unwatch(self.ctx.system.resolve("right/unwatched")))
    settle()
    targets["stopped"].stop(block=False)
    targets["unwatched"].stop(block=False)
    targets["done"].tell(lambda self: self.ctx.finish())
    targets["failed"].tell(ValueError("bad"))
    settle()
    endings = {event.name: event.ending for event in log}
    assert endings["failed"].error.kind == "ValueError"
    assert {name: type(ending) for name, ending in endings.items()} == {
        "nobody": Killed, "stopped": Stopped, "done": Done, "failed": Failed,
    }  # fmt: skip
    names = sorted([*targets, "nobody"])
    assert sorted(link.watched) == sorted([f"{verb} right/{name}" for name in names for verb in ("watch", "unwatch")])


def test_a_lost_node_ends_every_watched_actor_there_once(sims):
    left, right, _link, settle = sims
    log = []
    watcher = left.spawn(Recorder, log, name="w")
    right.spawn(Recorder, name="a")
    watcher.tell(lambda self: [self.ctx.watch(self.ctx.system.resolve(target)) for target in ("right/a", "elsewhere/b")])
    settle()
    log.clear()
    left.node_lost(NodeId("right"))
    left.node_lost(NodeId("right"))
    settle()
    assert log == [ChildEnded("right/a", Lost("right"))]
    left.watched_lost(Address("elsewhere/b"), Killed())
    settle()
    assert log[1:] == [ChildEnded("elsewhere/b", Killed())]


@pytest.mark.parametrize("ended_before_the_watch_is_renewed", [True, False])
def test_a_watch_outlives_a_connection_that_broke(sims, ended_before_the_watch_is_renewed):
    left, right, link, settle = sims
    log = []
    watcher = left.spawn(Recorder, log, name="w")
    target = right.spawn(Recorder, name="a")
    link.cut = True
    watcher.tell(lambda self: self.ctx.watch(self.ctx.system.resolve("right/a")) or log.clear())
    settle()
    if ended_before_the_watch_is_renewed:
        target.stop(block=False)
        settle()
    link.cut = False
    left.link_restored(NodeId("elsewhere"))
    settle()
    assert log == []
    left.link_restored(NodeId("right"))
    left.link_restored(NodeId("right"))
    settle()
    target.stop(block=False)
    settle()
    assert log == [ChildEnded("right/a", Killed() if ended_before_the_watch_is_renewed else Stopped())]


def test_an_ask_fails_at_once_when_the_node_is_lost(sims):
    left, _right, link, settle = sims
    link.cut = True
    asked = [left.resolve(target).ask("x", block=False) for target in ("right/a", "elsewhere/a")]
    settle()
    left.node_lost(NodeId("right"))
    assert [future.done() for future in asked] == [True, False]
    with pytest.raises(pykka.ActorDeadError, match="right/a did not answer: its node 'right' is lost"):
        asked[0].get(timeout=0)
    assert len(left.asks) == 1


def test_a_question_that_cannot_travel_is_raised_at_once_and_forgotten(sims):
    left, _right, _link, _settle = sims
    with pytest.raises(SerializationError):
        left.resolve("right/a").ask(Answered(object()), block=False)
    assert len(left.asks) == 0


def test_only_the_node_that_was_asked_may_answer(sims):
    left, _right, link, settle = sims
    link.cut = True
    asked = left.resolve("right/a").ask("x", block=False)
    settle()
    [number] = left.asks._pending
    left.deliver("/", Answered("forged"), control=True, correlation=number, sender=NodeId("elsewhere"))
    left.deliver("/", AskFailed(ErrorInfo("E", "forged")), control=True, correlation=number, sender=NodeId("elsewhere"))
    assert asked.done() is False
    left.deliver("/", Answered("true"), control=True, correlation=number, sender=NodeId("right"))
    left.deliver("/", Answered("twice"), control=True, correlation=number, sender=NodeId("right"))
    assert asked.get(timeout=0) == "true"


def test_an_answer_to_an_earlier_life_of_the_node_meets_no_question_of_this_one():
    numbers = []
    for _life in range(2):
        system = ActorSystem(NodeId("left"), dispatcher=SimulatedDispatcher())
        Link([system])
        for target in ("right/a", "right/b"):
            system.resolve(target).ask("x", block=False)
        numbers.append(set(system.asks._pending))
    assert numbers[0] & numbers[1] == set()


def test_errors_with_text_that_is_not_utf8_reach_watchers_and_askers(sims):
    left, right, _link, settle = sims
    log = []
    right.spawn(Recorder, name="a")
    watcher = left.spawn(Recorder, log, name="w")
    watcher.tell(lambda self: self.ctx.watch(self.ctx.system.resolve("right/a")) or log.clear())
    settle()
    asked = left.resolve("right/a").ask(FileNotFoundError("no file \udcff"), block=False)
    settle()
    with pytest.raises(UserFunctionError, match=r"no file \\udcff"):
        asked.get(timeout=0)
    left.resolve("right/a").tell(FileNotFoundError("no file \udcff"))
    settle()
    [ended] = log
    assert (ended.ending.error.kind, ended.ending.error.message) == ("FileNotFoundError", "no file \\udcff")


@pytest.mark.parametrize("ending", [Done(), Stopped(), Killed(), Failed(ErrorInfo("E", "bad", context={"a": "b"})), Lost("n")])
def test_every_ending_survives_the_wire(ending):
    codec = MessageCodec(MESSAGES)
    assert codec.decode(codec.encode(Ended.of(Address("n/a"), ending))).ending() == ending


def test_ask_failed_survives_the_wire():
    codec = MessageCodec(MESSAGES)
    message = AskFailed(ErrorInfo("E", "bad", hint="h"))
    assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize("value", ["\udcff", object(), 2**70, {1: {2: 3j}}])
def test_a_message_that_has_no_form_on_the_wire_is_refused_by_name(value):
    with pytest.raises(SerializationError, match="cannot encode message 'Answered'"):
        MessageCodec(MESSAGES).encode(Answered(value))


def test_asks_from_many_threads_get_their_own_answers(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    ref = left.resolve("right/a")
    wrong = []

    def ask(number):
        for index in range(50):
            key = f"{number} {index}"
            if ref.ask(lambda _self, key=key: key, timeout=DEADLINE_S) != key:
                wrong.append(key)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_tree_survives_the_way_over_the_wire(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    rows = typed(left.resolve("right/").tree(timeout=DEADLINE_S), tuple[TreeRow, ...])

    assert [(row.path, row.kind, row.state) for row in rows] == [("/", "Guardian", "running"), ("/a", "Recorder", "running")]


def test_waiting_for_a_look_on_the_thread_that_brings_it_is_refused(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="far")
    ref = left.spawn(Recorder, name="near")
    with pytest.raises(AskRefused):
        ref.ask(lambda self: self.ctx.system.resolve("right/far").observe(), timeout=DEADLINE_S)


def test_a_story_travels_as_text(pair):
    left, right, _link = pair
    right.spawn(Recorder, name="a")
    lines = typed(left.resolve("right/a").story(timeout=DEADLINE_S), tuple[StoryLine, ...])

    assert [line.event for line in lines] == ["started"]
