"""A cluster is looked at while it works: in one thread, in processes, and from a node that only knows two addresses."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

import actorflow as af
from actorflow.cluster.node import Node
from actorflow.config import Config
from actorflow.errors import ActorflowError, PlanError
from actorflow.ids import NodeId, split_address
from actorflow.inspection.cluster_view import ClusterView

DEADLINE_S = 20


class Visits(af.OperatorActor):
    """Counts the visits of each number, and answers questions."""

    count = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.count.set(self.count.get() + 1)
        ctx.emit((record, self.count.get()))

    def on_message(self, message, ctx):
        ctx.reply((message, ctx.parallel_index))


@contextlib.contextmanager
def visited(slots):
    pipeline = af.Pipeline("visits")
    numbers = pipeline.read(af.sources.generator(rate=2000)).map(lambda n: n % 10, name="last digit").key_by(lambda n: n)
    numbers.process(Visits(), name="visits").write(af.sinks.discard(), name="nowhere")
    with af.LocalCluster(slots=slots) as cluster:
        job = cluster.submit(pipeline, parallelism=2)
        assert job.wait_until(lambda: job.progress()[1] > 100, DEADLINE_S)
        yield cluster
        job.cancel()


@pytest.fixture(scope="module", params=["inline", pytest.param(2, marks=pytest.mark.slow)])
def cluster(request):
    with visited(request.param) as cluster:
        yield cluster


def test_the_tree_shows_every_actor_by_the_path_that_people_know(cluster):
    rows = {row.path: row for row in cluster.look().tree()}

    assert {"/job-manager", "/resource-manager", "/task-manager-1", "/jobs/visits"} <= rows.keys()
    assert {f"/jobs/visits/{operator}/{index}" for operator in ("source", "visits") for index in (0, 1)} <= rows.keys()
    assert (rows["/jobs/visits"].kind, rows["/jobs/visits/visits/1"].kind) == ("JobMaster", "visits -> nowhere")
    assert rows["/jobs/visits/visits/0"].view.metrics.records_in > 0


def test_the_tree_is_a_table_as_text(cluster):
    head, *lines = repr(cluster.look().tree()).splitlines()

    assert head.split() == ["path", "kind", "state", "inbox", "in/s", "out/s", "busy", "pressed", "restarts"]
    assert len(lines) == len(cluster.look().tree())


def test_the_state_of_a_key_is_read_where_the_key_is(cluster):
    view = cluster.look()
    counts = {digit: view.actor("/jobs/visits/visits").state(digit)["count"] for digit in range(10)}

    assert all(count > 0 for count in counts.values())
    refused = [(index, digit) for index in (0, 1) for digit in range(10) if _is_refused(view, index, digit)]
    assert sorted(digit for _, digit in refused) == list(range(10)), "each key belongs to one of the two"


def _is_refused(view, index, digit):
    with contextlib.suppress(PlanError):
        view.actor(f"/jobs/visits/visits/{index}").state(digit)
        return False
    with pytest.raises(PlanError, match=f"it belongs to /jobs/visits/visits/{1 - index}"):
        view.actor(f"/jobs/visits/visits/{index}").state(digit)
    return True


def test_the_last_records_are_shown_while_somebody_asks(cluster):
    tail = cluster.look().actor("/jobs/visits/visits/0").tail(3, wait="10s")

    assert len(tail) == 3
    assert all(0 <= digit < 10 and count > 0 for digit, count in tail)


def test_operators_are_told_nothing_unless_that_was_allowed(cluster):
    with pytest.raises(ActorflowError, match="only looks"):
        cluster.look().actor("/jobs/visits/visits/1").ask("who?")
    assert cluster.look(allow_write=True).actor("/jobs/visits/visits/1").ask("who?") == ("who?", 1)


def test_every_actor_has_a_story_a_mailbox_and_something_to_show(cluster):
    view = cluster.look()

    assert [line.event for line in view.actor("/job-manager").story(1)] == ["started"]
    assert view.actor("/jobs/visits").observe()["status"] == "running"
    assert view.actor("/jobs/visits/last digit/0").observe()["name"] == "source -> last digit (1/2)"
    assert view.actor("/task-manager-1").mailbox().data_depth == 0


def test_paths_that_lead_nowhere_are_refused_with_those_that_do(cluster):
    view = cluster.look()
    for path, known in {
        "/jobs/visit/visits/0": "under way: visits",
        "/jobs/visits/visits/2": r"visits/0\.\.1",
        "/nobody": r"tree\(\)",
    }.items():
        with pytest.raises(PlanError, match=known):
            view.actor(path)
    with pytest.raises(PlanError, match="say which"):
        view.actor("/jobs/visits/visits").observe()


def test_a_job_that_keeps_up_waits_for_its_sources(cluster):
    report = cluster.look().why_slow("visits")

    assert (report.job, report.status, report.error) == ("visits", "running", "")
    assert "/jobs/visits/visits/2" not in str(report)


def test_completion_knows_actors_and_operators(cluster):
    paths = cluster.look().paths()

    assert {"/jobs/visits", "/jobs/visits/last digit/1", "/jobs/visits/visits/0", "/task-manager-1"} <= set(paths)


def test_a_job_that_is_over_is_known_by_how_it_ended():
    pipeline = af.Pipeline("short")
    pipeline.read(af.sources.collection([1, 2])).write(af.sinks.discard())
    with af.LocalCluster(slots="inline") as cluster:
        cluster.submit(pipeline).wait("20s")
        view = cluster.look()
        [summary] = view.jobs().values()
        assert (summary.name, summary.status.value) == ("short", "finished")
        with pytest.raises(PlanError, match="over: it is finished"):
            view.actor("/jobs/short")


# --- processes -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_node_sees_all_the_same(tmp_path):
    with visited(2) as cluster:
        client = Node(NodeId("client"), Config.of({}, "test"), tmp_path)
        known = {split_address(row.address)[0] for row in cluster.look().tree()}
        for node in known:
            client.endpoint.learn(node, _endpoints(cluster, node))
        client.system.start()
        home = split_address(cluster.look().dispatcher)[0]
        view = ClusterView(client.system, lambda: (f"{home}/job-manager", f"{home}/resource-manager"))
        try:
            assert {row.path for row in view.tree()} >= {"/jobs/visits/visits/1", "/job-manager"}
            assert view.actor("/jobs/visits/visits").state(3)["count"] > 0
            assert view.actor("/jobs/visits").story(2)
            assert "system.run()" in view.actor("/jobs/visits/visits/0").stack()
            assert str(view.why_slow("visits")).startswith("job 'visits' is running")
        finally:
            client.system.shutdown(timeout_s=5)
            client.endpoint.close()


def _endpoints(cluster, node):
    endpoint = cluster._node.endpoint
    directory = endpoint.endpoints[0].removeprefix("ipc://").rpartition("/")[0]
    return (f"ipc://{directory}/{node}",)


def sleep_long(record):
    time.sleep(60)
    return record


@pytest.mark.slow
def test_a_worker_that_stands_in_user_code_is_named_and_its_stack_shown():
    pipeline = af.Pipeline("stuck")
    stream = pipeline.read(af.sources.generator(rate=100)).rebalance()
    stream.map(sleep_long, name="sleeper", slot_group="elsewhere").write(af.sinks.discard(), slot_group="elsewhere")
    with af.LocalCluster(slots=2) as cluster:
        job = cluster.submit(pipeline, parallelism=1)
        view = cluster.look()
        view.timeout_s = 0.5
        assert job.wait_until(lambda: _silent(view), DEADLINE_S)
        sleeper = view.actor("/jobs/stuck/sleeper/0")
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(sleeper.stack())) for _ in range(3)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()

        assert len(answers) == 3
        assert all(answer.startswith("main thread") and "time.sleep(60)" in answer for answer in answers)
        [culprit] = view.why_slow("stuck").culprits
        assert culprit.path == "/jobs/stuck/sleeper/0"
        assert "does not answer" in culprit.why
        assert "no answer" in {row.state for row in view.tree()}


def _silent(view):
    with contextlib.suppress(ActorflowError):
        return any(row.state == "no answer" for row in view.tree())
    return False
