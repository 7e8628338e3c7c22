"""What becomes of prepared output."""

import pytest

from actorflow.errors import ErrorInfo, InvariantViolated
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.checkpoints.commit import AbortLeft, CommitFailed, CommitLeft, PreparedOutput, RunCommitted
from actorflow.protocol.jobs.deployment import KillSlot, SubtaskFinished
from actorflow.protocol.jobs.job_messages import CommitOutput, OutputCommitted
from actorflow.protocol.machine import CancelTimer, Report, Send, SetTimer, Start, WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import Allocation

A, B, C = (Allocation(f"1.{number}") for number in range(1, 4))
ERROR = ErrorInfo("OSError", "disk full")
AGAIN_S, LIMIT_S = 10.0, 30.0
TM = Address("tm/tm")
TIMER = "commit:3"
DONE = [Report(RunCommitted())]
COMMITTED = [CancelTimer(TIMER), *DONE]
FAILED = [CancelTimer(TIMER), Report(CommitFailed(ERROR))]


def worker(allocation):
    return Address(f"worker-{allocation}/worker")


def subtask(index):
    return SubtaskId(VertexId("write"), index)


def output(*prepared, run=3):
    """Output of `(allocation, index of the subtask, payload)`."""
    output = PreparedOutput(run, again_s=AGAIN_S, limit_s=LIMIT_S)
    for allocation, index, payload in prepared:
        output.prepared(SubtaskFinished(subtask(index), run, payload), worker(allocation), TM, allocation)
    return output


def test_every_worker_with_output_is_asked_to_commit_once():
    effects = output((A, 0, b"a0"), (B, 1, b"b1"), (A, 2, b"a2")).commit(0.0)
    assert [SetTimer(TIMER, 10.0), Send(worker(A), CommitOutput(3)), Send(worker(B), CommitOutput(3))] == effects


def test_a_run_is_committed_when_the_last_worker_has_answered():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit(0.0)
    assert [] == prepared.committed(OutputCommitted(3, B))
    assert COMMITTED == prepared.committed(OutputCommitted(3, A))


def test_a_run_that_has_prepared_nothing_is_committed_at_once():
    assert DONE == output((A, 0, b"")).commit(0.0)


def test_an_error_is_reported_when_all_others_have_answered():
    prepared = output((A, 0, b"a"), (B, 1, b"b"), (C, 2, b"c"))
    prepared.commit(0.0)
    assert [] == prepared.committed(OutputCommitted(3, A, ERROR))
    assert [] == prepared.committed(OutputCommitted(3, B, ErrorInfo("OSError", "a second one")))
    assert FAILED == prepared.committed(OutputCommitted(3, C))


# --- who does not answer ------------------------------------------------------------------------------------------------------


def test_who_has_not_answered_is_asked_again():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit(0.0)
    prepared.committed(OutputCommitted(3, A))
    assert [SetTimer(TIMER, 20.0), Send(worker(B), CommitOutput(3))] == prepared.ask(10.0)


def test_who_has_not_committed_in_time_is_killed_again_and_again_until_it_is_lost():
    prepared = output((A, 0, b"a"))
    prepared.commit(0.0)
    kill = Send(TM, KillSlot(A, "its output was not committed within 30 s"))
    assert [SetTimer(TIMER, 40.0), kill] == prepared.ask(30.0)
    assert [SetTimer(TIMER, 50.0), kill] == prepared.ask(40.0)
    left = CommitLeft(3, A, (b"a",))
    assert [Start(left)] == prepared.worker_lost(A, 45.0)
    assert [SetTimer(TIMER, 60.0)] == prepared.ask(50.0)
    assert COMMITTED == prepared.work_news(WorkDone(left, None), 0.0)


def test_output_that_is_not_committed_in_time_for_a_lost_worker_is_an_error():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit(0.0)
    prepared.committed(OutputCommitted(3, B))
    prepared.worker_lost(A, 5.0)
    assert [SetTimer(TIMER, 44.0)] == prepared.ask(34.0)
    *_, cancelled, failed = prepared.ask(35.0)
    assert CancelTimer(TIMER) == cancelled
    assert "output of worker-1.1/worker, which was lost, could not be committed for it within 30 s" == failed.value.error.message


def test_nobody_is_asked_when_nothing_is_waited_for():
    prepared = output((A, 0, b"a"))
    assert [] == prepared.ask(10.0)
    prepared.commit(0.0)
    prepared.committed(OutputCommitted(3, A))
    assert [] == prepared.ask(10.0)


# --- who is lost --------------------------------------------------------------------------------------------------------------


def test_output_of_a_lost_worker_is_committed_for_it_once():
    prepared = output((A, 0, b"a0"), (A, 1, b"a1"))
    prepared.commit(0.0)
    left = CommitLeft(3, A, (b"a0", b"a1"))
    assert [Start(left)] == prepared.worker_lost(A, 1.0)
    assert [] == prepared.worker_lost(A, 1.0)
    assert COMMITTED == prepared.work_news(WorkDone(left, None), 0.0)


def test_output_that_cannot_be_committed_for_a_lost_worker_is_an_error():
    prepared = output((A, 0, b"a"))
    prepared.commit(0.0)
    (start,) = prepared.worker_lost(A, 1.0)
    assert FAILED == prepared.work_news(WorkFailed(start.work, ERROR), 0.0)


def test_the_last_word_of_a_lost_worker_counts_and_the_work_for_it_comes_too_late():
    prepared = output((A, 0, b"a"))
    prepared.commit(0.0)
    (start,) = prepared.worker_lost(A, 1.0)
    assert COMMITTED == prepared.committed(OutputCommitted(3, A))
    assert [] == prepared.work_news(WorkDone(start.work, None), 0.0)


def test_the_failure_of_a_worker_that_was_lost_does_not_count_for_its_output_is_being_committed():
    prepared = output((A, 0, b"a"))
    prepared.commit(0.0)
    (start,) = prepared.worker_lost(A, 1.0)
    assert [] == prepared.committed(OutputCommitted(3, A, ERROR))
    assert COMMITTED == prepared.work_news(WorkDone(start.work, None), 0.0)


def test_a_worker_may_be_lost_after_it_has_answered_or_if_it_has_nothing_to_commit():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit(0.0)
    prepared.committed(OutputCommitted(3, A))
    assert [] == prepared.worker_lost(A, 1.0)
    assert [] == prepared.worker_lost(C, 1.0)


def test_a_worker_that_is_lost_before_the_decision_leaves_its_output_to_be_removed():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    assert [] == prepared.worker_lost(A, 1.0)
    assert [Start(AbortLeft((b"a", b"b")))] == prepared.abort()
    assert [] == prepared.abort()


def test_after_the_decision_nothing_is_removed_and_nothing_added():
    prepared = output((A, 0, b"a"))
    prepared.commit(0.0)
    prepared.prepared(SubtaskFinished(subtask(9), 3, b"late"), worker(B), TM, B)
    assert [] == prepared.abort()
    assert COMMITTED == prepared.committed(OutputCommitted(3, A))


def test_answers_of_another_run_before_the_decision_or_twice_are_dropped():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    assert [] == prepared.committed(OutputCommitted(3, A))
    prepared.commit(0.0)
    assert [] == prepared.committed(OutputCommitted(2, A))
    left = CommitLeft(2, A, (b"a",))
    assert [] == prepared.work_news(WorkDone(left, None), 0.0)
    assert [] == [*prepared.committed(OutputCommitted(3, A)), *prepared.committed(OutputCommitted(3, A))]


def test_check_finds_waiting_without_reason():
    prepared = output((A, 0, b"a"))
    prepared.commit(0.0)
    prepared.committing = False
    with pytest.raises(InvariantViolated, match="not decided"):
        prepared.check()
    prepared.committing = True
    prepared._awaited[B] = None
    with pytest.raises(InvariantViolated, match=r"1\.2, which has prepared nothing"):
        prepared.check()
