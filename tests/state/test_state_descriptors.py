"""Declarations of keyed state on a class."""

import pickle

import pytest

from actorflow.errors import PlanError
from actorflow.state.descriptors import ListState, MapState, ValueState, declared_states


class Base:
    seen = ValueState(bool, default=False)
    dropped = ValueState(int)


class Derived(Base):
    dropped = None
    log = ListState(str)
    counts = MapState(str, int)


def test_declared_states_are_found_before_anything_runs_base_classes_first():
    assert ["seen", "log", "counts"] == list(declared_states(Derived))


def test_a_declaration_knows_its_name_types_and_default():
    assert ("seen", bool, False) == (Base.seen.name, Base.seen.type, Base.seen.default)
    assert ("counts", str, int) == (Derived.counts.name, Derived.counts.key_type, Derived.counts.value_type)


@pytest.mark.parametrize("name", ["seen", "log", "counts"])
def test_state_of_an_instance_that_does_not_run_is_refused_by_name(name):
    with pytest.raises(PlanError, match=f"state '{name}' is used by an operator that is not running"):
        getattr(Derived(), name)


@pytest.mark.parametrize("default", [[], {}, set()])
def test_a_mutable_default_is_refused(default):
    with pytest.raises(PlanError, match="cannot be the default"):
        ValueState(type(default), default=default)


def test_a_declaration_survives_pickling():
    copy = pickle.loads(pickle.dumps(Base.seen))
    assert ("seen", bool, False) == (copy.name, copy.type, copy.default)
