"""What a Dispatcher knows of its jobs, and what clients hear of them, whatever is lost on the way between."""

import random

import pytest

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId
from actorflow.protocol.jobs.job_board import JobAccepted, JobBoard, JobBroke, JobRecorded, JobRemembered, JobWaits, Memory
from actorflow.protocol.jobs.job_follower import DispatcherFound, JobFollower
from actorflow.protocol.jobs.job_messages import (
    JobProgressed,
    JobStatus,
    JobStatusChanged,
    NodeLost,
    ResultChunk,
    ResultTaken,
    SubmitJob,
)
from actorflow.protocol.machine import Report, Send
from actorflow.protocol.nodes.client_messages import AttachClient, JobUnknown, ResultsReceived, ResultsSent
from actorflow.testing.probe import Probe

DISPATCHER, CLIENT, OTHER = Address("jm/job-manager"), Address("laptop/client"), Address("desk/client")
JOB, MASTER = JobId("words-1"), Address("jm/job-manager/words-1")
WRITER = SubtaskId(VertexId("write"), 0)
SUBMISSION = SubmitJob(JOB, "words", b"plan", {}, CLIENT)
RUNNING = JobStatusChanged(JOB, JobStatus.RUNNING, 1)
FINISHED = JobStatusChanged(JOB, JobStatus.FINISHED, 1)
ERROR = ErrorInfo("NotEnoughSlots", "2 slots are missing")


def board(*events, **options):
    probe = Probe(JobBoard(DISPATCHER, **options))
    probe.tell(*events)
    return probe


def chunk(payload, attempt=1):
    return ResultChunk(JOB, WRITER, attempt, payload)


def told(probe):
    """Who was told what in the last step."""
    return [(effect.to, effect.message) for effect in probe.effects if isinstance(effect, Send)]


def test_a_job_is_accepted_once_and_a_submission_that_comes_again_is_answered_by_its_status():
    probe = board(SUBMISSION)
    assert [JobAccepted(SUBMISSION)] == probe.reports()
    probe.tell(RUNNING, SUBMISSION)
    assert ([], [(CLIENT, RUNNING)] * 2) == (probe.reports(), told(probe))


def test_every_client_that_is_attached_hears_of_a_job_until_its_node_is_lost():
    probe = board(SUBMISSION, AttachClient(JOB, OTHER), NodeLost(NodeId("laptop"), "it left"))
    probe.tell(RUNNING, JobProgressed(JOB, 1, 10, 5))
    assert [(OTHER, RUNNING), (OTHER, JobProgressed(JOB, 1, 10, 5))] == told(probe)


def test_who_attaches_is_told_the_status_with_the_records_so_far():
    probe = board(SUBMISSION, RUNNING, JobProgressed(JOB, 1, 10, 5))
    probe.tell(AttachClient(JOB, OTHER))
    assert [(OTHER, JobStatusChanged(JOB, JobStatus.RUNNING, 1, None, 10, 5))] == told(probe)


def test_who_asks_for_an_unknown_job_is_told_so():
    probe = board()
    probe.tell(AttachClient(JOB, OTHER))
    assert [(OTHER, JobUnknown(JOB))] == told(probe)


def test_results_go_to_the_first_client_and_are_sent_again_until_it_has_them():
    probe = board(SUBMISSION, RUNNING, AttachClient(JOB, OTHER))
    probe.tell(chunk(b"a"), chunk(b"b"))
    sent = [(CLIENT, ResultsSent(JOB, WRITER, 1, number, payload)) for number, payload in ((1, b"a"), (2, b"b"))]
    assert sent == told(probe)
    probe.tell(AttachClient(JOB, CLIENT))
    assert [*sent, (CLIENT, RUNNING)] == told(probe)
    probe.tell(ResultsReceived(JOB, WRITER, 1, 2))
    assert [(MASTER, ResultTaken(WRITER, 1))] * 2 == told(probe)
    probe.tell(AttachClient(JOB, CLIENT))
    assert [(CLIENT, RUNNING)] == told(probe)


def test_results_for_nobody_are_acknowledged_and_dropped():
    probe = board(SUBMISSION, RUNNING, chunk(b"a"))
    probe.tell(NodeLost(NodeId("laptop"), "it left"), chunk(b"b"))
    assert [(MASTER, ResultTaken(WRITER, 1))] * 2 == told(probe)


def test_who_reads_hears_of_the_end_behind_the_last_result():
    probe = board(SUBMISSION, RUNNING, AttachClient(JOB, OTHER), chunk(b"a"))
    probe.tell(FINISHED)
    assert [(OTHER, FINISHED)] == told(probe)
    probe.tell(ResultsReceived(JOB, WRITER, 1, 1))
    assert [(CLIENT, FINISHED)] == told(probe)


def test_what_earlier_attempts_say_and_have_sent_is_void():
    probe = board(SUBMISSION, RUNNING, chunk(b"a"), JobStatusChanged(JOB, JobStatus.RESTARTING, 1, ERROR))
    second = JobStatusChanged(JOB, JobStatus.WAITING_FOR_SLOTS, 2)
    probe.tell(second)
    probe.tell(chunk(b"late"), RUNNING, ResultsReceived(JOB, WRITER, 1, 1))
    assert [] == told(probe)
    probe.tell(AttachClient(JOB, CLIENT))
    assert [(CLIENT, second)] == told(probe)


def test_a_job_that_waits_says_for_what_until_it_goes_on():
    waiting = JobStatusChanged(JOB, JobStatus.WAITING_FOR_SLOTS, 1)
    probe = board(SUBMISSION, waiting, JobWaits(JOB, ERROR))
    assert [ERROR] == [job.error for job in probe.machine.listed(3.0).jobs]
    probe.tell(RUNNING)
    assert [None] == [job.error for job in probe.machine.listed(3.0).jobs]


def test_a_job_whose_master_broke_has_failed():
    probe = board(SUBMISSION, RUNNING)
    probe.tell(JobBroke(JOB, ERROR))
    assert [(CLIENT, JobStatusChanged(JOB, JobStatus.FAILED, 1, ERROR))] == told(probe)


def test_only_the_last_jobs_that_are_over_are_remembered():
    probe = board(memory=Memory(jobs_max=2))
    for job in ("a", "b", "running", "c"):
        probe.tell(SubmitJob(JobId(job), job, b"", {}, CLIENT))
        if job != "running":
            probe.tell(JobStatusChanged(JobId(job), JobStatus.FINISHED, 1))
    assert ["b", "running", "c"] == [job.name for job in probe.machine.listed(9.0).jobs]
    assert ("running",) == probe.machine.under_way()


def test_a_job_that_is_over_is_remembered_with_its_record_until_its_time_is_over():
    probe = board(SUBMISSION, JobRecorded(JOB, b"as it was"), memory=Memory(seconds=60.0))
    probe.advance(100.0)
    probe.tell(FINISHED)
    probe.advance(60.0)
    assert (b"as it was", 1) == (probe.machine.record(JOB), len(probe.machine.listed(160.0).jobs))
    assert () == probe.machine.listed(160.1).jobs
    assert (b"", False) == (probe.machine.record(JOB), probe.machine.knows(JOB))
    probe.tell(JobRecorded(JOB, b"late"))
    assert b"" == probe.machine.record(JOB)


def test_the_time_of_a_job_ends_with_it():
    probe = board(SUBMISSION)
    probe.advance(5.0)
    assert [5.0] == [job.duration_s for job in probe.machine.listed(5.0).jobs]
    probe.tell(FINISHED)
    assert [5.0] == [job.duration_s for job in probe.machine.listed(50.0).jobs]


# --- the client's side -------------------------------------------------------------------------------------------------------------


def follower(*events, submission=SUBMISSION):
    probe = Probe(JobFollower(JOB, CLIENT, submission, again_s=2.0))
    probe.tell(*events)
    return probe


def test_a_job_is_submitted_again_until_it_is_confirmed_and_asked_for_from_then_on():
    probe = follower(DispatcherFound(DISPATCHER, 1))
    probe.advance(2.0)
    assert [(DISPATCHER, SUBMISSION)] == told(probe)
    probe.tell(RUNNING)
    probe.advance(2.0)
    assert [(DISPATCHER, AttachClient(JOB, CLIENT))] == told(probe)


def test_it_is_asked_for_under_a_new_leader_whose_results_are_of_attempts_with_higher_numbers():
    probe = follower(DispatcherFound(DISPATCHER, 1), RUNNING, ResultsSent(JOB, WRITER, 3, 1, b"a"))
    new = Address("jm-2/job-manager-2")
    probe.tell(DispatcherFound(new, 2))
    assert ([], [(new, AttachClient(JOB, CLIENT))]) == (probe.reports(), told(probe))
    probe.tell(ResultsSent(JOB, WRITER, 1_000_001, 1, b"a"))
    assert [b"a"] == [result.payload for result in probe.reports()]
    probe.tell(ResultsSent(JOB, WRITER, 3, 2, b"b"))
    assert [] == probe.reports()


def test_a_job_that_was_confirmed_and_is_not_known_any_more_has_failed_and_is_not_submitted_twice():
    probe = follower(DispatcherFound(DISPATCHER, 1), JobUnknown(JOB))
    assert [(DISPATCHER, SUBMISSION)] * 2 == told(probe)
    probe.tell(RUNNING, JobUnknown(JOB))
    assert ([JobStatus.RUNNING, JobStatus.FAILED], []) == ([news.status for news in probe.reports()], told(probe))
    assert {} == probe.timers


def test_nothing_is_asked_after_the_end():
    probe = follower(DispatcherFound(DISPATCHER, 1), FINISHED)
    assert ({}, []) == (probe.timers, probe.tell(RUNNING, DispatcherFound(DISPATCHER, 2)))


@pytest.mark.parametrize("seed", range(60))
def test_over_links_that_lose_and_double_messages_every_result_is_read_once_in_order_and_then_the_end(seed):
    chance = random.Random(seed)
    sent, one, other = 12, Probe(JobBoard(DISPATCHER)), follower(DispatcherFound(DISPATCHER, 1))
    taken, heard, bags = 0, [], {DISPATCHER: [SUBMISSION], CLIENT: []}

    def note(probe):
        nonlocal taken
        for effect in probe.effects:
            if isinstance(effect, Report):
                heard.append(effect.value)
            elif effect.__class__ is Send and effect.to in bags:
                bags[effect.to] += [effect.message] * chance.choice((0, 1, 1, 2))
            elif isinstance(effect, Send):
                taken += isinstance(effect.message, ResultTaken)

    script = [RUNNING, *(chunk(bytes([n])) for n in range(sent)), FINISHED]
    for _ in range(2_000):
        place = chance.choice((DISPATCHER, CLIENT))
        if bags[place]:
            probe = one if place == DISPATCHER else other
            probe.tell(bags[place].pop(0))
            note(probe)
        elif chance.random() < 0.1:
            other.advance(2.0)
            note(other)
        if script and one.machine.knows(JOB) and chance.random() < 0.2:
            one.tell(script.pop(0))
            note(one)
    read = [news.payload for news in heard if isinstance(news, ResultChunk)]
    assert [bytes([n]) for n in range(sent)] == read
    assert (FINISHED, 1) == (heard[-1], sum(isinstance(news, JobAccepted) for news in heard))


def test_a_job_that_was_over_before_is_remembered_and_told_of():
    probe = board(JobRemembered("words", FINISHED))
    probe.tell(AttachClient(JOB, OTHER))
    assert [(OTHER, FINISHED)] == told(probe)
    assert ["words"] == [summary.name for summary in probe.machine.listed(0.0).jobs]
