"""The REST server of a JobManager that is a process of its own: it sees the actors of all the others."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import pytest
from cluster_processes import endless, free_ports, running_cluster, until

import actorflow as af


def of_nodes(ports):
    """Ask whoever answers Prometheus at one of these ports; give what kind of node it is."""
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                yield re.search(r"^flink_(\w+?)_Status_JVM_CPU_Time [0-9]", answer.read().decode(), re.MULTILINE)[1]
        except OSError:
            continue


def of_refusals(ask, manager):
    """Give what a TaskManager has counted of those that it has kept out."""
    return [each["id"] for each in ask(f"/taskmanagers/{manager}/metrics?get=unknownKeys,failedHandshakes,refusedFrames")]


@pytest.mark.slow
def test_the_leader_shows_the_actors_of_all_processes(tmp_path):
    port, *nodes = free_ports(7)

    def ask(path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    options = {"rest.port": port, "metrics.reporter.prom.port": f"{nodes[0]}-{nodes[-1]}"}
    with running_cluster(tmp_path, "shown", **options) as cluster, af.connect(cluster.conf) as client:
        job = client.submit(endless(), parallelism=2)
        until(job, lambda: job.progress()[1] > 0)
        actors = {actor["path"]: actor["kind"] for actor in ask("/actors")["actors"]}

        assert {"/jobs/endless": "JobMaster", "/jobs/endless/count/1": "count -> sink"}.items() <= actors.items()
        assert sorted(actors.values()).count("SlotProcess") == 2
        assert ask("/overview")["slots-total"] == 4
        assert sorted(of_nodes(range(nodes[0], nodes[-1] + 1))) == ["jobmanager", "taskmanager", "taskmanager"]
        assert "most recent call last" in ask("/actors/jobs/endless/count/0/stack")["stack"]
        managers = [each["id"] for each in ask("/taskmanagers")["taskmanagers"]]
        dumps = [ask(f"/taskmanagers/{each}/thread-dump")["threadInfos"] for each in managers]
        assert sum(map(len, dumps)) == 4  # both, and a worker of each
        assert all("most recent call last" in each["stringifiedThreadInfo"] for dump in dumps for each in dump)
        assert [of_refusals(ask, each) for each in managers] == [["unknownKeys", "failedHandshakes", "refusedFrames"]] * 2
        assert sorted(file["name"] for each in managers for file in ask(f"/taskmanagers/{each}/logs")["logs"]) == [
            "taskmanager-1.out",
            "taskmanager-2.out",
        ]
        [task_manager, *_] = [path for path in actors if path.endswith("/task-manager")]
        assert ask(f"/actors/{task_manager}")["observation"]["slots"] == 2

        deadline = time.monotonic() + 20
        while client.cluster().rest_url is None:  # the file of the leader is looked at now and then
            assert time.monotonic() < deadline
        assert f"http://127.0.0.1:{port}" == client.cluster().rest_url
        assert f"REST at http://127.0.0.1:{port}\n" in cluster.command("cluster", "status", cluster.conf)

        view = client.look()  # a node that knows no more than who leads
        assert {"/jobs/endless", "/jobs/endless/count/1"} <= {row.path for row in view.tree()}
        assert [row.kind for row in view.tree()].count("SlotProcess") == 2
        assert "main thread (most recent call last)" in view.actor("/jobs/endless/count/1").stack()
        assert view.actor("/jobs/endless/count").state(3)
        assert len(view.actor("/jobs/endless/count/0").tail(2, wait="10s")) == 2
        assert view.why_slow("endless").status == "running"
        prompt = 'print("seen", actor("/jobs/endless/count/0").observe()["name"], "client" in globals())\n'
        command = [sys.executable, "-m", "actorflow.cli.main", "shell", "--cluster", str(cluster.conf)]
        shell = subprocess.run(
            command,
            input=prompt,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**cluster.environment, "IPYTHONDIR": str(tmp_path / "ipython")},
        )
        assert "seen count -> sink (1/2) False" in shell.stdout, shell.stderr

        ask(f"/jobs/{job.id}?mode=cancel", "PATCH")
        until(job, lambda: job.status().final)
