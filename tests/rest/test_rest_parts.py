"""Parts of jobs and nodes over HTTP: plans, vertices, subtasks, metrics by name, checkpoints, TaskManagers, logs."""

from __future__ import annotations

import pytest
from rest_harness import served

import actorflow as af

pytestmark = pytest.mark.slow


TOKEN = "a-token-of-24-characters"


def found(rest, path, **headers):
    status, content = rest.ask(path, **headers)
    assert status == 200, content
    return content


@pytest.fixture(scope="module")
def vertices(rest):
    return [vertex["id"] for vertex in found(rest, f"/jobs/{rest.job.id}")["vertices"]]


def test_the_plan_of_a_job(rest, vertices):
    plan = found(rest, f"/jobs/{rest.job.id}/plan")["plan"]
    source, count = plan["nodes"]

    assert (plan["jid"], plan["name"], plan["type"]) == (rest.job.id, "visits", "STREAMING")
    assert [node["id"] for node in plan["nodes"]] == vertices
    assert (source["inputs"], source["parallelism"]) == ([], 2)
    assert count["inputs"] == [{"num": 0, "id": vertices[0], "ship_strategy": "HASH", "exchange": "pipelined_bounded"}]


def test_a_job_is_shown_with_its_plan(rest):
    details, plan = (found(rest, f"/jobs/{rest.job.id}{path}") for path in ("", "/plan"))

    assert details["plan"] == plan["plan"]


def test_how_long_the_subtasks_of_a_vertex_have_run(rest, vertices):
    path = f"/jobs/{rest.job.id}/vertices/{vertices[0]}/subtasktimes"
    first, later = found(rest, path), found(rest, path)

    assert (first["id"], [each["subtask"] for each in first["subtasks"]]) == (vertices[0], [0, 1])
    for each, again in zip(first["subtasks"], later["subtasks"], strict=True):
        assert 0 < each["duration"] <= again["duration"]
        assert each["timestamps"] == {"RUNNING": first["now"] - each["duration"]}
    assert rest.ask(f"/jobs/{rest.job.id}/vertices/nothing/subtasktimes")[0] == 404


def test_a_vertex_by_the_taskmanagers_that_run_it(rest, vertices):
    [manager] = found(rest, "/taskmanagers")["taskmanagers"]
    [part] = found(rest, f"/jobs/{rest.job.id}/vertices/{vertices[0]}/taskmanagers")["taskmanagers"]

    assert (part["taskmanager-id"], part["status"], part["status-counts"]["RUNNING"]) == (manager["id"], "RUNNING", 2)
    assert part["metrics"]["write-records"] > 50
    assert (part["end-time"], part["duration"] > 0) == (-1, True)
    assert rest.ask(f"/jobs/{rest.job.id}/vertices/nothing/taskmanagers")[0] == 404


def test_how_long_the_subtasks_of_a_job_have_run_that_is_over():
    with served() as rest:
        rest.job.cancel()
        with pytest.raises(af.ActorflowError, match="cancelled"):
            rest.job.wait("20s")
        [vertex, _] = found(rest, f"/jobs/{rest.job.id}")["vertices"]
        path = f"/jobs/{rest.job.id}/vertices/{vertex['id']}"
        times = found(rest, f"{path}/subtasktimes")["subtasks"]
        assert [each["timestamps"] for each in times] == [{}, {}]
        assert all(each["duration"] > 0 for each in times)
        [part] = found(rest, f"{path}/taskmanagers")["taskmanagers"]
        assert (part["status"], part["start-time"]) == ("CANCELED", -1)
        assert part["duration"] == max(each["duration"] for each in times)


def test_a_vertex_with_its_back_pressure_watermarks_and_subtasks(rest, vertices):
    path = f"/jobs/{rest.job.id}/vertices/{vertices[1]}"
    pressure = found(rest, f"{path}/backpressure")

    assert (pressure["status"], [each["subtask"] for each in pressure["subtasks"]]) == ("ok", [0, 1])
    assert pressure["backpressure-level"] in {"ok", "low", "high"}
    assert found(rest, f"{path}/watermarks") == []  # the job has no event time
    subtasks = [found(rest, f"{path}/subtasks/{index}") for index in (0, 1)]
    assert [(each["subtask"], each["status"]) for each in subtasks] == [(0, "RUNNING"), (1, "RUNNING")]
    assert rest.ask(f"{path}/subtasks/2")[0] == 404
    assert rest.ask(f"{path}/subtasks/-1")[0] == 400


def test_metrics_by_their_names(rest, vertices):
    path = f"/jobs/{rest.job.id}/vertices/{vertices[0]}"

    assert {"id": "0.numRecordsOut"} in found(rest, f"{path}/metrics")
    [read, again] = found(rest, f"{path}/metrics?get=1.numRecordsOut,0.numRecordsOut,nothing,1.numRecordsOut")
    assert [read["id"], again["id"]] == ["1.numRecordsOut", "0.numRecordsOut"]
    assert int(read["value"]) + int(again["value"]) > 50
    [of_subtask] = found(rest, f"{path}/subtasks/1/metrics?get=numRecordsOut")
    assert int(of_subtask["value"]) >= int(read["value"])
    assert found(rest, f"/jobs/{rest.job.id}/metrics?get=numRestarts") == [{"id": "numRestarts", "value": "0"}]
    assert found(rest, "/jobmanager/metrics?get=numRunningJobs") == [{"id": "numRunningJobs", "value": "1"}]


def test_a_taskmanager_with_its_slots(rest):
    [manager] = found(rest, "/taskmanagers")["taskmanagers"]
    details = found(rest, f"/taskmanagers/{manager['id']}")

    assert sorted(slot["index"] for slot in details["allocatedSlots"]) == [0, 1]
    assert {slot["jobId"] for slot in details["allocatedSlots"]} == {rest.job.id}
    assert found(rest, f"/taskmanagers/{manager['id'].partition('/')[0]}") == details  # its node will do
    assert rest.ask("/taskmanagers/nobody")[0] == 404


def test_a_node_tells_of_its_process_and_where_its_threads_stand(rest):
    [manager] = found(rest, "/taskmanagers")["taskmanagers"]
    for node in ("/jobmanager", f"/taskmanagers/{manager['id']}"):
        assert {"id": "Status.JVM.Threads.Count"} in found(rest, f"{node}/metrics")
        [threads] = found(rest, f"{node}/metrics?get=Status.JVM.Threads.Count")
        assert int(threads["value"]) >= 2
        [process] = found(rest, f"{node}/thread-dump")["threadInfos"]  # inline workers are no processes of their own
        assert "MainThread (most recent call last):" in process["stringifiedThreadInfo"]
    assert found(rest, "/jobmanager/environment")["jvm"]["version"].startswith("CPython 3.")


def test_files_of_nodes_and_nothing_else(tmp_path):
    (tmp_path / "jobmanager.log").write_text("leads in epoch 1\n")
    (tmp_path / "secret.txt").write_text("no log")
    (tmp_path / "linked.log").symlink_to(tmp_path / "secret.txt")
    with served({"env.log.dir": str(tmp_path)}) as rest:
        [manager] = found(rest, "/taskmanagers")["taskmanagers"]
        for node in ("/jobmanager", f"/taskmanagers/{manager['id']}"):
            [shown] = [file for file in found(rest, f"{node}/logs")["logs"] if file["name"].endswith(".log")]
            assert (shown["name"], shown["size"]) == ("jobmanager.log", 17)
            assert found(rest, f"{node}/logs/jobmanager.log") == "leads in epoch 1\n"
            for other in ("secret.txt", "linked.log", "..%2Fjobmanager.log", "nothing.log"):
                assert rest.ask(f"{node}/logs/{other}")[0] == 404


def test_what_each_subtask_took_for_a_checkpoint(tmp_path):
    options = {"execution.checkpointing.interval": "20ms", "execution.checkpointing.dir": str(tmp_path)}
    with served(options) as rest:
        assert rest.job.wait_until(lambda: rest.job.checkpoints() and rest.job.checkpoints().completed, 20)
        rest.job.cancel()
        with pytest.raises(af.ActorflowError, match="cancelled"):
            rest.job.wait("20s")
        path = f"/jobs/{rest.job.id}/checkpoints"
        latest = found(rest, path)["latest"]["completed"]
        details = found(rest, f"{path}/details/{latest['id']}")
        of_vertices = [found(rest, f"{path}/details/{latest['id']}/subtasks/{vertex}") for vertex in details["tasks"]]

        assert {name: details[name] for name in latest} == latest
        assert [len(each["subtasks"]) for each in of_vertices] == [2, 2]
        for task, each in zip(details["tasks"].values(), of_vertices, strict=True):
            assert {name: each[name] for name in task} == task
            assert each["summary"]["state_size"]["avg"] * 2 == task["state_size"]
        assert sum(task["state_size"] for task in details["tasks"].values()) == latest["state_size"]
        assert rest.ask(f"{path}/details/{latest['id'] + 1000}")[0] == 404
        assert rest.ask(f"{path}/details/{latest['id']}/subtasks/nothing")[0] == 404

        config = found(rest, f"{path}/config")
        assert (config["mode"], config["interval"], config["unaligned_checkpoints"]) == ("exactly_once", 20, False)
        assert config["checkpoint_storage"] == "FileSystemCheckpointStorage"
        assert found(rest, f"/jobs/{rest.job.id}/status") == {"status": "CANCELED"}
        told = found(rest, f"/jobs/{rest.job.id}/config")["execution-config"]
        assert told["user-config"].items() >= {"execution.checkpointing.interval": "20ms"}.items()
        assert told["restart-strategy"] == "Restart with exponential delay, from 1 s to 60 s."


def test_what_a_job_was_told_without_secrets():
    with served({"actorflow.rest.token": TOKEN, "restart-strategy.type": "fixed-delay"}) as rest:
        told = found(rest, f"/jobs/{rest.job.id}/config", authorization=f"Bearer {TOKEN}")
        assert (told["jid"], told["name"]) == (rest.job.id, "visits")
        assert told["execution-config"]["restart-strategy"] == "Restart with fixed delay (1 s). #1 restart attempts."
        assert told["execution-config"]["job-parallelism"] == 2
        assert "actorflow.rest.token" not in told["execution-config"]["user-config"]
        assert rest.ask(f"/jobs/{rest.job.id}/config")[0] == 401


def test_a_job_that_takes_no_checkpoints_and_has_no_accumulators_says_so(rest):
    status, refused = rest.ask(f"/jobs/{rest.job.id}/checkpoints/config")
    assert (status, "takes no checkpoints" in refused["errors"][0]) == (404, True)
    assert found(rest, f"/jobs/{rest.job.id}/accumulators")["user-task-accumulators"] == []
    assert rest.ask("/jobs/nothing/accumulators")[0] == 404


def test_metrics_of_several_together(rest, vertices):
    path = f"/jobs/{rest.job.id}/vertices/{vertices[0]}/subtasks/metrics"

    assert {"id": "numRecordsOut"} in found(rest, path)
    [read] = found(rest, f"{path}?get=numRecordsOut,nothing")
    assert 0 < read["min"] <= read["avg"] <= read["max"] < read["sum"]
    assert [*found(rest, f"{path}?get=numRecordsOut&agg=max,other")[0]] == ["id", "max"]
    assert found(rest, "/jobs/metrics?get=numRestarts&agg=sum") == [{"id": "numRestarts", "sum": 0.0}]
    [threads] = found(rest, "/taskmanagers/metrics?get=Status.JVM.Threads.Count&agg=min")
    assert threads["min"] >= 2
