"""The small parts: io, timers, dead letters, mailbox, pool."""

import os
import threading
import time

import pykka
import pytest
from actor_harness import DEADLINE_S

from actorflow.actor import DeadLetter, SelectorIo
from actorflow.actor.dead_letters import DeadLetters
from actorflow.actor.mailbox import Mailbox
from actorflow.actor.pool import Pool
from actorflow.actor.signals import Envelope
from actorflow.actor.timers import Timers
from actorflow.ids import Address


@pytest.fixture
def io():
    io = SelectorIo()
    yield io
    io.close()


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_wake_before_the_poll_is_not_lost_and_counts_once(io):
    io.wake()
    io.wake()
    before = time.monotonic()
    io.poll(DEADLINE_S)
    assert time.monotonic() - before < DEADLINE_S
    io.poll(0)


def test_a_wake_from_another_thread_ends_the_poll(io):
    ended = threading.Event()

    def poll():
        io.poll(None)
        ended.set()

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    io.wake()
    assert ended.wait(DEADLINE_S)
    poller.join()


def test_wakes_that_nobody_polls_for_do_not_block(io):
    for _ in range(100_000):
        io.wake()
    io.poll(DEADLINE_S)
    before = time.monotonic()
    io.poll(0.01)
    assert time.monotonic() - before >= 0.01


def test_a_readable_file_runs_its_callback_until_it_is_unwatched(io, pipe):
    read, write = pipe
    ran = []
    io.watch(read, lambda: ran.append(os.read(read, 1)))
    io.poll(0)
    os.write(write, b"ab")
    io.poll(DEADLINE_S)
    io.poll(DEADLINE_S)
    io.unwatch(read)
    os.write(write, b"c")
    io.poll(0)
    assert ran == [b"a", b"b"]


def test_waking_a_closed_io_does_nothing(io):
    io.close()
    io.close()
    assert io.wake() is None


class Target:
    def __init__(self):
        self.live = {}
        self.due = []

    def timer_live(self, key, ticket):
        return self.live.get(key) == ticket

    def timer_due(self, key, ticket):
        del self.live[key]
        self.due.append(key)


def test_a_timer_that_is_set_anew_all_the_time_does_not_grow_the_heap():
    timers, target = Timers(), Target()
    for ticket in range(100_000):
        if target.live:
            timers.forget()
        target.live["deadline"] = ticket
        timers.add(1000.0 + ticket, ticket, target, "deadline")
    assert len(timers) < 1000
    assert timers.next_at() == 1000.0 + 99_999


def test_timers_of_the_same_time_fire_in_the_order_they_were_set():
    timers, target = Timers(), Target()
    for ticket, (key, at) in enumerate([("c", 2.0), ("a", 1.0), ("b", 1.0), ("later", 9.0)]):
        target.live[key] = ticket
        timers.add(at, ticket, target, key)
    timers.fire(5.0)
    assert target.due == ["a", "b", "c"]


def test_dead_letters_are_all_counted_and_the_last_are_kept():
    letters = DeadLetters(kept_max=3)
    for number in range(5):
        letters.add(DeadLetter(Address("n/a"), number, 0.0, "test"))
    assert letters.count == 5
    assert [letter.message for letter in letters.last()] == [2, 3, 4]
    assert [letter.message for letter in letters.last(2)] == [3, 4]
    assert letters.last(0) == ()


def test_a_mailbox_is_an_inbox_for_pykka_and_gives_control_first():
    mailbox = Mailbox()
    future = pykka.ThreadingFuture()
    from pykka._envelope import Envelope as PykkaEnvelope

    assert mailbox.empty()
    mailbox.put(PykkaEnvelope("data"))
    mailbox.put(PykkaEnvelope("asked", reply_to=future))
    mailbox.control.append(Envelope("control", None))
    taken = [mailbox.get() for _ in range(3)]
    assert [(envelope.message, envelope.reply_to) for envelope in taken] == [("control", None), ("data", None), ("asked", future)]
    assert mailbox.empty()


def test_a_pool_makes_threads_up_to_its_limit_and_reuses_idle_ones():
    pool = Pool("p", threads_max=2)
    gate, running, seen = threading.Event(), threading.Semaphore(0), []

    def work():
        seen.append(threading.current_thread().name)
        running.release()
        assert gate.wait(DEADLINE_S)

    for _ in range(4):
        pool.submit(work)
    for _ in range(2):
        assert running.acquire(timeout=DEADLINE_S)
    assert sorted(seen) == ["p-0", "p-1"]
    gate.set()
    pool.close()
    pool.join(DEADLINE_S)
    assert (len(seen), set(seen)) == (4, {"p-0", "p-1"})
    pool.submit(lambda: seen.append("after close"))
    assert len(seen) == 4


def test_work_that_raises_does_not_end_its_thread():
    pool = Pool("p", threads_max=1)
    done = threading.Event()
    pool.submit(lambda: 1 / 0)
    pool.submit(done.set)
    assert done.wait(DEADLINE_S)
    pool.close()
    pool.join(DEADLINE_S)
