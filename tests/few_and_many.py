"""Properties that are tried on a few random examples whenever tests run, and on many where there is time."""

import functools

import pytest
from hypothesis import given, settings


def at_length(*strategies, few, many=1000):
    """Decorate a property: it is tested on a few examples, and as a slow test on many."""

    def decorate(check):
        def test(examples):
            @functools.wraps(check)  # hypothesis refuses settings for a function that has some: each length has one of its own
            def property_of_its_own(**drawn):
                check(**drawn)

            given(*strategies)(settings(max_examples=examples, deadline=None)(property_of_its_own))()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])(test)

    return decorate
