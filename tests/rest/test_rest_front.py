"""JobManagers that do not lead: they redirect to the one that does, as soon as it is known."""

from __future__ import annotations

import asyncio
import queue
import socket
import sys
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.actor import ActorSystem
from actorflow.clock import SystemClock
from actorflow.cluster.leader_rest import JobManagerRest, Leadership, stands_by
from actorflow.config import Config
from actorflow.errors import ConfigError
from actorflow.ids import Address, NodeId
from actorflow.rest.front import Front
from actorflow.rest.server import RestServer

OWN, LEADER = "http://127.0.0.1:8081", "http://127.0.0.1:8082"


def asked(front, path=b"/jobs", query=b""):
    """Ask a front; return status, headers and body."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(front({"type": "http", "raw_path": path, "query_string": query, "headers": []}, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


def test_who_leads_answers_and_who_does_not_redirects_to_the_leader():
    front = Front(OWN)
    front.follow(LEADER)
    assert asked(front, b"/jobs/a%20b", b"n=1&m=2")[:1] == (307,)
    assert asked(front, b"/jobs/a%20b", b"n=1&m=2")[1][b"location"] == b"http://127.0.0.1:8082/jobs/a%20b?n=1&m=2"
    front.lead(application)
    assert asked(front)[::2] == (200, b"here")
    front.stand_by()
    assert asked(front)[1][b"location"] == b"http://127.0.0.1:8082/jobs"


def test_while_nobody_is_known_to_lead_clients_are_asked_to_wait():
    front = Front(OWN)
    for leader in (None, OWN):  # its own address is left over from when it led
        front.follow(leader)
        status, headers, body = asked(front)
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert body.startswith(b'{"errors": ["this JobManager does not lead')


@given(st.binary(max_size=20))
def test_a_redirect_leads_to_the_leader_whatever_is_asked_for(path):
    front = Front(OWN)
    front.follow(LEADER)
    status, headers, _ = asked(front, path)
    assert (status == 307) == path.startswith(b"/")
    assert status != 307 or headers[b"location"].startswith(b"http://127.0.0.1:8082/")


def test_clients_that_follow_redirects_reach_the_leader(rest):
    standby = RestServer(Config.of({"rest.bind-port": "0"}, "test"))
    try:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{standby.url}/jobs", timeout=20)
        standby.follow(rest.cluster.rest_url)
        with urllib.request.urlopen(f"{standby.url}/jobs/overview", timeout=20) as answer:
            assert answer.url == f"{rest.cluster.rest_url}/jobs/overview"
            assert rest.job.id.encode() in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):  # what passes no guard is told nothing
            urllib.request.urlopen(urllib.request.Request(standby.url, headers={"Host": "evil.example"}), timeout=20)
    finally:
        standby.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"rest.port": 8081}, False),
        ({"rest.port": 0}, True),
        ({"rest.bind-port": "8081-8082"}, False),
        ({"rest.bind-port": "8081-8083"}, True),
        ({"rest.port": 8081, "jobmanager.hosts": "a:1,b:1,c:1"}, True),
    ],
)
def test_a_jobmanager_stands_by_if_there_are_ports_for_all_on_its_host(options, expected):
    config = Config.of({"high-availability.type": "zookeeper", "jobmanager.hosts": "a:1,a:2,a:3,b:1", **options}, "test")
    assert stands_by(config, "a:1") == expected


@pytest.mark.parametrize("ports", ["rest.port", "rest.bind-port"])
def test_a_jobmanager_says_where_it_answers_whenever_it_leads(ports):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = (
        {"jobmanager.hosts": "127.0.0.1:1,127.0.0.1:2"} if ports == "rest.port" else {}
    )  # with one port for two it listens only while it leads
    system = ActorSystem(NodeId("node"), clock=SystemClock(), io=None)
    system.start()
    try:
        jobmanager = JobManagerRest(system, Config.of({ports: port, **hosts}, "test"), "127.0.0.1:1")
        for epoch in (1, 2):
            published = queue.SimpleQueue()
            actors = Address(f"node/job-manager-{epoch}"), Address(f"node/resource-manager-{epoch}")
            jobmanager.lead(Leadership(actors, published.put))
            url = published.get(timeout=20)
            assert url == f"http://127.0.0.1:{port}"
            with urllib.request.urlopen(f"{url}/config", timeout=20) as answer:
                assert answer.status == 200
            jobmanager.lead(None)
            assert until_other_than(f"{url}/config", 200) == (503 if ports == "rest.bind-port" else None)
    finally:
        system.shutdown(timeout_s=5.0)


def test_a_jobmanager_that_is_to_serve_rest_does_not_begin_without_the_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    system = ActorSystem(NodeId("node"), clock=SystemClock(), io=None)
    JobManagerRest(system, Config.of({}, "test"), "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"'uvicorn' is not installed .*actorflow\[rest\]"):
        JobManagerRest(system, Config.of({"rest.port": 0}, "test"), "127.0.0.1:1")


def until_other_than(url, status):
    """Ask until the answer is another one; return it, None if nobody listens."""
    deadline = time.monotonic() + 20
    found = status
    while found == status and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                found = answer.status
        except urllib.error.HTTPError as error:
            found = error.code
        except OSError:
            found = None
    return found


def test_of_several_ports_the_first_that_is_free_is_taken(rest):
    taken = int(rest.cluster.rest_url.rpartition(":")[2])
    server = RestServer(Config.of({"rest.bind-port": f"{taken}-{min(taken + 20, 65535)}", "rest.port": 1}, "test"))
    try:
        assert taken < int(server.url.rpartition(":")[2])
    finally:
        server.close()
