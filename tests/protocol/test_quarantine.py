"""Which records are put aside, and in which runs."""

from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId, VertexId
from actorflow.protocol.jobs.quarantine import Quarantine, Quarantined

LIMITS = {"parse": 2}


def failure(suspect, operator="parse", text="bad"):
    return ErrorInfo("ValueError", text, context={"operator": operator, "subtask": "parse/1"}, suspect=suspect)


def orders_after(*failures):
    quarantine = Quarantine(LIMITS)
    for error in failures:
        quarantine.failed(error)
        quarantine.check()
    return [(order.suspect, order.times, order.failures, order.error.message) for order in quarantine.orders]


def test_a_record_is_put_aside_after_its_last_failure_with_that_failure():
    assert [] == orders_after(failure("a"), failure("b"))
    assert [("a", 1, 2, "again")] == orders_after(failure("a"), failure("b"), failure("a", text="again"))


def test_another_such_record_is_put_aside_after_as_many_failures_of_its_own():
    assert [("a", 1, 2, "bad")] == orders_after(*[failure("a")] * 3)
    assert [("a", 2, 2, "bad")] == orders_after(*[failure("a")] * 4)


def test_failures_without_a_record_and_of_other_operators_do_not_count():
    assert [] == orders_after(*[failure("")] * 3, *[failure("a", "other")] * 3, *[ErrorInfo("SlotLost", "gone")] * 3)


def test_an_order_concerns_the_operator_that_failed_and_one_of_its_subtasks_if_asked_for_that():
    order = Quarantined("a", 1, 2, failure("a"))
    assert order.concerns("parse", None)
    assert order.concerns("parse", SubtaskId(VertexId("parse"), 1))
    assert not order.concerns("parse", SubtaskId(VertexId("parse"), 0))
    assert not order.concerns("other", None)
