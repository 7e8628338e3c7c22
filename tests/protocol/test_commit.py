"""What becomes of prepared output."""

import pytest

from actorflow.errors import ErrorInfo, InvariantViolated
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.commit import AbortLeft, CommitFailed, CommitLeft, PreparedOutput, RunCommitted
from actorflow.protocol.deployment import SubtaskFinished
from actorflow.protocol.job_messages import CommitOutput, OutputCommitted
from actorflow.protocol.machine import Report, Send, Start, WorkDone, WorkFailed
from actorflow.protocol.slots import Allocation

A, B, C = (Allocation(f"1.{number}") for number in range(1, 4))
ERROR = ErrorInfo("OSError", "disk full")
COMMITTED = [Report(RunCommitted())]


def worker(allocation):
    return Address(f"worker-{allocation}/worker")


def subtask(index):
    return SubtaskId(VertexId("write"), index)


def output(*prepared, run=3):
    """Output of `(allocation, index of the subtask, payload)`."""
    output = PreparedOutput(run)
    for allocation, index, payload in prepared:
        output.prepared(SubtaskFinished(subtask(index), run, payload), worker(allocation), allocation)
    return output


def test_every_worker_with_output_is_asked_to_commit_once():
    effects = output((A, 0, b"a0"), (B, 1, b"b1"), (A, 2, b"a2")).commit()
    assert [Send(worker(A), CommitOutput(3)), Send(worker(B), CommitOutput(3))] == effects


def test_a_run_is_committed_when_the_last_worker_has_answered():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit()
    assert [] == prepared.committed(OutputCommitted(3, B))
    assert COMMITTED == prepared.committed(OutputCommitted(3, A))


def test_a_run_that_has_prepared_nothing_is_committed_at_once():
    assert COMMITTED == output((A, 0, b"")).commit()


def test_an_error_is_reported():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit()
    assert [Report(CommitFailed(ERROR))] == prepared.committed(OutputCommitted(3, A, ERROR))


def test_output_of_a_lost_worker_is_committed_for_it_once():
    prepared = output((A, 0, b"a0"), (A, 1, b"a1"))
    prepared.commit()
    left = CommitLeft(3, A, (b"a0", b"a1"))
    assert [Start(left)] == prepared.worker_lost(A)
    assert [] == prepared.worker_lost(A)
    assert COMMITTED == prepared.left_committed(WorkDone(left, None), left)


def test_output_that_cannot_be_committed_for_a_lost_worker_is_an_error():
    prepared = output((A, 0, b"a"))
    prepared.commit()
    (start,) = prepared.worker_lost(A)
    assert [Report(CommitFailed(ERROR))] == prepared.left_committed(WorkFailed(start.work, ERROR), start.work)


def test_the_last_word_of_a_lost_worker_counts_and_the_work_for_it_comes_too_late():
    prepared = output((A, 0, b"a"))
    prepared.commit()
    (start,) = prepared.worker_lost(A)
    assert COMMITTED == prepared.committed(OutputCommitted(3, A))
    assert [] == prepared.left_committed(WorkDone(start.work, None), start.work)


def test_a_worker_may_be_lost_after_it_has_answered_or_if_it_has_nothing_to_commit():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    prepared.commit()
    prepared.committed(OutputCommitted(3, A))
    assert [] == prepared.worker_lost(A)
    assert [] == prepared.worker_lost(C)


def test_a_worker_that_is_lost_before_the_decision_leaves_its_output_to_be_removed():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    assert [] == prepared.worker_lost(A)
    assert [Start(AbortLeft((b"a", b"b")))] == prepared.abort()
    assert [] == prepared.abort()


def test_after_the_decision_nothing_is_removed_and_nothing_added():
    prepared = output((A, 0, b"a"))
    prepared.commit()
    prepared.prepared(SubtaskFinished(subtask(9), 3, b"late"), worker(B), B)
    assert [] == prepared.abort()
    assert COMMITTED == prepared.committed(OutputCommitted(3, A))


def test_answers_of_another_run_before_the_decision_or_twice_are_dropped():
    prepared = output((A, 0, b"a"), (B, 1, b"b"))
    assert [] == prepared.committed(OutputCommitted(3, A))
    prepared.commit()
    assert [] == prepared.committed(OutputCommitted(2, A))
    left = CommitLeft(2, A, (b"a",))
    assert [] == prepared.left_committed(WorkDone(left, None), left)
    assert [] == [*prepared.committed(OutputCommitted(3, A)), *prepared.committed(OutputCommitted(3, A))]


def test_check_finds_waiting_without_reason():
    prepared = output((A, 0, b"a"))
    prepared.commit()
    prepared.committing = False
    with pytest.raises(InvariantViolated, match="not decided"):
        prepared.check()
    prepared.committing = True
    prepared._awaited[B] = None
    with pytest.raises(InvariantViolated, match=r"1\.2, which has prepared nothing"):
        prepared.check()
