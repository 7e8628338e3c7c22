"""The shell performs every effect and delivers every event."""

import threading

from actorflow.actor import Actor, ActorSystem, MachineActor
from actorflow.errors import ActorflowError, InvariantViolated
from actorflow.ids import NodeId
from actorflow.protocol.machine import (
    CancelTimer,
    ChildEnded,
    Done,
    Failed,
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


class Scripted:
    """A machine that answers an event with the effects written for it, and remembers what it was given."""

    def __init__(self, script):
        self.script = script
        self.events = []
        self.possible = True

    def handle(self, event, now):
        self.events.append((now, event))
        return self.script.get(event, ()) if not isinstance(event, ChildEnded | WorkFailed) else ()

    def observe(self):
        return len(self.events)

    def check(self):
        if not self.possible:
            raise InvariantViolated("impossible")


class Child(Actor):
    def on_receive(self, message):
        if message == "finish":
            self.ctx.finish()
        else:
            raise message


def spawn_child(ctx, name, recipe):
    if recipe is None:
        raise LookupError("no recipe")
    return ctx.spawn(recipe, name=name)


def events(machine):
    return [event for _now, event in machine.events]


def test_sends_reach_actors_here_and_become_dead_letters_elsewhere(sim):
    inbox = Scripted({})
    sim.spawn(MachineActor, inbox, name="to")
    sim.spawn(MachineActor, Scripted({"go": [Send("sim/to", "hello"), Send("sim/nobody", "lost")]}), name="m").tell("go")
    sim.dispatcher.run_until_idle()
    assert events(inbox) == ["hello"]
    assert [letter.message for letter in sim.dead_letters.last()] == ["lost"]


def test_a_send_that_raises_is_a_lost_message_and_the_other_effects_are_performed(sim):
    class Refusing:
        def send(self, to, message, **_options):
            raise ActorflowError("refused")

    sim.router = Refusing()
    reports = []
    machine = Scripted({"go": [Send("elsewhere/a", "lost"), Report("reported"), SetTimer("t", 1.0)]})
    ref = sim.spawn(MachineActor, machine, on_report=reports.append, name="m")
    ref.tell("go")
    sim.dispatcher.run_for(2.0)
    assert (reports, events(machine), ref.is_alive()) == (["reported"], ["go", TimerFired("t")], True)
    assert [(letter.target, letter.message) for letter in sim.dead_letters.last()] == [("elsewhere/a", "lost")]


def test_the_story_keeps_an_outline_of_large_messages(sim):
    machine = Scripted({b"x" * 100_000: [Send("sim/m", "y" * 100_000)]})
    ref = sim.spawn(MachineActor, machine, name="m")
    ref.tell(b"x" * 100_000)
    sim.dispatcher.run_until_idle()
    entry = ref.story()[1]
    assert repr(entry.event) == "<100,000 bytes>"
    assert repr(entry.caused) == f"(Send(to='sim/m', message='{'y' * 60}'... (100,000 characters)),)"


def test_timers_fire_in_order_are_replaced_and_cancelled(sim):
    machine = Scripted(
        {
            "go": [SetTimer("late", 9.0), SetTimer("a", 1.0), SetTimer("b", 2.0), SetTimer("gone", 1.5), SetTimer("late", 3.0)],
            TimerFired("a"): [CancelTimer("gone"), CancelTimer("never set")],
        }
    )
    sim.spawn(MachineActor, machine, name="m").tell("go")
    sim.dispatcher.run_for(20.0)
    assert machine.events == [(0.0, "go"), (1.0, TimerFired("a")), (2.0, TimerFired("b")), (3.0, TimerFired("late"))]


def test_a_timer_cancelled_when_it_was_due_already_does_not_fire(sim):
    machine = Scripted({"go": [SetTimer("a", 1.0)], "cancel": [CancelTimer("a")]})
    ref = sim.spawn(MachineActor, machine, name="m")
    ref.tell("go")
    sim.dispatcher.run_until_idle()
    ref.tell_control("cancel")
    sim.clock.advance(1.0)
    sim.dispatcher.run_until_idle()
    assert events(machine) == ["go", "cancel"]


def test_children_are_spawned_stopped_and_their_endings_delivered(sim):
    machine = Scripted(
        {
            "go": [Spawn("a", Child), Spawn("b", Child), Spawn("c", Child), Spawn("broken", None)],
            "stop": [StopChild("a"), StopChild("x")],
        }
    )
    ref = sim.spawn(MachineActor, machine, spawn=spawn_child, name="m")
    ref.tell("go")
    sim.dispatcher.run_until_idle()
    ref.tell("stop")
    sim.resolve("/m/b").tell("finish")
    sim.resolve("/m/c").tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    endings = {event.name: event.ending for event in events(machine) if isinstance(event, ChildEnded)}
    assert (endings["a"], endings["b"]) == (Stopped(), Done())
    assert (endings["c"].error.kind, endings["broken"].error.kind) == ("ValueError", "LookupError")
    assert isinstance(endings["broken"], Failed)


def test_work_answers_with_an_event_on_the_pool():
    system = ActorSystem(NodeId("real"))
    system.start()
    done = threading.Event()
    threads = []

    def work(divisor):
        threads.append(threading.current_thread().name)
        return 6 / divisor

    machine = Scripted({"go": [Start(2), Start(0)], WorkDone(2, 3.0): [Report("done")]})
    reports = []
    ref = system.spawn(MachineActor, machine, work=work, on_report=lambda value: (reports.append(value), done.set()), name="m")
    ref.tell("go")
    assert done.wait(5.0)
    while len(events(machine)) < 3:
        ref.observe()
    assert system.shutdown()
    [failure] = [event for event in events(machine) if isinstance(event, WorkFailed)]
    assert (failure.work, failure.error.kind, reports) == (0, "ZeroDivisionError", ["done"])
    assert all("pool" in name for name in threads)


def test_work_is_a_step_of_its_own_in_a_simulation(sim):
    machine = Scripted({"go": [Start(2)]})
    sim.spawn(MachineActor, machine, work=lambda item: item + 1, name="m").tell("go")
    sim.dispatcher.run_until_idle()
    assert events(machine) == ["go", WorkDone(2, 3)]


def test_observe_and_story_show_the_machine(sim):
    machine = Scripted({"go": [Report(1), CancelTimer("x")]})
    ref = sim.spawn(MachineActor, machine, name="m")
    ref.tell("go")
    assert ref.observe() == 0 or ref.observe() == 1
    sim.dispatcher.run_until_idle()
    assert ref.observe() == 1
    [entry] = ref.story(1)
    assert (entry.event, entry.caused) == ("go", (Report(1), CancelTimer("x")))


def test_a_simulation_checks_the_machine_after_every_event(sim):
    machine = Scripted({})
    ref = sim.spawn(MachineActor, machine, name="m")
    machine.possible = False
    ref.tell("go")
    sim.dispatcher.run_until_idle()
    assert ref.is_alive() is False


def test_a_machine_given_as_a_function_is_made_afresh_on_restart(sim):
    from actorflow.actor import Supervise
    from actorflow.protocol.supervision import restart

    made = []

    def make():
        made.append(Scripted({}))
        return made[-1]

    ref = sim.spawn(MachineActor, make, name="m", supervise=Supervise(decide=restart))
    ref.tell(["unhashable: the script's lookup raises"])
    ref.tell("then")
    sim.dispatcher.run_until_idle()
    assert [events(machine) for machine in made] == [[["unhashable: the script's lookup raises"]], ["then"]]
