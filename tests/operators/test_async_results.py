"""The order in which asynchronous results leave."""

from hypothesis import given
from hypothesis import strategies as st

from actorflow.operators.asynchronous.results import Call, OrderedResults, UnorderedResults


@st.composite
def histories(draw):
    """Return what goes in (calls by number, watermarks as negative numbers), and an order in which calls finish."""
    kinds = draw(st.lists(st.booleans(), max_size=12))
    entered = [place if is_call else -place - 1 for place, is_call in enumerate(kinds)]
    return entered, draw(st.permutations([entry for entry in entered if entry >= 0]))


def play(results, history):
    """Enter everything, then finish one call at a time; return what left, in order, watermarks as they were entered."""
    entered, finishing = history
    calls = {}
    left = []

    def drain():
        watermark = 0
        while watermark is not None:
            ready, watermark = results.take()
            left.extend(call.record for call in ready)
            if watermark is not None:
                left.append(-watermark)

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
        assert [call.record for call in results] == [entry for entry in entered if entry >= 0 and entry not in left]
    return left


@given(histories())
def test_ordered_results_leave_in_the_order_of_their_records_with_the_watermarks_where_they_were(history):
    assert history[0] == play(OrderedResults(), history)


@given(histories())
def test_unordered_results_leave_as_they_come_between_the_watermarks_that_they_came_between(history):
    entered, finishing = history
    expected = []
    for entry in [*entered, None]:
        if entry is None or entry < 0:
            since = entered[: entered.index(entry)] if entry is not None else entered
            expected += [number for number in finishing if number in since and number not in expected]
            expected += [] if entry is None else [entry]
    assert expected == play(UnorderedResults(), history)


def test_a_finished_call_waits_for_the_one_before_it_only_when_ordered():
    for make, expected in ((OrderedResults, []), (UnorderedResults, ["b"])):
        results, a, b = make(), Call("a", None), Call("b", None)
        results.add(a), results.add(b)
        b.finished = True
        results.settled(b)
        assert expected == [call.record for call in results.take()[0]]
