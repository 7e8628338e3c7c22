"""Elections on a real ZooKeeper server: who leads, what happens when it or its connection ends, and what a deposed leader can still do."""

import logging
import logging.handlers
import queue
import threading

import pytest
from coordination_harness import Heard, leader_of
from kazoo_clients import administrator, break_connection, expire, line_of

from actorflow.errors import CoordinationError, Deposed
from actorflow.ids import JobId

pytestmark = pytest.mark.slow

JOB = JobId("wordcount-1")


class Contender:
    """A JobManager that takes part, and what it has heard."""

    def __init__(self, coordination):
        self.coordination = coordination
        self.heard = Heard()
        coordination.election.contend(self.heard.granted, self.heard.revoked)

    def granted(self):
        """Wait for the grant that is next to be heard; return its epoch."""
        word, epoch = self.heard.next()
        assert word == "granted"
        return epoch


def watched(coordination):
    heard = Heard()
    coordination.retrieval.watch(heard.changed)
    return heard


def test_one_leads_at_a_time_and_each_in_a_higher_epoch(on_zookeeper):
    first = Contender(on_zookeeper())
    assert first.granted() == 1
    heard = Heard()
    contenders = [on_zookeeper(), on_zookeeper()]
    for contender in contenders:
        contender.election.contend(heard.granted, heard.revoked)
    first.coordination.close()
    assert heard.next() == ("granted", 2)
    assert heard.nothing()


def test_everybody_finds_the_leader_and_hears_of_its_end_and_of_the_next(on_zookeeper):
    first, second = on_zookeeper(), on_zookeeper()
    heard = watched(on_zookeeper())
    leading = Contender(first)
    first.election.publish(leader_of(leading.granted(), "jm-1"))
    assert heard.next() == leader_of(1, "jm-1")
    standby = Contender(second)
    first.close()
    assert heard.next() is None
    second.election.publish(leader_of(standby.granted(), "jm-2"))
    assert heard.next() == leader_of(2, "jm-2")
    assert watched(on_zookeeper()).next() == leader_of(2, "jm-2")


def test_who_publishes_again_is_found_as_it_said_last(on_zookeeper):
    contender = Contender(on_zookeeper())
    epoch = contender.granted()
    heard = watched(on_zookeeper())
    for port in (6123, 6124):
        contender.coordination.election.publish(leader_of(epoch, port=port))
        assert heard.next() == leader_of(epoch, port=port)


def test_clusters_on_one_ensemble_know_nothing_of_each_other(on_zookeeper):
    ours, theirs = Contender(on_zookeeper(cluster_id="ours")), Contender(on_zookeeper(cluster_id="theirs"))
    assert (ours.granted(), theirs.granted()) == (1, 1)
    ours.coordination.jobs.put(JOB, b"plan", 1)
    assert theirs.coordination.jobs.read().submissions == {}


class TestALeaderWhoseSessionHasEnded:
    """It may go on believing to lead for a while. Nothing that it writes has an effect."""

    @pytest.fixture
    def stale(self, on_zookeeper, zookeeper):
        """Give a leader whose session was ended by force, and that has not understood it: its fence is as it was."""
        contender = Contender(on_zookeeper())
        contender.granted()
        contender.coordination.election.publish(leader_of(1))
        contender.coordination.jobs.put(JOB, b"plan", 1)
        fence = contender.coordination.election._fence
        grant = fence._grant
        expire(contender.coordination, zookeeper.quorum)
        assert contender.heard.next() == "revoked"
        assert contender.granted() == 2
        fence.open(grant)
        return contender

    def test_is_refused_each_of_its_writes(self, stale, on_zookeeper):
        coordination = stale.coordination
        for write in (
            lambda: coordination.jobs.put(JOB, b"stale", 1),
            lambda: coordination.jobs.remove(JOB, 1),
            lambda: coordination.checkpoints.record(JOB, (), 1),
            lambda: coordination.results.put(JOB, b"stale", 1),
            lambda: coordination.election.publish(leader_of(1, "stale")),
        ):
            with pytest.raises(Deposed, match="epoch 1 is over: another one was granted"):
                write()
        other = on_zookeeper()
        assert other.jobs.read().submissions == {JOB: b"plan"}
        assert other.checkpoints.read(JOB) == ()
        assert other.results.read() == {}

    def test_leaves_no_files_behind(self, stale, tmp_path):
        with pytest.raises(Deposed):
            stale.coordination.jobs.put(JOB, b"stale", 1)
        assert [file.read_bytes() for file in (tmp_path / "ha").rglob("wordcount*")] == [b"plan"]


def test_who_was_removed_from_the_line_by_hand_leads_no_longer(on_zookeeper, zookeeper):
    first = Contender(on_zookeeper())
    first.granted()
    second = Contender(on_zookeeper())
    with administrator(zookeeper.quorum) as client:
        election = first.coordination.election._connection.paths.election
        client.delete(f"{election}/{line_of(2, client, election)[0]}")
    assert first.heard.next() == "revoked"
    assert second.granted() == 2


def test_a_connection_that_breaks_costs_nothing_where_that_is_tolerated(on_zookeeper):
    contender = Contender(on_zookeeper(session="60s", tolerate_suspended_connections=True))
    contender.granted()
    break_connection(contender.coordination)
    contender.coordination.jobs.put(JOB, b"plan", 1)
    assert contender.heard.nothing()


class TestTheServer:
    """It goes away, for less and for more than a session's time.

    Who connects while it starts may not be answered before the session's time is over (the server forgets such connections), so sessions are short.
    """

    def test_killed_and_started_again_costs_an_epoch(self, on_zookeeper, zookeeper):
        contender = Contender(on_zookeeper(session="5s"))
        contender.granted()
        heard = watched(on_zookeeper(session="5s"))
        contender.coordination.election.publish(leader_of(1))
        assert heard.next() == leader_of(1)
        zookeeper.kill()
        assert contender.heard.next() == "revoked"
        with pytest.raises(Deposed, match="epoch 1 is over"):
            contender.coordination.jobs.put(JOB, b"plan", 1)
        zookeeper.start()
        assert contender.granted() == 2
        contender.coordination.election.publish(leader_of(2))
        assert heard.next() == leader_of(2)

    def test_that_stands_still_for_longer_than_a_session_has_the_leader_revoked_and_another_one_granted(
        self, on_zookeeper, zookeeper
    ):
        heard = Heard()
        for _ in range(2):
            on_zookeeper(session="1s").election.contend(heard.granted, heard.revoked)
        assert heard.next() == ("granted", 1)
        zookeeper.stand_still()
        try:
            assert heard.next() == "revoked"
        finally:
            zookeeper.go_on()
        assert heard.next() == ("granted", 2)

    def test_that_stands_still_for_less_than_a_session_costs_nothing(self, on_zookeeper, zookeeper):
        contender = Contender(on_zookeeper(session="30s"))
        contender.granted()
        zookeeper.stand_still()
        try:
            written = threading.Thread(target=contender.coordination.jobs.put, args=(JOB, b"plan", 1))
            written.start()
        finally:
            zookeeper.go_on()
        written.join(20)
        assert contender.coordination.jobs.read().submissions == {JOB: b"plan"}
        assert contender.heard.nothing()

    def test_that_has_lost_everything_has_jobs_named_that_do_not_go_on(self, on_zookeeper, zookeeper, tmp_path, caplog):
        before = Contender(on_zookeeper())
        before.coordination.jobs.put(JOB, b"plan", before.granted())
        before.coordination.close()
        zookeeper.kill()
        zookeeper.forget()
        zookeeper.start()
        after = Contender(on_zookeeper())
        after.coordination.jobs.collect(after.granted())
        assert after.coordination.jobs.read().submissions == {}
        assert "ZooKeeper knows of no job; 1 are in" in caplog.text
        assert len(list((tmp_path / "ha").rglob(f"{JOB}-*"))) == 1

    def test_that_is_not_there_yet_is_waited_for_and_named_once(self, on_zookeeper, zookeeper, caplog):
        zookeeper.kill()
        contender = Contender(on_zookeeper(connection_timeout="100ms"))
        try:
            with pytest.raises(CoordinationError, match="has not answered"):
                contender.coordination.jobs.read()
            refused = [record.getMessage() for record in caplog.records if "Connection refused" in record.getMessage()]
        finally:
            zookeeper.start()
        assert contender.granted() == 1
        assert len(refused) == 1
        assert f"ZooKeeper at '{zookeeper.quorum}'" in refused[0]


class TestAccess:
    """Nodes that only their creators may use."""

    def test_is_refused_to_who_says_something_else(self, on_zookeeper):
        ours = Contender(on_zookeeper(cluster_id="secret-1", acl="creator", authorization="digest:us:secret"))
        ours.coordination.jobs.put(JOB, b"plan", ours.granted())
        stranger = on_zookeeper(cluster_id="secret-1", authorization="digest:them:guess")
        with pytest.raises(CoordinationError, match=r"refuses access.*authorization"):
            stranger.jobs.read()

    def test_is_refused_in_one_line_to_who_looks_for_the_leader(self, on_zookeeper):
        ours = Contender(on_zookeeper(cluster_id="secret-3", acl="creator", authorization="digest:us:secret"))
        ours.coordination.election.publish(leader_of(ours.granted()))
        said = queue.SimpleQueue()
        handler = logging.handlers.QueueHandler(said)
        retrieval = logging.getLogger("actorflow.coordination.zookeeper.retrieval")
        retrieval.addHandler(handler)
        try:
            # an unknown scheme is refused with the connection, another password with the first look
            for authorization, reason in (("digest:us:guess", "NoAuthError"), ("digst:us:secret", "AuthFailedError")):
                stranger = on_zookeeper(cluster_id="secret-3", authorization=authorization)
                stranger.retrieval.watch(lambda _: None)
                line = said.get(timeout=20)
                assert line.levelname == "ERROR"
                assert f"refuses access: {reason} (hint: all nodes of a cluster need the same" in line.getMessage()
                assert "refuses access" in stranger.retrieval.obstacle().message
        finally:
            retrieval.removeHandler(handler)
        assert said.empty()

    def test_is_given_to_who_says_the_same(self, on_zookeeper):
        settings = {"cluster_id": "secret-2", "acl": "creator", "authorization": "digest:us:secret"}
        ours = Contender(on_zookeeper(**settings))
        ours.coordination.jobs.put(JOB, b"plan", ours.granted())
        assert on_zookeeper(**settings).jobs.read().submissions == {JOB: b"plan"}


class TestTornEntries:
    """What a job left half written, or lost, is its own business."""

    @pytest.fixture
    def stored(self, on_zookeeper, tmp_path):
        contender = Contender(on_zookeeper())
        epoch = contender.granted()
        for name in ("torn", "whole"):
            contender.coordination.jobs.put(JobId(name), name.encode() * 100, epoch)
        (file,) = (tmp_path / "ha").rglob("torn-*")
        return contender.coordination, file

    def test_and_that_no_pointer_names_is_removed_by_the_next_leader(self, stored):
        coordination, file = stored
        orphan = file.with_name(f"orphan-{'0' * 32}")
        orphan.write_bytes(b"written, and never named")
        with pytest.raises(Deposed):
            coordination.jobs.collect(2)
        assert orphan.exists()
        coordination.jobs.collect(1)
        assert not orphan.exists()
        assert sorted(coordination.jobs.read().submissions) == ["torn", "whole"]

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda file: file.write_bytes(file.read_bytes()[:-1]), "has 399 bytes, 400 were written"),
            (lambda file: file.write_bytes(b"x" * 400), "its checksum is not that of what was written"),
            (lambda file: file.unlink(), "no such file"),
        ],
        ids=["truncated", "damaged", "lost"],
    )
    def test_is_named_and_the_rest_is_read(self, stored, damage, reason):
        coordination, file = stored
        damage(file)
        jobs = coordination.jobs.read()
        assert jobs.submissions == {"whole": b"whole" * 100}
        assert list(jobs.damaged) == ["torn"]
        assert reason in jobs.damaged[JobId("torn")]

    def test_a_pointer_that_cannot_be_read_is_named_too(self, stored, zookeeper):
        coordination, _ = stored
        with administrator(zookeeper.quorum) as client:
            client.set(f"{coordination.jobs._connection.paths.jobs}/torn", b"\xc1")
        assert "its pointer in ZooKeeper cannot be read" in coordination.jobs.read().damaged[JobId("torn")]


def test_to_clean_a_result_no_others_are_read(on_zookeeper, monkeypatch):
    contender = Contender(on_zookeeper())
    epoch, results = contender.granted(), contender.coordination.results
    results.read()
    monkeypatch.setattr(results._connection, "children", None)
    for number in range(4):
        results.put(JobId(f"job-{number}"), b"", epoch)
        results.clean(JobId(f"job-{number}"), epoch)
    monkeypatch.undo()
    assert list(results.read()) == ["job-2", "job-3"]
