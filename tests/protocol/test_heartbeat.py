"""Heartbeats: suspicion, death, and the fence around a dead incarnation."""

import pytest

from actorflow.errors import InvariantViolated
from actorflow.ids import Address
from actorflow.protocol.machine import TimerFired
from actorflow.protocol.nodes.heartbeat import (
    Heartbeat,
    HeartbeatMonitor,
    IncarnationFenced,
    PeerAdded,
    PeerDied,
    PeerRemoved,
    PeerRestarted,
    PeerSuspected,
    PeerTrusted,
    PeerUnreachable,
    SelfFenced,
)
from actorflow.testing.probe import Probe

ME, PEER, OTHER = Address("jm-1/beats"), Address("tm-1/beats"), Address("tm-2/beats")


def monitor(*events):
    probe = Probe(HeartbeatMonitor(ME, 3, interval_s=10.0, suspect_after_s=25.0, dead_after_s=50.0))
    probe.tell(*events)
    return probe


def test_a_peer_gets_a_beat_when_it_is_added_and_then_once_an_interval():
    probe = monitor(PeerAdded(PEER, 1))
    assert [Heartbeat(ME, 3)] == probe.sent()
    probe.advance(20.0)
    assert [Heartbeat(ME, 3)] * 2 == probe.sent()


def test_a_peer_that_beats_stays_alive():
    probe = monitor(PeerAdded(PEER, 1))
    for _ in range(20):
        probe.advance(10.0)
        assert [] == probe.reports()
        probe.tell(Heartbeat(PEER, 1))


def test_silence_raises_suspicion_and_then_is_death():
    probe = monitor(PeerAdded(PEER, 1))
    probe.advance(60.0)
    assert [PeerSuspected(PEER, 1, 30.0), PeerDied(PEER, 1, "no heartbeat for 50.0 s")] == probe.reports()


def test_a_suspected_peer_that_beats_is_trusted_again():
    probe = monitor(PeerAdded(PEER, 1))
    probe.advance(30.0)
    probe.tell(Heartbeat(PEER, 1))
    assert [PeerTrusted(PEER, 1)] == probe.reports()


def test_a_dead_incarnation_is_told_so_and_stays_dead():
    probe = monitor(PeerAdded(PEER, 1))
    probe.advance(50.0)
    probe.tell(Heartbeat(PEER, 1))
    assert ([], [IncarnationFenced(ME, 1)]) == (probe.reports(), probe.sent())
    probe.advance(10.0)
    assert [Heartbeat(ME, 3)] == probe.sent()


def test_a_higher_incarnation_brings_a_dead_peer_back():
    probe = monitor(PeerAdded(PEER, 1))
    probe.advance(50.0)
    probe.tell(Heartbeat(PEER, 2))
    assert [PeerRestarted(PEER, 2)] == probe.reports()


def test_a_higher_incarnation_of_a_living_peer_ends_the_old_one():
    probe = monitor(PeerAdded(PEER, 1))
    probe.tell(Heartbeat(PEER, 2))
    assert [PeerDied(PEER, 1, "it was started anew"), PeerRestarted(PEER, 2)] == probe.reports()
    assert [] == probe.tell(Heartbeat(PEER, 1))


def test_a_peer_known_to_be_gone_is_dead_at_once_and_only_that_incarnation():
    probe = monitor(PeerAdded(PEER, 2))
    assert [] == probe.tell(PeerUnreachable(PEER, 1, "exit status 9"))
    probe.tell(PeerUnreachable(PEER, 2, "exit status 9"))
    assert [PeerDied(PEER, 2, "exit status 9")] == probe.reports()


def test_a_node_that_was_stopped_itself_does_not_blame_its_peers():
    probe = monitor(PeerAdded(PEER, 1))
    probe.now = 500.0
    probe.tell(TimerFired("heartbeat"))
    assert [] == probe.reports()
    probe.advance(50.0)
    assert [PeerSuspected, PeerDied] == [type(report) for report in probe.reports()]


def test_a_node_that_others_declared_dead_hears_of_it():
    probe = monitor(PeerAdded(PEER, 1))
    assert [] == probe.tell(IncarnationFenced(PEER, 2))
    probe.tell(IncarnationFenced(PEER, 3))
    assert [SelfFenced(PEER, 3)] == probe.reports()


def test_a_removed_peer_is_forgotten_and_the_clock_stops_with_the_last():
    probe = monitor(PeerAdded(PEER, 1), PeerAdded(OTHER, 1))
    probe.tell(PeerRemoved(PEER))
    assert [OTHER] == [health.peer for health in probe.machine.observe()]
    probe.tell(PeerRemoved(OTHER))
    assert {} == probe.timers
    assert [] == probe.tell(Heartbeat(PEER, 1))


def test_check_finds_a_silent_peer_that_is_believed_alive():
    probe = monitor(PeerAdded(PEER, 1))
    probe.advance(10.0)
    probe.machine._peers[PEER].heard_at = -1000.0
    with pytest.raises(InvariantViolated, match="not dead"):
        probe.machine.check()
