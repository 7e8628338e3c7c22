"""What nodes tell Prometheus of themselves: to whom it may concern, and to nobody who keeps them busy."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request

import pytest

from actorflow.actor import ActorSystem
from actorflow.clock import SystemClock
from actorflow.config import Config, layered, load
from actorflow.errors import ConfigError
from actorflow.ids import NodeId
from actorflow.rest.node_metrics import CONNECTIONS_MAX, NodeMetricsServer, serve_node_metrics

TOKEN = "a-token-of-24-characters"


def started(ports=(0,), **options):
    system = ActorSystem(NodeId("node"), clock=SystemClock(), io=None)
    return NodeMetricsServer("taskmanager", system, Config.of(options, "test"), ports)


@pytest.fixture
def server():
    server = started()
    yield server
    server.close()


def asked(url, **headers):
    """Return status and text of an answer."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_node_tells_how_its_process_is_under_flinks_names(server):
    status, text = asked(f"{server.url}/metrics")
    told = {name: float(value) for name, value in re.findall(r"^(flink\S+) (\S+)$", text, re.MULTILINE)}

    assert status == 200
    assert set(told) == {f"flink_taskmanager_Status_JVM_{name}" for name in ("CPU_Time", "Memory_Heap_Used", "Threads_Count")}
    assert told["flink_taskmanager_Status_JVM_Memory_Heap_Used"] > 10_000_000
    assert told["flink_taskmanager_Status_JVM_Threads_Count"] >= 3


def test_pages_of_other_hosts_learn_nothing(server):
    assert asked(f"{server.url}/metrics", host="evil.example")[0] == 403
    assert asked(f"{server.url}/metrics", origin="http://evil.example")[0] == 403
    assert asked(f"{server.url}/jobs")[0] == 404


def test_a_token_is_demanded_where_there_is_one():
    server = started(**{"actorflow.rest.token": TOKEN})
    try:
        given = [asked(f"{server.url}/metrics", authorization=text)[0] for text in ("", "Bearer wrong", f"Bearer {TOKEN}")]
        assert given == [401, 401, 200]
    finally:
        server.close()


def test_anything_but_loopback_needs_a_token(tmp_path):
    file = tmp_path / "open.yaml"
    file.write_text("metrics.reporter.prom: {port: 9250-9260, host: 0.0.0.0}\n")
    with pytest.raises(ConfigError, match="Prometheus"):
        layered(load(str(file)))


def test_those_who_say_nothing_keep_others_out_only_as_long_as_they_may(server, monkeypatch):
    monkeypatch.setattr("actorflow.rest.node_metrics.THROUGH_WITHIN_S", 0.2)
    host, port = server.url.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port)), timeout=20) for _ in range(3 * CONNECTIONS_MAX)]
    for each in silent:
        assert each.recv(1) == b""  # cut off: at once, or when its time was over
        each.close()
    assert asked(f"{server.url}/metrics")[0] == 200


def test_of_several_nodes_each_takes_a_port(server):
    taken = int(server.url.rpartition(":")[2])
    other = started((taken, 0))
    other.close()
    assert other.url != server.url
    with pytest.raises(ConfigError, match=f"{taken}"):
        started((taken,))


def test_a_node_whose_port_is_taken_goes_on_without(server, caplog):
    system = ActorSystem(NodeId("node"), clock=SystemClock(), io=None)
    taken = server.url.rpartition(":")[2]
    serve_node_metrics("jobmanager", system, Config.of({"metrics.reporter.prom.port": taken}, "test"))
    assert f"127.0.0.1:{taken}" in caplog.text
