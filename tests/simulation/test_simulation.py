"""The simulator itself: how effects are performed, what faults do, and that one seed is one history."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actorflow.errors import InvariantViolated, SourceError
from actorflow.ids import Address, NodeId
from actorflow.protocol.machine import (
    CancelTimer,
    ChildEnded,
    Done,
    Report,
    Send,
    SetTimer,
    Spawn,
    Start,
    StopChild,
    Stopped,
    TimerFired,
    WorkDone,
    WorkFailed,
)
from actorflow.testing.faults import Crash, Faults, Partition
from actorflow.testing.simulation import Invariant, Simulation, SimulationFailed, first_failure, sweep

A, B = Address("a/machine"), Address("b/machine")


class Script:
    """Answers events from a table, and remembers what it heard and when."""

    def __init__(self, **answers):
        self.answers = answers
        self.heard = []

    def handle(self, event, now):
        self.heard.append((round(now, 6), event))
        return self.answers.get(event, []) if isinstance(event, str) else []

    def observe(self):
        return tuple(self.heard)

    def check(self):
        pass

    def events(self):
        return [event for _, event in self.heard]


def world(seed=0, faults=None, **options):
    return Simulation(seed, faults=faults, **options)


def letters(count, faults, seed=1):
    """Let A send `count` numbered messages to B, one a millisecond; return what B heard."""
    simulation = world(seed, faults)
    sender, receiver = Script(), Script()
    sender.handle = lambda event, now: [Send(B, event)]
    simulation.add(A, lambda _: sender)
    simulation.add(B, lambda _: receiver)
    for number in range(count):
        simulation.at(number * 0.001, lambda number=number: simulation.tell(A, number))
    simulation.run(100.0)
    return receiver.events()


def test_a_timer_fires_at_its_time_and_replaces_one_of_its_name():
    simulation, machine = world(), Script(open=[SetTimer("t", 1.0), SetTimer("t", 2.0), SetTimer("u", 3.0), CancelTimer("u")])
    simulation.add(A, lambda _: machine, "open")
    simulation.run(10.0)
    assert [(0.0, "open"), (2.0, TimerFired("t"))] == machine.heard


def test_time_stands_at_the_end_of_the_run():
    assert 5.0 == world().run(5.0).now


def test_messages_within_a_node_are_sure_whatever_the_network_does():
    simulation = world(faults=Faults(loss=1.0))
    local = Address("a/other")
    receiver = Script()
    simulation.add(A, lambda _: Script(open=[Send(local, "hello")]), "open")
    simulation.add(local, lambda _: receiver)
    simulation.run(1.0)
    assert ["hello"] == receiver.events()


def test_a_message_to_nobody_is_counted_as_lost():
    simulation = world()
    simulation.add(A, lambda _: Script(open=[Send(B, "hello")]), "open")
    assert 1 == simulation.run(1.0).lost


def test_slow_work_answers_with_its_result_or_its_error():
    def work(task):
        if task == "bad":
            raise SourceError("no such file")
        return task.upper()

    simulation, machine = world(work=work), Script(open=[Start("good"), Start("bad")])
    simulation.add(A, lambda _: machine, "open")
    simulation.run(10.0)
    assert WorkDone("good", "GOOD") in machine.events()
    (failed,) = [event for event in machine.events() if isinstance(event, WorkFailed)]
    assert ("bad", "no such file") == (failed.work, failed.error.message)


def test_children_are_spawned_by_name_and_their_ending_is_told():
    children = {}

    def spawn(address, recipe):
        children[address] = recipe
        return Script()

    simulation = world(spawn=spawn)
    parent = Script(open=[Spawn("x", 1), Spawn("y", 2)], stop=[StopChild("x"), StopChild("x")])
    simulation.add(A, lambda _: parent, "open")
    simulation.run(1.0)
    assert {Address("a/machine/x"): 1, Address("a/machine/y"): 2} == children
    simulation.tell(A, "stop")
    simulation.end_child(A, "y", Done())
    simulation.run(2.0)
    assert [ChildEnded("y", Done()), ChildEnded("x", Stopped())] == [
        event for event in parent.events() if isinstance(event, ChildEnded)
    ]
    assert (A,) == simulation.alive()


def test_reports_are_kept_with_time_and_place():
    simulation = world()
    simulation.add(A, lambda _: Script(open=[Report(7), Report("seven")]), "open")
    simulation.run(1.0)
    assert [(0.0, A, 7), (0.0, A, "seven")] == [(report.at, report.address, report.value) for report in simulation.reports]
    assert [7] == simulation.reported(int)


def test_messages_of_a_pair_keep_their_order_unless_they_may_overtake():
    slow = Faults(delay_s=(0.001, 0.1))
    assert list(range(100)) == letters(100, slow)
    overtaking = letters(100, Faults(delay_s=(0.001, 0.1), reordering=True))
    assert list(range(100)) != overtaking
    assert list(range(100)) == sorted(overtaking)


def test_loss_takes_its_share_and_doubling_adds_its_own():
    assert 30 < 200 - len(letters(200, Faults(loss=0.25))) < 70
    assert 30 < len(letters(200, Faults(doubling=0.25))) - 200 < 70


def test_a_partition_cuts_both_ways_for_its_time():
    heard = letters(10, Faults(delay_s=(0.0001, 0.0001), partitions=(Partition((NodeId("b"),), 0.0025, 0.0065),)))
    assert [0, 1, 2, 7, 8, 9] == heard


def test_when_calm_has_come_nothing_is_lost_late_or_doubled():
    assert list(range(50)) == letters(50, Faults(loss=0.9, doubling=0.9, delay_s=(0.001, 5.0), calm_after_s=0.0))


def test_a_crash_takes_machine_timers_and_children_and_a_restart_brings_the_next_incarnation():
    lives = []

    def build(incarnation):
        lives.append((incarnation, Script(open=[SetTimer("t", 2.0), Spawn("x", 1)])))
        return lives[-1][1]

    simulation = world(faults=Faults(crashes=(Crash(NodeId("a"), 1.0, 4.0),)), spawn=lambda address, recipe: Script())
    simulation.add(A, build, "open")
    simulation.run(3.0)
    assert () == simulation.alive()
    simulation.run(10.0)
    assert [1, 2] == [incarnation for incarnation, _ in lives]
    assert [[(0.0, "open")], [(5.0, "open"), (5.0, TimerFired("t"))]] == [machine.heard for _, machine in lives]


def test_slow_work_of_an_earlier_incarnation_is_not_answered():
    lives = []

    def build(incarnation):
        lives.append(Script(open=[Start("work")] if incarnation == 1 else []))
        return lives[-1]

    simulation = world(work=lambda task: task, faults=Faults(crashes=(Crash(NodeId("a"), 0.000001, 0.0),)))
    simulation.add(A, build, "open")
    simulation.run(10.0)
    assert [["open"], ["open"]] == [machine.events() for machine in lives]


class NoSevens(Invariant):
    def after(self, step):
        if step.event == 7:
            raise InvariantViolated("a seven was heard")


def sevens(seed):
    """Fail when the drawn number is 7."""
    simulation = world(seed, invariants=[NoSevens()])
    simulation.add(A, lambda _: Script(), simulation.random.randrange(10))
    return simulation.run(1.0)


def test_a_failure_names_its_seed_and_that_seed_fails_again_with_the_same_words():
    failure = first_failure(sevens, range(100))
    assert f"seed {failure.seed}, at 0.000000 s: InvariantViolated: a seven was heard" == failure.message.splitlines()[0]
    assert "a/machine 7" in failure.message
    with pytest.raises(SimulationFailed, match=f"replay with seed {failure.seed}"):
        sevens(failure.seed)
    with pytest.raises(SimulationFailed) as again:
        sweep(sevens, range(100))
    assert str(failure) == str(again.value)


def test_what_a_machine_raises_and_what_its_check_finds_are_failures_of_the_simulation():
    for method in ("handle", "check"):
        machine = Script()

        def broken(*_):
            raise ValueError("broken")

        setattr(machine, method, broken)
        simulation = world()
        simulation.add(A, lambda _, machine=machine: machine, "open")
        with pytest.raises(SimulationFailed, match="ValueError: broken"):
            simulation.run(1.0)


def test_an_invariant_of_the_end_is_looked_at_when_the_run_is_finished():
    class Unfinished(Invariant):
        def at_end(self, simulation):
            raise InvariantViolated(f"{simulation.now:g} s were not enough")

    with pytest.raises(SimulationFailed, match="at the end: 3 s were not enough"):
        world(invariants=[Unfinished()]).run(3.0).finish()


WORLDS = ["credit", "delivery", "deployment", "flush", "restarts", "slots", "splits", "watermark"]


def hashes_with(hash_seed):
    """Return the history digest of a few seeds of every world, from a fresh process with this `PYTHONHASHSEED`."""
    program = "\n".join(
        f"import test_simulated_{name}; print('{name}', [test_simulated_{name}.run(seed).history_hash() for seed in range(3)])"
        for name in WORLDS
    )
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_one_seed_is_one_history_in_every_process():
    first, second = hashes_with(1), hashes_with(2)
    assert len(WORLDS) == len(first)
    assert first == second


def test_two_seeds_are_two_histories():
    assert 2 == len({letters_hash(seed) for seed in (1, 2)})
    assert letters_hash(1) == letters_hash(1)


def letters_hash(seed):
    simulation = world(seed, Faults(delay_s=(0.001, 0.1)))
    simulation.add(A, lambda _: Script(open=[Send(B, "hello")]), "open")
    simulation.add(B, lambda _: Script())
    return simulation.run(10.0).history_hash()
