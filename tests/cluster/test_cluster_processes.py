"""Clusters of separate processes, as users have them: started, submitted to, losing processes, stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from cluster_processes import endless, running_cluster, until

import actorflow as af
from actorflow.errors import UserFunctionError
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.nodes.client_messages import DescribeCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_cluster(tmp_path_factory.mktemp("clusters"), "tried") as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    cluster.start()  # what an earlier test has killed
    with af.connect(cluster.conf) as client:
        yield client
        for job in client.jobs():
            if not job.status.final:
                ended = client.job(job.id)
                ended.cancel()
                until(ended, lambda ended=ended: ended.status().final)


def test_a_cluster_starts_with_the_slots_that_are_configured_and_starting_it_again_changes_nothing(cluster):
    assert "2 TaskManagers with 4 slots have registered" in cluster.started
    assert [
        "jobmanager-1 runs already",
        "taskmanager-1 runs already",
        "taskmanager-2 runs already",
    ] == cluster.start().splitlines()[:3]
    status = cluster.status()
    assert (2, 4, 4) == (status["task_managers"], status["slots"], status["slots_free"])
    assert [f"process {cluster.pid(node['name'])}" for node in status["nodes"]] == [node["state"] for node in status["nodes"]]


def test_a_job_is_submitted_and_gives_the_results_that_it_gives_anywhere(client):
    pipeline = af.Pipeline("squares")
    pipeline.read(af.sources.collection(range(1_000))).map(lambda n: n * n).write(af.sinks.collect())
    result = client.submit(pipeline, parallelism=2).wait("60s")
    assert [n * n for n in range(1_000)] == sorted(result.results)
    assert ("squares", JobStatus.FINISHED, 1_000) == [(job.name, job.status, job.records_in) for job in client.jobs()][-1]


def test_a_script_runs_on_the_cluster_unchanged_and_a_job_outlives_who_has_submitted_it(cluster, client, tmp_path):
    script = tmp_path / "script.py"
    (tmp_path / "beside.py").write_text("def split(line):\n    return line.split()\n")
    script.write_text(
        "import actorflow as af\nimport beside\n"
        "pipeline = af.Pipeline('script')\n"
        "words = pipeline.read(af.sources.collection(['a b', 'b'])).flat_map(beside.split).key_by(lambda word: word).count()\n"
        f"words.write(af.sinks.text({str(tmp_path / 'out')!r}))\n"
        "result = af.run(pipeline)\n"
        "print(result.records_in, result.records_out)\n"
    )
    assert "2 3\n" == cluster.command("run", "--cluster", cluster.conf, script)
    detached = cluster.command("run", "--detach", "--cluster", cluster.conf, script)
    name = detached.splitlines()[0].removeprefix("submitted job ")
    job = client.job(name)
    until(job, lambda: job.status().final)
    assert (JobStatus.FINISHED, (2, 3)) == (job.status(), job.progress())
    assert ["('a', 1)", "('b', 1)", "('b', 2)"] == sorted(
        line for file in (tmp_path / "out").iterdir() for line in file.read_text().splitlines()
    )[::2]


def test_jobs_are_listed_stopped_with_a_savepoint_and_cancelled_from_elsewhere(cluster, client, tmp_path):
    job = client.submit(endless(), parallelism=1)
    until(job, lambda: job.progress()[0] > 0)
    assert f"{job.id}  endless" in cluster.command("list", "--cluster", cluster.conf)
    assert str(tmp_path) in cluster.command("savepoint", job.id, tmp_path, "--cluster", cluster.conf)
    stopped = cluster.command("stop", "endless", "--savepoint", tmp_path, "--cluster", cluster.conf)
    until(job, lambda: job.status().final)
    assert f"stopped job {job.id} with savepoint {tmp_path}" in stopped
    again = client.submit(endless(), parallelism=1, from_savepoint=stopped.split()[-1])
    until(again, lambda: again.progress()[0] > 0)
    late = cluster.command("savepoint", again.id, tmp_path, "--timeout", "0s", "--cluster", cluster.conf, code=124)
    assert "was taken within 0s: it is" in late
    assert late.count("\n") == 1
    cancelled = cluster.command("cancel", again.id, "--json", "--cluster", cluster.conf)
    assert {"job": again.id, "cancelled": True} == json.loads(cancelled)
    until(again, lambda: again.status().final)
    assert "there is no job 'nobody'" in cluster.command("cancel", "nobody", "--cluster", cluster.conf, code=1)


def test_a_batch_job_is_shown_with_its_parallelism_and_its_stages(cluster, client):
    pipeline = af.Pipeline("staged", mode="batch", config={"execution.batch-shuffle-mode": "ALL_EXCHANGES_BLOCKING"})
    numbers = pipeline.read(af.sources.generator(count=100_000, rate=100))
    numbers.key_by(lambda n: n % 3).count(name="count").write(af.sinks.discard(), name="nowhere")
    job = client.submit(pipeline, parallelism=2)
    until(job, lambda: job.progress()[0] > 0)
    shown = cluster.command("status", "staged", "--cluster", cluster.conf).splitlines()
    assert ["staged", "running", "2"] == shown[1].split()[1:4]
    assert "stage 1 of 2 is running (0 of 2 subtasks finished): source" == shown[2]
    assert "stage 2 of 2 is waiting (0 of 2 subtasks finished): count -> nowhere" == shown[3]
    listed = json.loads(cluster.command("list", "--json", "--cluster", cluster.conf))[-1]
    assert (2, None, ["running", "waiting"]) == (
        listed["parallelism"],
        listed["rescaling"],
        [stage["state"] for stage in listed["stages"]],
    )


def test_a_job_waits_for_slots_and_says_what_is_missing(cluster, client):
    job = client.submit(endless("wide"), parallelism=5)
    until(job, lambda: job.status() is JobStatus.WAITING_FOR_SLOTS)
    assert "needs 5 slots, 4 of 4 registered on 2 TaskManagers are free" in cluster.command(
        "status", "wide", "--cluster", cluster.conf
    )


def workers_of(cluster, node):
    """The processes that the fork server of a TaskManager has forked."""

    def children(pid):
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
        return listed.stdout.split()

    return [worker for server in children(cluster.pid(node)) for worker in children(server)]


def test_a_slot_has_a_process_as_long_as_a_job_holds_it_and_no_longer(cluster, client):
    job = client.submit(endless("brief"), parallelism=4)
    until(job, lambda: job.progress()[0] > 0)
    assert [2, 2] == [len(workers_of(cluster, node)) for node in ("taskmanager-1", "taskmanager-2")]
    job.cancel()
    until(job, lambda: job.status().final)
    deadline = time.monotonic() + 30
    while workers_of(cluster, "taskmanager-1") + workers_of(cluster, "taskmanager-2"):
        assert time.monotonic() < deadline
    assert 4 == client.cluster().slots_free


class Reader(af.OperatorActor):
    """Emits where the cached file is, and what is in it."""

    def on_start(self, ctx):
        self.path = ctx.cached_file("text")

    def on_record(self, record, ctx):
        ctx.emit((self.path, Path(self.path).read_text()))


def test_a_cached_file_is_copied_once_for_each_task_manager_and_gone_after_the_job(client, tmp_path):
    (tmp_path / "text").write_text("cached")
    pipeline = af.Pipeline("cached")
    pipeline.cached_file("text", tmp_path / "text")
    records = pipeline.read(af.sources.collection(range(100)), parallelism=1).rebalance()
    records.process(Reader(), parallelism=4).write(af.sinks.collect())
    found = set(client.submit(pipeline).wait("60s").results)
    assert (2, {"cached"}) == (len(found), {text for _, text in found})
    deadline = time.monotonic() + 30
    while any(Path(path).exists() for path, _ in found):  # each question gives the cluster a moment
        client.jobs()
        assert time.monotonic() < deadline, found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_goes_on_elsewhere_when_a_task_manager_is_killed_or_leaves(cluster, client, number):
    job = client.submit(restarting(endless()), parallelism=2)
    until(job, lambda: job.progress()[0] > 0)
    cluster.signal("taskmanager-1", number)
    until(job, lambda: job.attempts == 2 and job.status() is JobStatus.RUNNING)
    assert 2 == client.cluster().slots


def restarting(pipeline):
    given = af.Pipeline(
        pipeline.name, config={"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "100ms"}
    )
    numbers = given.read(af.sources.generator(lambda n: n % 10, rate=2_000))
    numbers.key_by(lambda n: n).count().write(af.sinks.discard())
    return given


def test_garbage_on_the_ports_of_a_cluster_harms_nobody(cluster, client):
    host, _, port = client.cluster().leader.removeprefix("tcp://").rpartition(":")
    for garbage in (b"", b"\0" * 64, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64):
        for _ in range(25):
            with closing(socket.create_connection((host, int(port)))) as stranger:
                stranger.sendall(garbage)
    assert 4 == client.cluster().slots


def test_another_cluster_on_the_same_host_is_another_one(cluster, client, tmp_path):
    with running_cluster(tmp_path, "other", **{"taskmanager.hosts": "127.0.0.1"}) as other:
        assert (1, 2) == (other.status()["task_managers"], other.status()["slots"])
        assert 4 == client.cluster().slots
        other.stop("--node", "taskmanager-1")
        manager, worker = other.status(code=1)["nodes"]
        assert (f"process {other.pid('jobmanager-1')}", "does not run") == (manager["state"], worker["state"])


def test_when_a_cluster_stops_no_process_and_no_pid_is_left(tmp_path):
    with running_cluster(tmp_path, "brief", **{"taskmanager.hosts": "127.0.0.1"}) as cluster:
        nodes = [cluster.pid(name) for name in ("jobmanager-1", "taskmanager-1")]
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(nodes[1])], capture_output=True, text=True, check=True
        ).stdout.split()
        assert children, "its fork server"
        assert ["taskmanager-1 stopped", "jobmanager-1 stopped"] == cluster.stop().splitlines()
        look = ["ps", "-o", "stat=,args=", "-p", ",".join(map(str, [*nodes, *children]))]
        left = subprocess.run(look, capture_output=True, text=True, check=False).stdout.splitlines()
        assert [] == [line for line in left if not line.startswith("Z")], "what has ended, and nobody has waited for, is no process"
        assert ["log"] == [path.name for path in cluster.directory.iterdir()]
        assert cluster.status(code=1)["leader"] is None


def test_a_node_that_cannot_start_says_why_in_one_line(tmp_path):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        conf = tmp_path / "cluster.yaml"
        conf.write_text(f"env.pid.dir: {tmp_path}\njobmanager.rpc.port: {taken.getsockname()[1]}\n")
        command = [sys.executable, "-m", "actorflow.cli.main", "jobmanager", "--config", str(conf)]
        environment = {name: value for name, value in os.environ.items() if name != "ACTORFLOW_OVERRIDES"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=30)
    assert (1, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert "cannot listen at tcp://127.0.0.1" in done.stderr


class Echo(af.OperatorActor):
    """Answers whatever it is told, with its index."""

    def on_record(self, record, ctx):
        ctx.emit(record)

    def on_message(self, message, ctx):
        if message == "fail":
            raise ValueError("asked to fail")
        ctx.reply((message, ctx.parallel_index))


def test_operators_and_checkpoints_of_a_job_are_reached_by_who_submitted_it_and_by_who_did_not(cluster, client):
    pipeline = af.Pipeline("talk", config={"execution.checkpointing.interval": "50ms"})
    pipeline.read(af.sources.generator(rate=1_000)).process(Echo(), name="echo").write(af.sinks.discard())
    submitted = client.submit(pipeline, parallelism=2)
    until(submitted, lambda: submitted.progress()[0] > 0)
    with af.connect(cluster.conf) as other:
        for job in (submitted, other.job("talk")):
            assert [("ping", 0), ("ping", 1)] == [job.operator("echo", index).ask("ping") for index in (0, 1)]
            with pytest.raises(UserFunctionError, match="asked to fail"):
                job.operator("echo").ask("fail")
            with pytest.raises(af.PlanError, match=r"/jobs/talk/echo/0\.\.1"):
                job.operator("nobody")
            until(job, lambda job=job: job.checkpoints().completed)
            assert [2] == [len(each.times) for each in job.checkpoints().completed[:1]]
        submitted.cancel()
        until(submitted, lambda: submitted.status().final)
        with pytest.raises(af.ActorflowError, match="does not run now: it is cancelled"):
            submitted.checkpoints()


DEFECTIVE = """
from actorflow.cli.main import main
from actorflow.runtime.jobs.resource_manager import ResourceManager
ResourceManager._describe = lambda self: 1 / 0
main()
"""


def test_a_job_manager_one_of_whose_actors_fails_ends_with_the_reason_so_that_another_one_leads(tmp_path, monkeypatch):
    monkeypatch.delenv("ACTORFLOW_OVERRIDES", raising=False)  # of the cluster that other tests of this module have
    conf = tmp_path / "cluster.yaml"
    conf.write_text(f"env.pid.dir: {tmp_path}\njobmanager.rpc.port: 0\n")
    job_manager = subprocess.Popen(
        [sys.executable, "-c", DEFECTIVE, "jobmanager", "--config", str(conf)], stderr=subprocess.PIPE, text=True
    )
    try:
        with af.connect(conf) as client:
            client._link.system.resolve(client._link.leader().resource_manager).tell_control(DescribeCluster())
            said = job_manager.communicate(timeout=30)[1].splitlines()
    finally:
        job_manager.kill()
        job_manager.communicate()
    assert 1 == job_manager.returncode, said
    logged, shown = said[-2:]
    assert "CRITICAL" in logged
    assert shown.startswith("error: its actor /resource-manager has failed: "), shown
