"""A cluster with one JobManager: who leads, and how it is found."""

import pytest
from coordination_harness import Heard, leader_of

from actorflow.config import Config
from actorflow.coordination import leader_node, open_coordination
from actorflow.errors import ConfigError, Deposed


def opened(directory=None, **settings):
    return open_coordination(Config.of({name.replace("__", "."): value for name, value in settings.items()}), directory)


def test_the_only_contender_leads_at_once():
    heard = Heard()
    opened().election.contend(heard.granted, heard.revoked)
    assert heard.next() == ("granted", 1)
    assert heard.nothing()


def test_both_sides_derive_the_leader_from_the_configuration():
    config = Config.of({"cluster.id": "demo", "jobmanager.rpc.address": "jm.example", "jobmanager.rpc.port": 7000})
    heard = Heard()
    open_coordination(config).retrieval.watch(heard.changed)
    leader = heard.next()
    assert leader.node == leader_node(config) == "demo-jobmanager"
    assert leader.endpoints == ("tcp://jm.example:7000",)
    assert leader.dispatcher == "demo-jobmanager/job-manager"
    assert leader.resource_manager == "demo-jobmanager/resource-manager"
    assert leader.epoch == 1


def test_a_host_in_the_list_goes_before_address_and_port():
    heard = Heard()
    opened(jobmanager={"hosts": ["10.0.0.1:6200"], "rpc.port": 7000}).retrieval.watch(heard.changed)
    assert heard.next().endpoints == ("tcp://10.0.0.1:6200",)


def test_port_0_without_a_run_directory_is_refused():
    with pytest.raises(ConfigError, match="nobody can find a JobManager whose port is 0"):
        opened(jobmanager__rpc__port=0)


@pytest.fixture
def at_port_0(tmp_path):
    """Open nodes of one cluster whose JobManager takes a free port."""
    coordinations = []

    def node():
        coordinations.append(opened(tmp_path, jobmanager__rpc__port=0))
        return coordinations[-1]

    yield node
    for coordination in coordinations:
        coordination.close()


def test_a_leader_at_port_0_is_found_when_it_has_published(at_port_0):
    heard = Heard()
    at_port_0().retrieval.watch(heard.changed)
    job_manager = at_port_0()
    job_manager.election.contend(heard.granted, heard.revoked)
    assert heard.next() == ("granted", 1)
    job_manager.election.publish(leader_of(1, port=4711))
    assert heard.next() == leader_of(1, port=4711)


def test_watchers_hear_that_the_leader_has_left_and_of_the_next(at_port_0):
    watching, elected = Heard(), Heard()
    at_port_0().retrieval.watch(watching.changed)
    for port in (4711, 4712):
        job_manager = at_port_0()
        job_manager.election.contend(elected.granted, elected.revoked)
        job_manager.election.publish(leader_of(1, port=port))
        assert watching.next() == leader_of(1, port=port)
        job_manager.close()
        assert watching.next() is None


def test_who_leaves_takes_nothing_back_that_another_has_published_since(at_port_0):
    heard = Heard()
    first, second = at_port_0(), at_port_0()
    for number, job_manager in enumerate((first, second)):
        job_manager.election.contend(heard.granted, heard.revoked)
        assert heard.next() == ("granted", 1)
        job_manager.election.publish(leader_of(1, port=4711 + number))
    first.close()
    at_port_0().retrieval.watch(heard.changed)
    assert heard.next() == leader_of(1, port=4712)


def test_a_damaged_file_names_no_leader(at_port_0, tmp_path):
    heard = Heard()
    job_manager = at_port_0()
    job_manager.election.contend(heard.granted, heard.revoked)
    job_manager.election.publish(leader_of(1))
    assert heard.next() == ("granted", 1)
    at_port_0().retrieval.watch(heard.changed)
    assert heard.next() == leader_of(1)
    (file,) = tmp_path.glob("*.leader")
    file.write_bytes(b"\xc1 no message")
    assert heard.next() is None


def test_nothing_is_written_before_the_grant_or_after_the_end():
    coordination = opened()
    with pytest.raises(Deposed, match="epoch 1 is over"):
        coordination.jobs.put("wordcount", b"plan", 1)
    heard = Heard()
    coordination.election.contend(heard.granted, heard.revoked)
    coordination.close()
    with pytest.raises(Deposed):
        coordination.election.publish(leader_of(1))
