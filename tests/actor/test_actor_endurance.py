"""What user code, the clock and other threads do to a system must not end it, nor make anybody wait for ever."""

import sys
import threading
import time

import pykka
import pytest
from actor_harness import DEADLINE_S, Recorder

from actorflow.actor import Actor, ActorSystem, LightActor, SelectorIo, Supervise
from actorflow.actor.messages import Ended, WatchRequested
from actorflow.actor.pool import Pool
from actorflow.errors import ActorflowError, Domain, ErrorInfo, PlanError, describe
from actorflow.ids import NodeId
from actorflow.protocol.machine import ChildEnded, Failed


class UnspeakableError(Exception):
    def __str__(self):
        return self.missing


class UninitialisedError(PlanError):
    def __init__(self):
        pass


# --- errors that cannot be told --------------------------------------------------------------------------------------------


def test_an_exception_without_a_text_is_described():
    assert describe(UnspeakableError()).message == "(no text: its __str__ raised AttributeError)"
    assert (describe(UninitialisedError()).kind, describe(UninitialisedError()).domain) == ("UninitialisedError", Domain.USER)


def test_the_texts_of_an_error_are_always_utf8():
    info = ErrorInfo("E\udcff", "no file \udcff", "h\udcff", traceback="t\udcff", context={"key\udcff": "value\udcff"})
    assert (info.kind, info.message, info.hint, info.traceback) == ("E\\udcff", "no file \\udcff", "h\\udcff", "t\\udcff")
    assert info.context == {"key\\udcff": "value\\udcff"}
    assert describe(FileNotFoundError("ünï \udcff")).message == "ünï \\udcff"


# --- code of the user that tries to end the loop ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UnspeakableError(), UninitialisedError(), SystemExit(1), GeneratorExit()])
def test_whatever_an_actor_raises_the_others_go_on(system, error):
    def fail(_self):
        raise error

    failing, other = system.spawn(Recorder, name="failing"), system.spawn(Recorder, name="other")
    failing.tell(fail)
    assert other.ask("x", timeout=DEADLINE_S) == 1
    assert failing._cell.stopped.wait(DEADLINE_S)


def test_a_decider_that_raises_stops_the_actor_alone(system):
    def decide(_error):
        raise SystemExit(1)

    failing = system.spawn(Recorder, name="failing", supervise=Supervise(decide=decide))
    failing.tell(lambda _self: 1 / 0)
    assert system.spawn(Recorder, name="other").ask("x", timeout=DEADLINE_S) == 1
    assert failing._cell.stopped.wait(DEADLINE_S)


def test_a_function_that_exits_ends_neither_the_loop_nor_a_thread_of_the_pool(system):
    system.call_soon(lambda: sys.exit(1))
    assert system.spawn(Recorder, name="a").ask("x", timeout=DEADLINE_S) == 1
    pool, done = Pool("p", threads_max=1), threading.Event()
    pool.submit(lambda: sys.exit(1))
    pool.submit(done.set)
    assert done.wait(DEADLINE_S)
    pool.close()
    pool.join(DEADLINE_S)


class FailingTurn:
    """A turn that breaks its promise not to raise; `dispatcher` is where it stands in the queue."""

    def __init__(self):
        self.ran = threading.Event()

    def turn(self):
        self.ran.set()
        raise AssertionError("a fault of the engine")

    def shorten(self):
        pass


def test_a_fault_of_the_engine_in_a_turn_is_logged_and_the_loop_goes_on(system, caplog):
    for dispatcher in (system.dispatcher, system.pool_dispatcher):
        item = FailingTurn()
        dispatcher.ready.append(item)
        dispatcher.wake()
        assert item.ran.wait(DEADLINE_S)
    for name in ("default", "pool"):
        assert system.spawn(Recorder, name=name, dispatcher=name).ask("x", timeout=DEADLINE_S) == 1
    assert "a fault of the engine" in caplog.text
    assert system.shutdown(timeout_s=DEADLINE_S)  # an answer comes before the end of the turn that gave it
    assert len(system.pool_dispatcher) == 0


def test_a_callback_of_a_file_that_raises_does_not_end_the_loop(system):
    called = threading.Event()
    reader, writer = SelectorIo(), SelectorIo()

    def fail():
        system.io.unwatch(reader._woken.fileno())
        called.set()
        raise ValueError

    system.call_soon(lambda: system.io.watch(reader._woken.fileno(), fail))
    reader.wake()
    assert called.wait(DEADLINE_S)
    assert system.spawn(Recorder, name="a").ask("x", timeout=DEADLINE_S) == 1
    reader.close()
    writer.close()


class BrokenIo(SelectorIo):
    broken = False

    def poll(self, timeout_s):
        if self.broken:
            raise OSError("the io is broken")
        super().poll(timeout_s)


def test_when_the_loop_ends_by_an_error_nobody_waits_for_its_actors():
    io = BrokenIo()
    system = ActorSystem(NodeId("broken"), io=io)
    system.start()
    ref = system.spawn(Recorder, name="a")
    pinned = system.spawn(Recorder, name="pinned", dispatcher="pinned")
    assert ref.ask("x", timeout=DEADLINE_S) == 1
    asked = ref.ask(lambda self: self.ctx.pause_data(), block=False)
    assert asked.get(timeout=DEADLINE_S) is None
    waiting = [ref.ask("never handled", block=False), ref.stop(block=False), system.asks.ask(
        "elsewhere/a", "x", control=False, block=False, timeout_s=None)]  # fmt: skip
    io.broken = True
    io.wake()
    system.dispatcher.thread.join(DEADLINE_S)
    for future in (waiting[0], waiting[2]):
        with pytest.raises(pykka.ActorDeadError):
            future.get(timeout=DEADLINE_S)
    assert waiting[1].get(timeout=DEADLINE_S) is True
    assert ref.is_alive() is False
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("x")
    pinned.stop(timeout=DEADLINE_S)
    assert system.shutdown(timeout_s=DEADLINE_S)


def test_when_the_thread_of_a_pinned_actor_ends_by_an_error_the_actor_has_failed(system):
    class Parent(Recorder):
        def on_start(self):
            self.ctx.watch(self.ctx.spawn(Recorder, name="child", dispatcher="pinned"))

    log = []
    parent = system.spawn(Parent, log, name="p")
    assert parent.ask("x", timeout=DEADLINE_S) == 1
    pinned = system.resolve("/p/child")

    def poll(_timeout_s):
        raise OSError("the io is broken")

    pinned._cell.dispatcher.io.poll = poll
    pinned.tell("x")
    assert pinned._cell.stopped.wait(DEADLINE_S)
    while len(log) < 2:
        parent.observe(timeout=DEADLINE_S)
    assert (log[1].name, log[1].ending.error.message) == ("child", "the actor's own thread ended by an error of the engine")


def test_a_second_thread_that_wants_to_run_a_system_is_refused_and_harms_nothing(system):
    with pytest.raises(ActorflowError, match="on two threads"):
        system.run()
    done = threading.Event()
    system.submit_work(done.set)
    assert done.wait(DEADLINE_S)
    assert system.spawn(Recorder, name="a").ask("x", timeout=DEADLINE_S) == 1


def test_a_system_interrupted_from_the_keyboard_can_still_be_stopped_in_order():
    class Interrupting(SelectorIo):
        def poll(self, timeout_s):
            raise KeyboardInterrupt

    log = []
    system = ActorSystem(NodeId("inline"), io=Interrupting())
    system.spawn(Recorder, log, name="a")
    with pytest.raises(KeyboardInterrupt):
        system.run()
    assert system.shutdown(timeout_s=DEADLINE_S)
    assert log == ["stop /a"]


# --- endings that cannot be told --------------------------------------------------------------------------------------------


class PartedRouter:
    """Refuses everything for some nodes, keeps the rest."""

    def __init__(self):
        self.sent = []
        self.refused = ()

    def send(self, to, message, *, control, reply_to=None, correlation=None):
        if to.split("/")[0] in self.refused:
            raise ActorflowError("refused")
        self.sent.append((to, message))

    def watch(self, target):
        pass

    unwatch = watch


def test_a_watcher_that_cannot_be_told_does_not_keep_others_from_hearing(sim):
    sim.router = PartedRouter()
    log = []

    class Parent(Recorder):
        def on_start(self):
            self.ctx.watch(self.ctx.spawn(Recorder, name="child"))

    parent = sim.spawn(Parent, log, name="p")
    sim.dispatcher.run_until_idle()
    for watcher in ("refused/w", "told/w"):
        sim.deliver("/p/child", WatchRequested(watcher), control=True)
    sim.resolve("/p/child").tell(lambda self: self.ctx.watch(self.ctx.system.resolve("refused/x")))
    sim.dispatcher.run_until_idle()
    sim.router.refused = ("refused",)
    sim.resolve("/p/child").tell(lambda _self: 1 / 0)
    sim.dispatcher.run_until_idle()
    assert [to for to, message in sim.router.sent if isinstance(message, Ended)] == ["told/w"]
    assert [type(event.ending) for event in log if isinstance(event, ChildEnded)] == [Failed]
    assert parent.stop() is True


# --- times that are far, or none --------------------------------------------------------------------------------------------


def test_a_timer_in_a_month_or_never_does_not_end_the_loop(system):
    ref = system.spawn(Recorder, name="a")
    for delay_s in (30 * 86400.0, float("inf")):
        ref.ask(lambda self, delay_s=delay_s: self.ctx.set_timer("far", delay_s), timeout=DEADLINE_S)
    assert ref.ask("x", timeout=float("inf")) == 1


def test_a_time_that_is_not_a_number_is_refused(sim):
    ref = sim.spawn(Recorder, name="a")
    with pytest.raises(ActorflowError, match="not a number"):
        ref.ask(lambda self: self.ctx.set_timer("x", float("nan")))
    with pytest.raises(ActorflowError, match="not a number"):
        sim.resolve("elsewhere/a").ask("x", timeout=float("nan"))


# --- systems that are driven by whoever asks --------------------------------------------------------------------------------


def in_threads(*functions):
    """Run each function on a thread of its own, and return what they returned."""
    answers = [None] * len(functions)

    def run(index, function):
        answers[index] = function()

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    return answers


def test_the_thread_that_drives_leaves_the_rest_to_the_other():
    system = ActorSystem(NodeId("inline"))
    quick, slow = system.spawn(Recorder, name="quick"), system.spawn(Recorder, name="slow")
    asked_slow = threading.Event()

    def handle_after_the_other_asked(_self):
        assert asked_slow.wait(DEADLINE_S)
        time.sleep(0.02)  # longer than a slice: the loop looks whether to go on before it handles the next message
        return "quick"

    def ask_slow():
        future = slow.ask("x", block=False)
        asked_slow.set()
        return future.get(timeout=DEADLINE_S)

    assert in_threads(lambda: quick.ask(handle_after_the_other_asked), ask_slow) == ["quick", 1]


def test_an_answer_from_another_thread_ends_the_sleep_of_the_one_that_drives():
    system = ActorSystem(NodeId("inline"))
    replies = []
    ref = system.spawn(Recorder, name="a")

    def answer_when_it_sleeps():
        while not (replies and system.dispatcher.sleeping):
            time.sleep(0)
        replies[0].set("late")

    assert in_threads(lambda: ref.ask(lambda self: replies.append(self.ctx.reply_to)), answer_when_it_sleeps) == ["late", None]


def test_run_until_looks_again_when_there_is_nothing_to_do():
    system = ActorSystem(NodeId("inline"))
    seen = threading.Event()

    def see_when_it_sleeps():
        while not system.dispatcher.sleeping:
            time.sleep(0)
        seen.set()

    assert in_threads(lambda: system.run_until(seen.is_set) or "returned", see_when_it_sleeps) == ["returned", None]


def test_starting_takes_the_loop_over_from_whoever_drives_it():
    system = ActorSystem(NodeId("inline"))
    ref = system.spawn(Recorder, name="a")
    replies = []

    def start():
        while not (replies and system.dispatcher.sleeping):
            time.sleep(0)
        system.start()
        answer = ref.ask("x", timeout=DEADLINE_S)
        replies[0].set("late")
        return answer

    assert in_threads(lambda: ref.ask(lambda self: replies.append(self.ctx.reply_to)), start) == ["late", 1]
    assert system.shutdown(timeout_s=DEADLINE_S)


def test_the_top_of_the_tree_takes_children_of_any_thread_from_the_beginning():
    assert ActorSystem(NodeId("inline")).root.children == {}


# --- memory that must not grow ----------------------------------------------------------------------------------------------


class NeverReady(Actor):
    def on_start(self):
        raise OSError


class NeverReadyLight(LightActor):
    __slots__ = ()

    def on_start(self):
        raise OSError


@pytest.mark.parametrize("cls", [NeverReady, NeverReadyLight])
def test_control_messages_held_for_an_actor_that_does_not_run_count_towards_its_limit(cls):
    system = ActorSystem(NodeId("small"), inbox_messages_max=10)
    ref = system.spawn(cls, name="a", supervise=Supervise(backoff_min_s=1000, backoff_max_s=1000))

    def tell_many():
        for number in range(100):
            ref.tell_control(number)
            system.run_until(lambda: not system.dispatcher.ready)

    with pytest.raises(ActorflowError, match="10 messages"):
        tell_many()
    assert ref._cell.depth() == (10, 0)
