"""Runs are counted from one by people, whichever leader has begun them."""

import pytest

from actorflow.protocol.jobs.run_numbers import NUMBERS_OF_EPOCH, run_of_leader


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, 0), (1, 1), (7, 7), (NUMBERS_OF_EPOCH, NUMBERS_OF_EPOCH), (NUMBERS_OF_EPOCH + 1, 1), (4 * NUMBERS_OF_EPOCH + 3, 3)],
)
def test_each_leader_counts_from_one(number, shown):
    assert shown == run_of_leader(number)
