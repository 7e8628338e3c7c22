"""The slot worker, message by message, on virtual time: what the JobMaster says to it and hears from it."""

from __future__ import annotations

import gc

import pytest
from msgspec.structs import replace

import actorflow as af
from actorflow.actor import ActorSystem, MachineActor, SimulatedDispatcher
from actorflow.api.submission import prepare
from actorflow.clock import ManualClock
from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.protocol.jobs.deployment import (
    CancelSubtask,
    SubtaskCancelled,
    SubtaskFailed,
    SubtaskFinished,
    SubtaskStarted,
    SubtaskTotals,
)
from actorflow.protocol.jobs.job_messages import (
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    LinkBroken,
    OpenDeployment,
    OutputCommitted,
    ProgressReported,
    ResultChunk,
    WorkerFailed,
)
from actorflow.protocol.jobs.orders import TO_WORKERS
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested
from actorflow.protocol.machine import Report, Send
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.protocol.transfer.correspondence import Correspondence, ReliableMachine
from actorflow.protocol.transfer.delivery import Envelope, PeerStarted, ReliableSender
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.runtime.channels.loopback import LoopbackPlane
from actorflow.runtime.messages import control_codec
from actorflow.runtime.subtasks.context import AsyncThread
from actorflow.runtime.subtasks.subtask import Subtask
from actorflow.runtime.workers.deployment import Site
from actorflow.runtime.workers.directory import packed, subtask_name
from actorflow.runtime.workers.slot_worker import SlotWorker
from actorflow.wire import pickling
from actorflow.wire.user_code import dumps_code

ALLOCATION = Allocation("1.1")
MASTER, WORKER = Address("jm/master"), Address("sim/worker")


class Master:
    """Stands for the JobMaster: says what it is told to say, and keeps what it hears."""

    def __init__(self, heard):
        self.heard = heard

    def handle(self, event, now):
        if isinstance(event, TO_WORKERS):
            return [Report(PeerStarted(WORKER, 1)), Send(WORKER, event)]
        self.heard.append(event)
        return []

    def check(self):
        pass


class Wire:
    """Carries messages between the systems, as bytes, except those that it loses."""

    def __init__(self, systems):
        self.systems = {system.node: system for system in systems}
        self.codec = control_codec()
        self.loses = lambda _: False
        for system in systems:
            system.router = self

    def send(self, to, message, *, control, reply_to=None, correlation=None):
        node, path = split_address(to)
        if not self.loses(message):
            message = self.codec.decode(self.codec.encode(message))
            self.systems[node].deliver(path, message, control=control, reply_to=reply_to, correlation=correlation)


class Bench:
    """One worker with the whole job, and the JobMaster's ear, in a simulation."""

    def __init__(self, pipeline, workers=("sim/worker",), **site):
        self.heard, self.announced = [], []
        self.clock = ManualClock()
        self.dispatcher = SimulatedDispatcher(7)
        self.system, masters = (ActorSystem(NodeId(name), clock=self.clock, dispatcher=self.dispatcher) for name in ("sim", "jm"))
        self.wire = Wire([self.system, masters])
        codec = self.wire.codec
        correspondence = Correspondence(ReliableSender(MASTER, 1, codec.encode), ReliableReceiver(MASTER, 1, codec.decode))
        self.master = masters.spawn(MachineActor, ReliableMachine(Master(self.heard), correspondence, TO_WORKERS), name="master")
        site = Site(self.system, LoopbackPlane(self.system), AsyncThread(), watched=False, **site)
        self.worker = self.system.spawn(SlotWorker, ALLOCATION, site, lambda _: None, self.announced.append, name="worker")
        submission = prepare(pipeline, default_parallelism=len(workers))
        self.subtasks = submission.execution.subtasks()
        self.mine = tuple(s for s in self.subtasks if workers[s.index % len(workers)] == "sim/worker")
        self.opening = OpenDeployment(
            JobId("job"),
            3,
            3,
            ALLOCATION,
            Address("jm/master"),
            submission.payload,
            {},
            self.mine,
            tuple(Address(workers[s.index % len(workers)]) for s in self.subtasks),
            {NodeId(Address(w).partition("/")[0]): () for w in workers},
        )

    def say(self, *messages):
        """Say something as the JobMaster, if it says such things, else to the worker directly."""
        for message in messages:
            (self.master if isinstance(message, TO_WORKERS) else self.worker).tell_control(message)
        self.dispatcher.run_until_idle()
        return self

    def news(self, *kinds):
        """Return and forget what the JobMaster has heard, progress left out unless asked for."""
        heard = [m for m in self.heard if (isinstance(m, kinds) if kinds else not isinstance(m, ProgressReported))]
        self.heard.clear()
        return heard


def count_words(directory=None):
    pipeline = af.Pipeline("words")
    counts = pipeline.read(af.sources.collection(["a b", "a"])).flat_map(str.split).key_by(lambda word: word).count()
    counts.map(str).write(af.sinks.discard() if directory is None else af.sinks.text(str(directory)))
    return pipeline


def started(bench):
    bench.say(bench.opening).say(*(DeploySubtask(subtask, 3) for subtask in bench.mine))
    return bench


def finish_sources(bench):
    source = bench.mine[0]
    assigned = SplitAssigned(source, 3, 1, 0, dumps_code(["a b", "a"]))
    bench.say(NoMoreSplits(source, 3, 2), assigned, assigned)
    bench.say(assigned, NoMoreSplits(source, 3, 2), NoMoreSplits(source, 3, 2))
    return bench


def test_it_builds_once_and_starts_when_told():
    bench = Bench(count_words()).say()
    opened = bench.say(bench.opening, bench.opening).news()
    news = bench.say(*(DeploySubtask(subtask, 3) for subtask in bench.mine)).news()
    source = bench.mine[0]

    assert opened == [DeploymentOpened(3, ALLOCATION)]
    assert sorted(map(repr, news)) == sorted(
        map(
            repr,
            [SubtaskStarted(subtask, 3) for subtask in bench.mine] + [SplitRequested(source, 3, 1, Address("sim/worker"))],
        )
    )


def test_it_reads_what_it_is_assigned_and_finishes():
    bench = started(Bench(count_words()))
    bench.news()
    news = finish_sources(bench).news(SubtaskFinished, SplitFinished, ProgressReported)
    progress = [m for m in news if isinstance(m, ProgressReported)][-1]

    assert [m.subtask for m in news if isinstance(m, SubtaskFinished)] == list(bench.mine)
    assert [m for m in news if isinstance(m, SplitFinished)] == [SplitFinished(bench.mine[0], 3, 0)]
    assert (progress.records_in, progress.records_out) == (2, 3)


@pytest.mark.parametrize("stale", [2, 4])
def test_messages_of_another_attempt_are_dropped(stale):
    bench = started(Bench(count_words()))
    bench.news()
    source = bench.mine[0]
    bench.say(SplitAssigned(source, stale, 1, 0, dumps_code(["x"])), CancelSubtask(source, stale), CommitOutput(stale))

    assert bench.news() == []


def test_output_is_visible_only_after_the_commit(tmp_path):
    bench = finish_sources(started(Bench(count_words(tmp_path))))
    [finished] = [m for m in bench.news(SubtaskFinished) if m.committables]
    before = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    committed = bench.say(CommitOutput(3)).news(OutputCommitted)
    [written] = [path.read_text().split("\n") for path in tmp_path.iterdir()]

    assert finished.subtask == bench.mine[-1]
    assert (before, committed) == ([], [OutputCommitted(3, ALLOCATION)])
    assert sorted(written) == ["", "('a', 1)", "('a', 2)", "('b', 1)"]


def test_a_cancel_leaves_nothing_behind(tmp_path):
    bench = started(Bench(count_words(tmp_path)))
    bench.say(SplitAssigned(bench.mine[0], 3, 1, 0, dumps_code(["a b", "a"]))).news()
    writing = list(tmp_path.iterdir())
    news = bench.say(*(CancelSubtask(subtask, 3) for subtask in bench.mine)).news(SubtaskCancelled)

    assert sorted(m.subtask for m in news) == sorted(bench.mine)
    assert (len(writing), list(tmp_path.iterdir())) == (1, [])


def subtasks_in_memory(system):
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Subtask) and one.ctx.system is system]


def test_of_a_region_that_comes_back_again_and_again_nothing_earlier_stays_in_memory():
    bench = started(Bench(count_words(), ("sim/worker", "sim/other")))
    for number in (4, 5, 6):
        bench.say(*(CancelSubtask(subtask, 3) for subtask in bench.mine))
        bench.say(replace(bench.opening, number=number)).say(*(DeploySubtask(subtask, 3) for subtask in bench.mine))
    assert [DeploymentOpened(3, ALLOCATION)] * 4 == bench.news(DeploymentOpened)
    assert len(bench.mine) == len(subtasks_in_memory(bench.system))


def test_user_code_that_raises_is_reported_with_operator_and_record():
    pipeline = af.Pipeline("fails")
    pipeline.read(af.sources.collection([1, 0])).map(lambda n: 1 // n, name="divide").write(af.sinks.discard())
    bench = started(Bench(pipeline))
    bench.news()
    bench.say(SplitAssigned(bench.mine[0], 3, 1, 0, dumps_code([1, 0])))
    [failed] = bench.news(SubtaskFailed)

    assert failed.error.kind == "ZeroDivisionError"
    assert (failed.error.context["operator"], failed.error.context["record"]) == ("divide", "0")


def test_a_plan_that_cannot_be_loaded_is_a_failure_of_the_job():
    bench = Bench(count_words())
    broken = OpenDeployment(
        JobId("job"), 3, 3, ALLOCATION, Address("jm/master"), b"not a plan", {}, bench.mine, bench.opening.workers, {}
    )
    [failed] = bench.say(broken).news()

    assert (failed.subtask, failed.attempt) == (bench.mine[0], 3)


@pytest.mark.parametrize("finished", [False, True])
def test_a_broken_link_to_another_worker_fails_the_worker_after_a_moment_whatever_has_finished(finished):
    bench = Bench(count_words(), workers=("sim/worker", "other/worker")).say()
    started(bench)
    if finished:
        finish_sources(bench)
    bench.news()
    bench.say(LinkBroken("stranger"), LinkBroken("jm"), LinkBroken("other"))
    at_once = bench.news()
    bench.dispatcher.run_for(2.0)
    [failed] = bench.news(WorkerFailed)

    assert at_once == []
    assert (failed.attempt, failed.allocation) == (3, ALLOCATION)
    assert "connection from sim to other broke" in failed.error.message


def test_it_says_that_it_is_up_until_it_has_a_deployment():
    bench = Bench(count_words()).say()
    bench.dispatcher.run_for(2.5)
    assert bench.announced == [WORKER] * 3
    bench.say(bench.opening)
    bench.dispatcher.run_for(10.0)
    assert bench.announced == [WORKER] * 3


class Loses:
    """Loses every message the first time it is sent."""

    def __init__(self):
        self.seen = []

    def __call__(self, message):
        lost = message not in self.seen
        self.seen.append(message)
        return lost


def test_what_is_lost_between_worker_and_job_master_is_told_again_once_and_in_order(tmp_path):
    news = []
    for loses in (lambda _: False, Loses()):
        bench = Bench(count_words(tmp_path))
        bench.wire.loses = loses
        source = bench.mine[0]
        for orders in (
            [bench.opening],
            [DeploySubtask(subtask, 3) for subtask in bench.mine],
            [SplitAssigned(source, 3, 1, 0, dumps_code(["a b", "a"]))],
            [NoMoreSplits(source, 3, 2)],
            [CommitOutput(3)],
        ):
            bench.say(*orders)
            bench.dispatcher.run_for(60.0)
        news.append([type(m).__name__ for m in bench.news()])

    assert news[0].count("SubtaskFinished") == len(bench.mine)
    assert sorted(news[0]) == sorted(news[1])
    assert news[0][-1] == news[1][-1] == "OutputCommitted"


def test_what_cannot_be_told_fails_the_worker():
    pipeline = af.Pipeline("large")
    pipeline.read(af.sources.collection([1])).map(lambda n: "x" * 10_000).write(af.sinks.collect())
    bench = started(Bench(pipeline, message_bytes_max=5_000))
    bench.say(SplitAssigned(bench.mine[0], 3, 1, 0, dumps_code([1])))
    [failed] = bench.news(WorkerFailed)

    assert failed.error.message.startswith("'ResultChunk' cannot be sent to jm/master: it has 10")


def test_what_cannot_be_read_fails_the_worker():
    bench = started(Bench(count_words()))
    bench.news()
    bench.worker.tell_control(Envelope(MASTER, 1, 1, 2 + len(bench.mine), b"not a message"))
    bench.say()
    [failed] = bench.news(WorkerFailed)

    assert failed.error.message.startswith("there is no reading what came from jm/master")


class Greeter(af.OperatorActor):
    """Answers with what `on_start` has made."""

    def on_start(self, ctx):
        self.greeting = "hello"

    def on_record(self, record, ctx):
        ctx.emit(record)

    def on_message(self, message, ctx):
        ctx.emit(f"{self.greeting} {message}")


def test_a_message_that_comes_before_the_start_waits_for_it():
    pipeline = af.Pipeline("greet")
    pipeline.read(af.sources.collection([])).process(Greeter(), name="greeter").write(af.sinks.collect())
    bench = Bench(pipeline).say()
    bench.say(bench.opening)
    subtask = bench.system.resolve(f"sim/worker/{subtask_name(bench.mine[0])}")
    subtask.tell(packed("greeter", "early"))
    bench.say()
    bench.news()
    bench.say(DeploySubtask(bench.mine[0], 3))
    news = bench.news(ResultChunk, SubtaskFailed)

    assert [pickling.loads(chunk.payload) for chunk in news] == [["hello early"]]


def test_a_message_that_comes_after_the_end_is_a_dead_letter():
    pipeline = af.Pipeline("greet")
    pipeline.read(af.sources.collection([])).process(Greeter(), name="greeter").write(af.sinks.collect())
    bench = started(Bench(pipeline).say())
    bench.say(NoMoreSplits(bench.mine[0], 3, 1))
    before = bench.system.dead_letters.count
    bench.system.resolve(f"sim/worker/{subtask_name(bench.mine[0])}").tell(packed("greeter", "late"))
    bench.say()

    assert bench.news(SubtaskFinished, SubtaskFailed) == [SubtaskFinished(bench.mine[0], 3, totals=SubtaskTotals())]
    assert bench.system.dead_letters.count == before + 1


class Unwritable(af.Sink):
    """A sink that cannot be opened."""

    def open(self, ctx):
        raise OSError("no such place")


def test_the_subtask_that_cannot_be_built_is_the_one_that_failed():
    pipeline = af.Pipeline("unwritable")
    pipeline.read(af.sources.collection([1])).rebalance().map(str, chain="head").write(Unwritable())
    bench = Bench(pipeline).say()
    [failed] = bench.say(bench.opening).news(SubtaskFailed)

    assert (failed.subtask, failed.error.message) == (bench.mine[-1], "no such place")
