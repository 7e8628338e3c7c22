"""The ResourceManager's actor: what it is asked for by whom, and what the options make of it."""

import pytest

from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.config import Config, layered
from actorflow.errors import ConfigError
from actorflow.ids import ActorPath, Address, JobId, NodeId
from actorflow.protocol.jobs.job_messages import JobProgressed
from actorflow.protocol.nodes.slot_messages import SlotsGranted, SlotsOffered, SlotsRequested
from actorflow.runtime.jobs.resource_manager import Driving, spawn_resource_manager

JOB = JobId("words-1")


class Ear(Actor):
    """Stands for the JobMaster: keeps what it hears."""

    def __init__(self, heard):
        super().__init__()
        self.heard = heard

    def on_receive(self, message):
        self.heard.append(message)


class Slots:
    """A ResourceManager of these options, with two TaskManagers of three slots each, one of which is in use."""

    def __init__(self, **options):
        self.system = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))
        self.heard, self.waits = [], []
        self.ear = self.system.spawn(Ear, self.heard, name="ear")
        config = layered(Config.of(options))
        self.manager = spawn_resource_manager(
            self.system,
            config,
            ActorPath("/resource-manager"),
            epoch=1,
            awaited=lambda report: self.waits.append(report.error.message),
        )
        self.tell(*(SlotsOffered(Address(f"tm-{number}/task-manager"), 1, 3) for number in range(2)), self.request(1, 1))

    def request(self, number, slots):
        return SlotsRequested(JOB, number, slots, Address("sim/ear"))

    def tell(self, *messages):
        for message in messages:
            self.manager.tell_control(message)
        self.system.dispatcher.run_until_idle()

    def task_managers(self, number):
        """Return on how many TaskManagers the slots of a request are."""
        [granted] = [each for each in self.heard if isinstance(each, SlotsGranted) and each.request == number]
        return len({lease.slot.task_manager for lease in granted.leases})


def test_what_is_not_for_it_is_dropped_with_a_warning_and_it_goes_on(caplog):
    slots = Slots()
    slots.tell(JobProgressed(JOB, 1, 2, 3), "garbage", slots.request(2, 1))
    dropped = [record.message for record in caplog.records if "dropped" in record.message]
    assert [f"the ResourceManager dropped a message that is not for it: '{kind}'" for kind in ("JobProgressed", "str")] == dropped
    assert 1 == slots.task_managers(2)


@pytest.mark.parametrize(("mode", "number"), [("slots", 2), ("none", 1)])
def test_a_job_is_spread_over_task_managers_or_packed_onto_few(mode, number):
    slots = Slots(**{"taskmanager.load-balance.mode": mode})
    slots.tell(slots.request(2, 2))
    assert number == slots.task_managers(2)


def test_what_a_job_lacks_is_said_with_the_sums():
    slots = Slots()
    slots.tell(slots.request(2, 6))
    assert ["job 'words-1' needs 6 slots, 5 of 6 registered on 2 TaskManagers are free"] == slots.waits


def test_a_limit_that_leaves_no_room_for_one_task_manager_is_refused():
    config = layered(Config.of({"actorflow.resourcemanager.driver": "a:b", "slotmanager.number-of-slots.max": 3}))
    system = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))
    with pytest.raises(ConfigError, match="is 3, and a TaskManager has 4 slots: none could be started"):
        spawn_resource_manager(system, config, ActorPath("/rm"), epoch=1, awaited=print, driving=Driving(None, "tm", 4))
