"""Who runs an actor: threads of several kinds, the calling thread, timers, and no lost wake-up."""

import threading
import time

import pykka
import pytest
from actor_harness import DEADLINE_S, Recorder

from actorflow.actor import Actor, ActorSystem, LightActor
from actorflow.errors import ActorflowError, AskRefused
from actorflow.ids import NodeId
from actorflow.protocol.machine import TimerFired


def test_ask_and_stop_are_refused_where_they_would_wait_for_themselves(system):
    other = system.spawn(Recorder, name="other")
    ref = system.spawn(Recorder, name="a")
    with pytest.raises(AskRefused, match=r"cannot ask /other on this thread.*hint: tell it"):
        ref.ask(lambda _self: other.ask("x"), timeout=DEADLINE_S)
    with pytest.raises(AskRefused):
        ref.ask(lambda self: self.ctx.ref.stop(), timeout=DEADLINE_S)
    with pytest.raises(AskRefused):
        ref.ask(lambda _self: other.observe(), timeout=DEADLINE_S)
    with pytest.raises(AskRefused):
        ref.ask(lambda _self: other.ask("x", block=False).get(), timeout=DEADLINE_S)


def test_actors_on_other_threads_may_ask(system):
    other = system.spawn(Recorder, name="other")
    for dispatcher in ("pinned", "pool"):
        ref = system.spawn(Recorder, name=dispatcher, dispatcher=dispatcher)
        assert ref.ask(lambda _self: other.ask("x", timeout=DEADLINE_S), timeout=DEADLINE_S) >= 1
        with pytest.raises(AskRefused):
            ref.ask(lambda self: self.ctx.ref.ask("x"), timeout=DEADLINE_S)


def test_pinned_actors_have_their_own_thread_and_pool_actors_share(system):
    where = lambda _self: threading.current_thread().name
    names = [
        system.spawn(Recorder, name=dispatcher, dispatcher=dispatcher).ask(where, timeout=DEADLINE_S)
        for dispatcher in ("default", "pinned", "pool")
    ]
    assert [name.rstrip("01234") for name in names] == ["actorflow-here", "actorflow-here/pinned", "actorflow-here-pool-"]


@pytest.mark.parametrize("dispatcher", ["default", "pinned", "pool"])
def test_timers_fire_in_order_and_cancelled_ones_never(system, dispatcher):
    done = threading.Event()

    class Timed(Recorder):
        def on_start(self):
            self.ctx.set_timer("second", 0.02)
            self.ctx.set_timer("first", 0.01)
            self.ctx.set_timer("never", 0.005)
            self.ctx.cancel_timer("never")
            self.ctx.set_timer("moved", 0.001)
            self.ctx.set_timer("moved", 0.03)

        def on_receive(self, message):
            self.log.append(message)
            if message == TimerFired("moved"):
                done.set()

    log = []
    system.spawn(Timed, log, name="a", dispatcher=dispatcher)
    assert done.wait(DEADLINE_S)
    assert log == [TimerFired("first"), TimerFired("second"), TimerFired("moved")]


def test_no_message_is_lost_or_reordered_when_many_threads_tell(system):
    threads, each = 8, 5_000
    seen = [[] for _ in range(threads)]

    class Counter(Actor):
        def on_receive(self, message):
            thread, number = message
            seen[thread].append(number)

        def observe(self):
            return sum(map(len, seen))

    class LightCounter(LightActor):
        __slots__ = ()

        def on_receive(self, message):
            counters[0].tell(message)

    counters = [system.spawn(Counter, name="full"), system.spawn(LightCounter, name="light")]

    def send(thread):
        for number in range(each):
            counters[thread % 2].tell((thread, number))
            if number % 997 == 0:
                time.sleep(0)

    senders = [threading.Thread(target=send, args=(thread,)) for thread in range(threads)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    counters[1].stop(timeout=DEADLINE_S)
    counters[0].stop(timeout=DEADLINE_S)
    assert [list(range(each))] * threads == seen


def test_a_sleeping_dispatcher_wakes_for_every_single_message(system):
    ref = system.spawn(Recorder, name="a")
    pinned = system.spawn(Recorder, name="b", dispatcher="pinned")
    for number in range(500):
        assert ref.ask("x", timeout=DEADLINE_S) == number + 1
        assert pinned.ask("x", timeout=DEADLINE_S) == number + 1


def test_inline_the_calling_thread_runs_the_actors():
    system = ActorSystem(NodeId("inline"))
    ref = system.spawn(Recorder, name="a")
    assert ref.ask(lambda _self: threading.current_thread(), timeout=DEADLINE_S) is threading.current_thread()
    for number in range(10):
        ref.tell(number)
    system.run_until(lambda: len(ref._cell.actor.log) == 10)
    assert ref.observe() == tuple(range(10))
    system.resolve("/a").tell(lambda self: self.ctx.system.shutdown())
    system.run()
    assert system.tree() == ()


def test_a_blocked_inline_ask_times_out():
    system = ActorSystem(NodeId("inline"))
    ref = system.spawn(Recorder, name="a")
    with pytest.raises(pykka.Timeout):
        ref.ask(lambda self: self.ctx.reply_to and None, timeout=0.01)
    assert system.shutdown(timeout_s=DEADLINE_S)


def test_a_loop_runs_on_one_thread_only(system):
    with pytest.raises(ActorflowError, match="on two threads"):
        system.run_until(lambda: True)


def test_idle_hooks_run_before_the_dispatcher_waits_and_may_make_work(system):
    ref = system.spawn(Recorder, name="a")
    ran = threading.Event()

    def hook():
        system.remove_idle_hook(hook)
        ref.tell("from the hook")
        ran.set()

    system.call_soon(lambda: system.add_idle_hook(hook))
    assert ran.wait(DEADLINE_S)
    assert ref.ask("then", timeout=DEADLINE_S) == 2
    assert ref.observe() == ("from the hook", "then")
