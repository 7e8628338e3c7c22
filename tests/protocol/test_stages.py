"""Which stages run when, and which run again: those that had not finished, and those whose partitions are gone, with all that had read them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_harness import ERROR, READ, WRITE

from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId
from actorflow.plan.stages import Stage
from actorflow.protocol.jobs.deployment import FinishedStages, SubtaskFinished
from actorflow.protocol.jobs.job_messages import WrittenPartitions
from actorflow.protocol.jobs.stages import Stages
from actorflow.protocol.transfer.partitions import PartitionsAt

READER, WRITER = SubtaskId(READ, 0), SubtaskId(WRITE, 0)
LOST = ErrorInfo("PartitionLost", "it is gone", context={"partition": "read/0"})


def line(*names, groups=None):
    """Stages of one subtask each, one after the other; the last one has sinks."""
    found = []
    for number, name in enumerate(names):
        group = (groups or {}).get(name, "default")
        found.append(Stage((name,), tuple(names[max(0, number - 1) : number]), (group,), number < len(names) - 1))
    return found


def subtasks(found):
    return [SubtaskId(vertex, 0) for stage in found for vertex in stage.vertices]


def turn(machine):
    machine.check()
    started = [str(subtask) for subtask in machine.of_turn()]
    machine.check()
    return started


def written(*names):
    """The stages of a line of which these have finished."""
    found = line("a", "b", "c")
    machine = Stages(found, subtasks(found))
    for name in names:
        assert [f"{name}/0"] == turn(machine)
        assert machine.finished(SubtaskFinished(SubtaskId(name, 0), 1, partitions=PartitionsAt(f"at {name}")))
    return machine


def test_a_stage_begins_once_and_when_all_of_what_it_reads_is_written():
    machine = written()
    assert ["a/0"] == turn(machine)
    assert [] == turn(machine)
    machine.finished(SubtaskFinished(SubtaskId("a", 0), 1, partitions=PartitionsAt("at a")))
    assert ["b/0"] == turn(machine)
    assert (WrittenPartitions(SubtaskId("a", 0), PartitionsAt("at a")),) == machine.read_by(SubtaskId("b", 0))


def test_without_stages_all_begins_and_nothing_is_kept():
    machine = Stages((), [READER, WRITER])
    assert (READER, WRITER) == machine.of_turn() == machine.of_turn()
    assert not machine.finished(SubtaskFinished(READER, 1))
    assert not machine.has_finished(READER)
    assert () == machine.read_by(WRITER)


def test_a_new_run_begins_behind_what_is_written():
    machine = written("a")
    assert ["b/0"] == turn(machine)
    machine.begin_run()
    assert machine.has_finished(SubtaskId("a", 0))
    assert ["b/0"] == turn(machine)


def test_what_sinks_have_prepared_ends_with_the_run():
    machine = written("a", "b", "c")
    machine.begin_run()
    assert ["c/0"] == turn(machine)


def test_what_is_lost_is_written_again_and_read_again_by_all_who_had():
    machine = written("a", "b")
    assert ["c/0"] == turn(machine)
    machine.forget_lost(dataclasses.replace(LOST, context={"partition": "a/0"}))
    machine.begin_run()
    assert ["a/0"] == turn(machine)
    assert not machine.has_finished(SubtaskId("b", 0))


def written_at(**places):
    """A line of stages of which these have finished, each on a node."""
    found = line("a", "b", "c", "d")
    machine = Stages(found, subtasks(found))
    for name, node in places.items():
        turn(machine)
        machine.finished(SubtaskFinished(SubtaskId(name, 0), 1, partitions=PartitionsAt(f"/{node}/1", f"{node}/partitions")))
    return machine


def written_losing(node, **places):
    machine = written_at(**places)
    machine.lose(node)
    return machine


def rerun(machine):
    """Return the stages that a new run has to run."""
    machine.begin_run()
    machine.check()
    return "".join(stage.vertices[0] for stage in machine.observe() if stage.state != "finished")


def test_all_that_was_lost_with_a_node_is_written_again_at_once_if_it_is_to_be_read():
    assert "abcd" == rerun(written_losing("one", a="one", b="one", c="one"))
    assert "cd" == rerun(written_losing("two", a="one", b="one", c="two"))


def test_what_nobody_is_to_read_again_is_not_written_again():
    assert "d" == rerun(written_losing("one", a="one", b="one", c="two"))
    assert "bcd" == rerun(written_losing("two", a="one", b="two", c="two"))


def test_who_misses_one_partition_says_what_else_is_gone_with_it():
    machine = written_at(a="one", b="one")
    context = {"partition": "b/0", "lost with": "/one"}
    machine.forget_lost(dataclasses.replace(LOST, context=context))
    assert "abcd" == rerun(machine)


def kept_by(machine):
    (work,) = (effect.work for effect in machine.keep())
    return work.finished


def test_the_next_leader_goes_on_behind_what_is_kept():
    found = line("a", "b", "c")
    machine = Stages(found, subtasks(found), kept_by(written("a", "b")))
    machine.begin_run()
    assert ["c/0"] == turn(machine)
    assert (WrittenPartitions(SubtaskId("b", 0), PartitionsAt("at b")),) == machine.read_by(SubtaskId("c", 0))


def test_what_finishes_while_something_is_kept_is_kept_after_it():
    machine = written("a")
    (first,) = (effect.work for effect in machine.keep())
    turn(machine)
    machine.finished(SubtaskFinished(SubtaskId("b", 0), 1))
    assert [] == machine.keep()
    (second,) = (effect.work for effect in machine.kept(first))
    assert (["a/0"], ["a/0", "b/0"]) == tuple([str(news.subtask) for news in work.finished.subtasks] for work in (first, second))
    assert [] == machine.kept(second)


def test_of_a_stage_that_has_not_finished_or_has_sinks_nothing_is_kept():
    assert [] == written().keep()
    assert ["a/0", "b/0"] == [str(news.subtask) for news in kept_by(written("a", "b", "c")).subtasks]


def test_what_was_written_for_another_parallelism_does_not_count():
    found = line("a", "b", "c")
    wider = [*subtasks(found), SubtaskId("b", 1)]
    machine = Stages(found, sorted(wider), kept_by(written("a", "b")))
    machine.begin_run()
    assert ["a/0"] == turn(machine)


@pytest.mark.parametrize("error", [ERROR, dataclasses.replace(LOST, context={"partition": "nobody/0"})])
def test_another_failure_costs_nothing_that_is_written(error):
    machine = written("a", "b")
    assert not machine.misses(error)
    machine.forget_lost(error)
    assert ["c/0"] == turn(machine)


def test_slot_groups_take_turns():
    found = [Stage(("a",), (), ("one",), True), Stage(("b",), (), ("two",), True), Stage(("c",), (), ("one",), True)]
    machine = Stages(found, subtasks(found))
    assert ["a/0", "c/0"] == turn(machine)
    machine.finished(SubtaskFinished(SubtaskId("a", 0), 1))
    assert [] == turn(machine)
    machine.finished(SubtaskFinished(SubtaskId("c", 0), 1))
    assert ["b/0"] == turn(machine)


@given(st.data())
def test_every_order_of_ends_failures_and_losses_leads_to_an_end(data):
    """Stages that read any earlier ones: each subtask runs behind what it reads, and all finish when failures stop."""
    count = data.draw(st.integers(1, 6))
    found = []
    for number in range(count):
        reads = data.draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        read = tuple(f"v{other}" for other in sorted(reads))
        found.append(Stage((f"v{number}",), read, (data.draw(st.sampled_from("xy")),), data.draw(st.booleans())))
    members = [SubtaskId(f"v{number}", index) for number in range(count) for index in range(data.draw(st.integers(1, 2)))]
    machine, kept, keeping = Stages(found, members), FinishedStages(), []
    machine.begin_run()
    running, failures = list(machine.of_turn()), data.draw(st.integers(0, 4))
    while running:
        machine.check()
        kinds = ("ends", "fails", "loses", "comes back", "leader is lost")
        happens = data.draw(st.sampled_from(kinds)) if failures else "ends"
        subtask = running.pop(data.draw(st.integers(0, len(running) - 1)))
        failures -= happens != "ends"
        if happens == "ends":
            if machine.finished(SubtaskFinished(subtask, 1)):
                keeping += machine.keep()
            if keeping and data.draw(st.booleans()):
                (work,) = (effect.work for effect in keeping)
                kept, keeping = work.finished, machine.kept(work)
            running += machine.of_turn()
        elif happens == "leader is lost":
            machine, keeping = Stages(found, members, kept), []
            machine.begin_run()
            running = list(machine.of_turn())
        elif happens == "comes back":
            machine.run_again([member for member in members if member.vertex == subtask.vertex])
            running = [member for member in running if member.vertex != subtask.vertex]
            running += [member for member in members if member.vertex == subtask.vertex]
        else:
            producers = [partition.producer for partition in machine.read_by(subtask)]
            if happens == "loses" and producers:
                machine.forget_lost(dataclasses.replace(LOST, context={"partition": str(producers[0])}))
            machine.begin_run()
            running = list(machine.of_turn())
    machine.check()
    assert all(machine.has_finished(member) for member in members)


def test_a_stage_with_sources_or_what_is_lost_of_one_runs_again():
    found = [Stage(("a",), (), ("x",), True), Stage(("b",), ("a",), ("x",), True), Stage(("c",), ("b",), ("x",), False)]
    members = [SubtaskId(name, index) for name in ("a", "b") for index in range(2)] + [SubtaskId("c", 0)]
    machine = Stages(found, members)
    turn(machine)
    machine.finished(SubtaskFinished(members[0], 1, partitions=PartitionsAt("/one/0")))
    machine.begin_run()
    assert ["a/0", "a/1"] == turn(machine)
    for member in members[:2]:
        machine.finished(SubtaskFinished(member, 2, partitions=PartitionsAt("/two/0")))
    assert ["b/0", "b/1"] == turn(machine)
    machine.finished(SubtaskFinished(members[2], 2, partitions=PartitionsAt("/one/1")))
    machine.lose("/two")
    machine.begin_run()
    assert ["a/0", "a/1"] == turn(machine)
    assert not machine.has_finished(members[2])
