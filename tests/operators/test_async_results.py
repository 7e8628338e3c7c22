"""The order in which asynchronous results leave."""

from hypothesis import given
from hypothesis import strategies as st

from actorflow.operators.async_results import Call, OrderedResults, UnorderedResults


@st.composite
def histories(draw):
    """Return what goes in (calls by number, watermarks as negative numbers), and an order in which calls finish."""
    kinds = draw(st.lists(st.booleans(), max_size=12))
    entered = [place if is_call else -place - 1 for place, is_call in enumerate(kinds)]
    return entered, draw(st.permutations([entry for entry in entered if entry >= 0]))


def play(results, entered, finishing, watermark_of):
    """Enter everything, then finish one call at a time; return what left, in order."""
    calls = {}
    left = []

    def drain():
        ready, watermark = results.take()
        left.extend(call.record for call in ready)
        if watermark is not None:
            left.append(watermark_of[watermark])

    for entry in entered:
        if entry >= 0:
            calls[entry] = Call(entry, None)
            results.add(calls[entry])
        else:
            results.mark(-entry)
    drain()
    for number in finishing:
        calls[number].finished = True
        results.settled(calls[number])
        drain()
        assert len(calls) == len(results) + sum(entry >= 0 for entry in left)
    return left


def after_last_watermark_of_each_take(entered):
    return {-entry: entry for entry in entered if entry < 0}


@given(histories())
def test_ordered_results_leave_in_the_order_of_their_records(history):
    entered, finishing = history
    left = play(OrderedResults(), entered, finishing, after_last_watermark_of_each_take(entered))
    assert [entry for entry in entered if entry >= 0] == [entry for entry in left if entry >= 0]


@given(histories(), st.sampled_from([OrderedResults, UnorderedResults]))
def test_every_result_leaves_once_and_none_leaves_after_a_watermark_that_came_behind_it(history, make):
    entered, finishing = history
    left = play(make(), entered, finishing, after_last_watermark_of_each_take(entered))
    assert sorted(entry for entry in entered if entry >= 0) == sorted(entry for entry in left if entry >= 0)
    for place, entry in enumerate(left):
        if entry < 0:
            assert set(entered[: entered.index(entry)]) & set(left[place:]) <= {entry}
    watermarks = [entry for entry in entered if entry < 0]
    assert watermarks[-1:] == [entry for entry in left if entry < 0][-1:]


@given(histories())
def test_unordered_results_leave_as_they_come_unless_a_watermark_holds_them(history):
    entered, finishing = history
    left = [
        entry for entry in play(UnorderedResults(), entered, finishing, after_last_watermark_of_each_take(entered)) if entry >= 0
    ]

    def segment(number):
        return sum(entry < 0 for entry in entered[: entered.index(number)])

    assert sorted(finishing, key=segment) == left


def test_a_finished_call_waits_for_the_one_before_it_only_when_ordered():
    for make, expected in ((OrderedResults, []), (UnorderedResults, ["b"])):
        results, a, b = make(), Call("a", None), Call("b", None)
        results.add(a), results.add(b)
        b.finished = True
        results.settled(b)
        assert expected == [call.record for call in results.take()[0]]
