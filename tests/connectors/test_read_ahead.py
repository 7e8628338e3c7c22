"""Reading ahead: the same items and errors, one item early, from one other thread."""

import threading

import pytest

from actorflow.connectors.read_ahead import ReadAhead


def test_items_come_in_order_to_the_end():
    assert list(range(50)) == list(ReadAhead(iter(range(50))))


def test_the_next_item_is_made_while_the_last_is_in_use():
    made = threading.Event()

    def items():
        yield "first"
        made.set()
        yield "second"

    ahead = ReadAhead(items())
    assert "first" == next(ahead)
    assert made.wait(20)
    assert ["second"] == list(ahead)


def test_an_error_meets_who_asks_for_the_item_behind_those_that_were_made():
    def items():
        yield 1
        raise ValueError("damaged")

    ahead = ReadAhead(items())
    assert 1 == next(ahead)
    with pytest.raises(ValueError, match="damaged"):
        next(ahead)
    assert [] == list(ahead)


def test_closing_waits_for_the_item_in_the_making_and_gives_no_more():
    at_work, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def items():
        yield 1
        at_work.set()
        may_end.wait(20)
        ended.set()
        yield 2

    ahead = ReadAhead(items())
    assert 1 == next(ahead)
    assert at_work.wait(20)
    threading.Timer(0.01, may_end.set).start()
    ahead.close()
    assert ended.is_set()
    assert [] == list(ahead)
