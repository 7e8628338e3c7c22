"""The paths of the REST server, asked over HTTP while a job runs."""

from __future__ import annotations

import re
import time

import pytest
from rest_harness import DEADLINE_S, served

import actorflow as af
from actorflow.errors import ConfigError
from actorflow.savepoint.opening import open_snapshot
from actorflow.wire.manifest import Manifest
from actorflow.wire.savepoint_manifest import Savepoint

SECRET = "a-token-of-24-characters"


def found(rest, path):
    status, content = rest.ask(path)
    assert status == 200, content
    return content


def test_the_cluster_in_figures(rest):
    overview = found(rest, "/overview")

    assert (overview["taskmanagers"], overview["jobs-running"], overview["jobs-failed"]) == (1, 1, 0)
    assert overview["slots-total"] - overview["slots-available"] == 2
    [manager] = found(rest, "/taskmanagers")["taskmanagers"]
    assert manager["slotsNumber"] == overview["slots-total"]


def test_a_job_with_its_vertices_and_their_subtasks(rest):
    [listed] = found(rest, "/jobs")["jobs"]
    [line] = found(rest, "/jobs/overview")["jobs"]
    job = found(rest, f"/jobs/{listed['id']}")

    assert (listed, line["name"], line["state"]) == ({"id": rest.job.id, "status": "RUNNING"}, "visits", "RUNNING")
    assert [vertex["name"] for vertex in job["vertices"]] == ["source -> last digit -> measured", "count -> nowhere"]
    assert [edge["ship_strategy"] for edge in job["edges"]] == ["HASH"]
    assert job["start-time"] == line["start-time"]
    source, count = (found(rest, f"/jobs/{rest.job.id}/vertices/{vertex['id']}") for vertex in job["vertices"])
    assert [subtask["status"] for subtask in count["subtasks"]] == ["RUNNING", "RUNNING"]
    assert sum(subtask["metrics"]["write-records"] for subtask in source["subtasks"]) > 50
    assert found(rest, f"/jobs/{rest.job.id}/checkpoints")["counts"]["total"] == 0
    assert found(rest, f"/jobs/{rest.job.id}/why-slow")["text"].startswith("job 'visits' is running")


def test_actors_by_their_paths(rest):
    paths = {actor["path"] for actor in found(rest, "/actors")["actors"]}

    assert {"/job-manager", "/jobs/visits", "/jobs/visits/count/1"} <= paths
    assert found(rest, "/actors/jobs/visits/count/1")["observation"]["name"] == "count -> nowhere (2/2)"
    assert found(rest, "/actors/jobs/visits/last%20digit/0")["observation"]["name"] == "source -> last digit -> measured (1/2)"
    assert [entry["event"] for entry in found(rest, "/actors/job-manager/story?n=1")["story"]] == ["started"]
    assert found(rest, "/actors/inline/task-manager-1")["path"] == "inline/task-manager-1"  # an address, as of another node


def test_metrics_have_flinks_names(rest):
    lines = dict(line.rpartition(" ")[::2] for line in found(rest, "/metrics").splitlines() if line[0] != "#")

    assert lines["flink_jobmanager_numRunningJobs"] == "1.0"
    for name in ("numRecordsIn", "numRecordsOut", "busyTimeMsPerSecond", "backPressuredTimeMsPerSecond", "isBackPressured"):
        of_count = [line for line in lines if line.startswith(f"flink_taskmanager_job_task_{name}{{") and 'name="count ' in line]
        assert len(of_count) == 2


def test_metrics_that_operators_make_stand_beside_them(rest):
    text = found(rest, "/metrics")
    lines = dict(line.rpartition(" ")[::2] for line in text.splitlines() if 'operator_name="measured"' in line)

    passed = {line: float(value) for line, value in lines.items() if line.startswith("flink_taskmanager_job_task_operator_passed{")}
    assert len(passed) == 2
    assert sum(passed.values()) > 50
    assert "# TYPE flink_taskmanager_job_task_operator_sizes summary" in text
    assert sum(line.startswith("flink_taskmanager_job_task_operator_sizes_count{") for line in lines) == 2
    assert sum('quantile="0.999"' in line for line in lines) == 2
    assert "operator_note" not in text


def test_the_web_ui_is_served_with_what_it_asks_for(rest):
    asked = re.findall(r'ask\(\["(\w+)"(?:, "(\w+)")?\]', found(rest, "/web/pages.js") + found(rest, "/web/node_pages.js"))
    assert ("overview", "") in asked
    for parts in asked:
        assert rest.ask("/" + "/".join(filter(None, parts)))[0] == 200
    assert found(rest, "/").startswith("<!doctype html>")
    assert rest.ask("/web/nothing.js")[0] == 404


def test_what_is_not_there_is_refused_in_one_form(rest):
    for path, method, status in (
        ("/jobs/nobody", "GET", 404),
        ("/nowhere", "GET", 404),
        ("/actors/nobody", "GET", 404),
        (f"/jobs/{rest.job.id}/vertices/none", "GET", 404),
        (f"/jobs/{rest.job.id}/savepoints/none", "GET", 404),
        ("/overview", "DELETE", 405),
        (f"/jobs/{rest.job.id}?mode=explode", "PATCH", 400),
        ("/actors/job-manager/story?n=-1", "GET", 400),
    ):
        got, content = rest.ask(path, method)
        assert (got, list(content)) == (status, ["errors"]), path


def test_a_page_from_elsewhere_may_not_use_a_server_without_a_token(rest):
    assert rest.ask("/jobs", origin="http://evil.example")[0] == 403
    assert rest.ask("/jobs", host="evil.example:8081")[0] == 403
    assert rest.ask("/jobs", origin=rest.cluster.rest_url)[0] == 200


@pytest.mark.parametrize(("kind", "native"), [({}, False), ({"formatType": "CANONICAL"}, False), ({"formatType": "NATIVE"}, True)])
def test_a_savepoint_is_asked_for_and_come_back_for(rest, tmp_path, kind, native):
    status, asked = rest.ask(f"/jobs/{rest.job.id}/savepoints", "POST", {"target-directory": str(tmp_path), **kind})
    assert status == 202
    path = f"/jobs/{rest.job.id}/savepoints/{asked['request-id']}"
    deadline = time.monotonic() + DEADLINE_S
    answer = found(rest, path)
    while answer["status"]["id"] != "COMPLETED" and time.monotonic() < deadline:
        answer = found(rest, path)
    assert answer["operation"]["location"].startswith(str(tmp_path))
    assert isinstance(open_snapshot(answer["operation"]["location"])[1], Manifest if native else Savepoint)
    assert rest.ask(f"/jobs/{rest.job.id}/savepoints", "POST", {"target-directory": str(tmp_path), "formatType": "X"})[0] == 400
    assert rest.ask(f"/jobs/other/savepoints/{asked['request-id']}")[0] == 404
    assert rest.ask(f"/jobs/{rest.job.id}/savepoints", "POST", {})[0] == 400  # nobody says where it goes


def test_a_job_is_cancelled_and_is_over():
    with served() as rest:
        path = f"/jobs/{rest.job.id}"
        assert rest.ask(f"{path}?mode=cancel", "PATCH") == (202, {})
        with pytest.raises(af.ActorflowError, match="cancelled"):
            rest.job.wait("20s")
        job = found(rest, path)
        assert (job["state"], job["end-time"] - job["start-time"]) == ("CANCELED", job["duration"])
        source, count = job["vertices"]
        assert (source["status"], source["tasks"]["CANCELED"], source["metrics"]["write-records"] > 50) == ("CANCELED", 2, True)
        assert found(rest, f"{path}/vertices/{count['id']}")["subtasks"][1]["status"] == "CANCELED"
        assert rest.ask(path, "PATCH")[0] == 409
        assert rest.ask(f"{path}/why-slow")[0] == 409


def test_a_finished_job_is_shown_with_its_final_counts_and_its_last_checkpoints(tmp_path):
    pipeline = af.Pipeline("hundred")
    numbers = pipeline.read(af.sources.generator(count=100, rate=1_000))
    numbers.key_by(lambda n: n % 3).count(name="count").write(af.sinks.discard())
    options = {"execution.checkpointing.interval": "20ms", "execution.checkpointing.dir": str(tmp_path)}
    with served(options) as rest:
        job = rest.cluster.submit(pipeline, parallelism=2)
        job.wait("20s")
        path = f"/jobs/{job.id}"
        shown = found(rest, path)

        assert (shown["state"], shown["status-counts"]["FINISHED"]) == ("FINISHED", 2)
        moved = [(vertex["metrics"]["read-records"], vertex["metrics"]["write-records"]) for vertex in shown["vertices"]]
        assert moved == [(100, 100), (100, 100)]
        subtasks = found(rest, f"{path}/vertices/{shown['vertices'][1]['id']}")["subtasks"]
        assert sorted(subtask["metrics"]["read-records"] for subtask in subtasks) == [34, 66]
        assert found(rest, f"{path}/checkpoints")["counts"]["completed"] > 0


def test_only_of_jobs_that_are_over_it_is_known_how_they_ended(rest):
    assert [rest.cluster.look().ended(job) for job in (rest.job.id, "nobody")] == [None, None]


def test_why_a_job_has_failed_is_told_when_it_is_over():
    pipeline = af.Pipeline("broken")
    pipeline.read(af.sources.collection([1, 0])).map(lambda n: 1 // n, name="inverse").write(af.sinks.discard())
    with served() as rest:
        assert found(rest, f"/jobs/{rest.job.id}/exceptions") == {"exceptionHistory": {"entries": [], "truncated": False}}
        job = rest.cluster.submit(pipeline)
        with pytest.raises(af.JobFailed, match="inverse"):
            job.wait("20s")
        history = found(rest, f"/jobs/{job.id}/exceptions")["exceptionHistory"]

        [error] = history["entries"]
        assert (error["exceptionName"], history["truncated"]) == ("ZeroDivisionError", False)
        assert "1 // n" in error["stacktrace"]
        assert error["timestamp"] == found(rest, f"/jobs/{job.id}")["end-time"]
        assert rest.ask("/jobs/nothing/exceptions")[0] == 404


def test_a_token_is_demanded_and_never_shown():
    with served({"actorflow.rest.token": SECRET}) as rest:
        token = f"Bearer {SECRET}"
        assert [rest.ask("/jobs", authorization=given)[0] for given in ("", "Bearer wrong", token[:-1], token)] == [
            401,
            401,
            401,
            200,
        ]
        assert rest.ask("/openapi.json")[0] == 401
        assert (rest.ask("/")[0], rest.ask("/web/app.js")[0]) == (200, 200)  # the page that asks for it
        _, settings = rest.ask("/jobmanager/config", authorization=token)
        assert {setting["key"]: setting["value"] for setting in settings}["actorflow.rest.token"] == "******"
        paths = [actor["path"] for actor in rest.ask("/actors", authorization=token)[1]["actors"]]
        stories = [rest.ask(f"/actors{path}/story?n=1000".replace(" ", "%20"), authorization=token) for path in paths]
        assert all(status == 200 for status, _ in stories)
        assert SECRET not in str(stories)


def test_a_server_for_others_needs_a_token():
    with pytest.raises(ConfigError, match="needs a token"):
        af.LocalCluster(slots="inline", config={"rest.port": 0, "rest.address": "0.0.0.0"})
    with pytest.raises(ConfigError, match="16 printable"):
        af.LocalCluster(slots="inline", config={"actorflow.rest.token": "short"})


def test_a_port_that_is_taken_is_named(rest):
    port = int(rest.cluster.rest_url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}"):
        af.LocalCluster(slots="inline", config={"rest.port": port})
