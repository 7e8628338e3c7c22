"""State that was pickled with its classes, and is read after these have changed: as the same change makes it of state in bytes of its type."""

import dataclasses
import enum
import pickle
import typing

import evolving_types
import msgspec
import pytest
from evolving_types import SCALARS, build, containers, evolved, values
from few_and_many import at_length
from hypothesis import strategies as st
from test_state_evolution import shown, written

from actorflow.errors import SerializationError
from actorflow.state.descriptors import ListState, MapState, ValueState
from actorflow.state.evolving import Evolving, evolves
from actorflow.state.schema import schema_of_state
from actorflow.wire.written_values import WrittenClasses

MODULE = evolving_types.__name__
TYPES = st.recursive(st.sampled_from(list(SCALARS)).map(lambda name: (name,)), containers, max_leaves=5)
"""Without enums: pickle knows their members by their values, and a schema by their names."""


class Versions:
    """Classes that pickle finds by their names, and that are replaced by those of the next version of a program."""

    def __init__(self):
        self.classes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.define()

    def define(self, *classes):
        for cls in self.classes:
            delattr(evolving_types, cls.__name__)
        self.classes = classes
        for cls in classes:
            cls.__module__, cls.__qualname__ = MODULE, cls.__name__
            setattr(evolving_types, cls.__name__, cls)


def named(descriptor):
    descriptor.__set_name__(object, "profile")
    return descriptor


def revived(old, pickled, descriptor):
    evolving = Evolving(old, descriptor)
    classes = WrittenClasses(evolving.form.changed(), evolving.form.live)
    return evolving.held([classes.loads(data) for data in pickled])


def check(spec, draw):
    """Pickle values of one version of a type, and read them as the next."""
    new_spec, convert = evolved(draw, spec)
    old_classes, new_classes = {}, {}
    old_type, new_type = build(spec, old_classes), build(new_spec, new_classes)
    with Versions() as versions:
        versions.define(*old_classes.values())
        before = ListState(old_type)
        before = written(schema_of_state(named(before)))
        found = [draw(values(spec, old_classes)) for _ in range(2)]
        data = pickle.dumps(found, 5)
        versions.define(*new_classes.values())
        (got,) = revived(before, [data], named(ListState(new_type)))
        assert [shown(convert(value, new_classes)) for value in found] == list(map(shown, got))


@at_length(TYPES, st.data(), few=40)
def test_random_versions_of_random_types_are_read_as_a_naive_programmer_would_expect(spec, data):
    check(spec, data.draw)


def tuple_with_default():
    class Profile(typing.NamedTuple):
        visits: float
        city: str = "Rome"

    return Profile


def of_every_form():
    """Give both versions of classes of every form that pickle treats differently, and how a value of the first is made."""
    for form in ({}, {"slots": True}, {"frozen": True}, {"frozen": True, "slots": True}):
        yield (
            dataclasses.make_dataclass("Profile", [("visits", int), ("gone", str)], **form),
            dataclasses.make_dataclass("Profile", [("city", str, "Rome"), ("visits", float, 0.0)], **form),
        )
    yield typing.NamedTuple("Profile", [("visits", int), ("gone", str)]), tuple_with_default()
    for kw_only in (False, True):
        yield (
            msgspec.defstruct("Profile", [("visits", int), ("gone", str)], kw_only=kw_only),
            msgspec.defstruct("Profile", [("city", str, "Rome"), ("visits", float, 0.0)], kw_only=kw_only),
        )


@pytest.mark.parametrize(("old", "new"), list(of_every_form()))
def test_every_form_of_class_is_read_by_its_fields(old, new):
    with Versions() as versions:
        versions.define(old)
        before = written(schema_of_state(named(ValueState(old))))
        data = pickle.dumps(old(visits=7, gone="x"), 5)
        versions.define(new)
        now = named(ValueState(new))
        assert evolves(before, now)
        (got,) = revived(before, [data], now)
        assert (got.visits, got.city, type(got)) == (7, "Rome", new)


def test_members_of_enums_and_classes_are_known_by_the_names_that_they_had():
    old, new = enum.Enum("Color", {"RED": 1, "BLUE": 2}), enum.Enum("Colour", {"CRIMSON": 1, "BLUE": 2})
    new.__state_aliases__ = {"CRIMSON": "RED", "__class__": f"{MODULE}.Color"}
    with Versions() as versions:
        versions.define(old)
        before = written(schema_of_state(named(MapState(str, old))))
        data = pickle.dumps({"a": old.RED, "b": old.BLUE}, 5)
        versions.define(new)
        assert [{"a": new.CRIMSON, "b": new.BLUE}] == revived(before, [data], named(MapState(str, new)))


@pytest.mark.parametrize("ttl", [None, "1h"])
def test_what_a_key_holds_keeps_its_shape_and_the_time_of_its_last_use(ttl):
    for descriptor, wider, held in (
        (ValueState(int, default=0, ttl=ttl), ValueState(float, default=0.0, ttl=ttl), 3 if ttl is None else (3, 9)),
        (ListState(int, ttl=ttl), ListState(float, ttl=ttl), [3, 4] if ttl is None else [(3, 9), (4, 9)]),
        (MapState(str, int, ttl=ttl), MapState(str, float, ttl=ttl), {"a": 3} if ttl is None else {"a": (3, 9)}),
    ):
        before = written(schema_of_state(named(descriptor)))
        (got,) = revived(before, [pickle.dumps(held, 5)], named(wider))
        assert shown_deep(held) == repr(got)


def shown_deep(held):
    return repr(held).replace("3", "3.0").replace("4", "4.0")


def test_a_value_that_was_not_of_its_declared_type_is_refused_by_its_field():
    old = dataclasses.make_dataclass("Profile", [("visits", int)])
    new = dataclasses.make_dataclass("Profile", [("visits", int), ("city", str, "Rome")])
    with Versions() as versions:
        versions.define(old)
        before = written(schema_of_state(named(ValueState(old))))
        data = pickle.dumps(old("many"), 5)
        versions.define(new)
        with pytest.raises(SerializationError, match="cannot read state 'profile': visits"):
            revived(before, [data], named(ValueState(new)))
