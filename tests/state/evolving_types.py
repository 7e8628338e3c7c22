"""Types made up at random, what may become of them in the next version of a job, and what a naive programmer would make of their values.

A type is a nested tuple, from which classes are built for each version. `evolved` draws the next version together with a function from old
values to the values expected of the new type; `broken` draws one that must be refused, and the path of the part to blame.
"""

import dataclasses
import enum
import itertools
import types
import typing

import msgspec
from hypothesis import strategies as st

NUMBERS = itertools.count()
NO_DEFAULT = object()
SCALARS = {"bool": bool, "int": int, "float": float, "str": str}
SCALAR_VALUES = {
    "bool": st.booleans(),
    "int": st.integers(-9, 9) | st.integers(-(2**70), 2**70),
    "float": st.floats(allow_nan=False),
    "str": st.text(max_size=4),
}
FORMS = ("dataclass", "frozen", "named tuple", "struct")


# --- types ---------------------------------------------------------------------------------------------------------------


def records(parts):
    return st.builds(
        lambda form, fields: (
            "record",
            f"Class{next(NUMBERS)}",
            form,
            tuple((f"f{i}", part, ()) for i, part in enumerate(fields)),
            (),
        ),
        st.sampled_from(FORMS),
        st.lists(parts, max_size=3),
    )


def enums():
    return st.integers(1, 3).map(lambda n: ("enum", f"Enum{next(NUMBERS)}", tuple((f"M{i}", ()) for i in range(n)), ()))


def containers(parts):
    return st.one_of(
        parts.map(lambda part: ("list", part)),
        parts.map(lambda part: ("run", part)),
        parts.map(lambda part: ("dict", part)),
        parts.filter(lambda part: part[0] not in {"optional", "union"}).map(lambda part: ("optional", part)),
        st.lists(parts, min_size=1, max_size=2).map(lambda items: ("tuple", *items)),
        st.tuples(records(parts), records(parts)).map(lambda pair: ("union", *pair)),
        records(parts),
    )


TYPES = st.recursive(st.sampled_from(list(SCALARS)).map(lambda name: (name,)) | enums(), containers, max_leaves=5)


def build(spec, classes):
    """Return the type, with its classes in `classes` by name."""
    match spec:
        case ("list", item):
            return list[build(item, classes)]
        case ("run", item):
            return tuple[build(item, classes), ...]
        case ("dict", item):
            return dict[str, build(item, classes)]
        case ("optional", item):
            return typing.Optional[build(item, classes)]  # noqa: UP045 - no | between generics
        case ("tuple", *items):
            return tuple[tuple(build(item, classes) for item in items)]
        case ("union", *items):
            return typing.Union[tuple(build(item, classes) for item in items)]  # noqa: UP007 - made at run time
        case ("enum", name, members, aliases):
            renamed = {member: old for member, old in members if old} | ({"__class__": aliases} if aliases else {})
            body = {member: f"value of {member}" for member, _ in members} | {"__state_aliases__": renamed}
            cls = enum.Enum(name, {key: value for key, value in body.items() if key != "__state_aliases__"}, module=__name__)
            type.__setattr__(cls, "__state_aliases__", renamed)
            return classes.setdefault(name, cls)
        case ("record", name, form, fields, aliases):
            return _built_record(name, form, fields, aliases, classes)
        case (scalar,):
            return SCALARS[scalar]


def _built_record(name, form, fields, aliases, classes):
    ordered = sorted(fields, key=lambda field: len(field) == 4)  # those with defaults last
    annotated = [(field[0], build(field[1], classes)) for field in ordered]
    defaults = {field[0]: field[3] for field in ordered if len(field) == 4}
    match form:
        case "struct":
            parts = [(key, of, defaults[key]) if key in defaults else (key, of) for key, of in annotated]
            cls = msgspec.defstruct(name, parts, module=__name__)
        case "named tuple":
            body = {"__annotations__": dict(annotated), "__module__": __name__, **defaults}
            cls = types.new_class(name, (typing.NamedTuple,), exec_body=lambda space: space.update(body))
        case _:
            parts = [(key, of, dataclasses.field(default=defaults[key])) if key in defaults else (key, of) for key, of in annotated]
            cls = dataclasses.make_dataclass(name, parts, frozen=form == "frozen")
            cls.__module__ = __name__
    renamed = {field[0]: field[2] for field in fields if field[2]} | ({"__class__": aliases} if aliases else {})
    type.__setattr__(cls, "__state_aliases__", renamed)
    return classes.setdefault(name, cls)


def values(spec, classes):
    """Return a strategy for values of a type that was built into `classes`."""
    match spec:
        case ("list", item):
            return st.lists(values(item, classes), max_size=2)
        case ("run", item):
            return st.lists(values(item, classes), max_size=2).map(tuple)
        case ("dict", item):
            return st.dictionaries(st.text(max_size=2), values(item, classes), max_size=2)
        case ("optional", item):
            return st.none() | values(item, classes)
        case ("tuple", *items):
            return st.tuples(*(values(item, classes) for item in items))
        case ("union", *items):
            return st.one_of(*(values(item, classes) for item in items))
        case ("enum", name, _, _):
            return st.sampled_from(list(classes[name]))
        case ("record", name, _, fields, _):
            parts = {field[0]: values(field[1], classes) for field in fields}
            return st.fixed_dictionaries(parts).map(lambda given: classes[name](**given))
        case (scalar,):
            return SCALAR_VALUES[scalar]


# --- versions that must be read ------------------------------------------------------------------------------------------


def evolved(draw, spec):
    """Draw the next version of a type, and the function from an old value and the new classes to the value expected."""
    match spec:
        case ("list", item):
            new, convert = evolved(draw, item)
            return ("list", new), lambda value, classes: [convert(part, classes) for part in value]
        case ("run", item):
            new, convert = evolved(draw, item)
            return ("run", new), lambda value, classes: tuple(convert(part, classes) for part in value)
        case ("dict", item):
            new, convert = evolved(draw, item)
            return ("dict", new), lambda value, classes: {key: convert(part, classes) for key, part in value.items()}
        case ("optional", item):
            new, convert = evolved(draw, item)
            new = new[1] if new[0] == "optional" else new
            return ("optional", new), lambda value, classes: None if value is None else convert(value, classes)
        case ("tuple", *items):
            parts = [evolved(draw, item) for item in items]
            new = ("tuple", *(part for part, _ in parts))
            return new, lambda value, classes: tuple(
                convert(part, classes) for (_, convert), part in zip(parts, value, strict=True)
            )
        case ("union", *items):
            return _evolved_union(draw, items)
        case ("enum", *_):
            return _maybe_optional(draw, *_evolved_enum(draw, spec))
        case ("record", *_):
            return _maybe_optional(draw, *_evolved_record(draw, spec))
        case (scalar,):
            wider = {"bool": ["bool", "int", "float"], "int": ["int", "float"]}.get(scalar, [scalar])
            new = draw(st.sampled_from(wider))
            return _maybe_optional(draw, (new,), lambda value, _: _number(value, new))


def _number(value, new):
    if new not in {"int", "float"}:
        return value
    try:
        return SCALARS[new](value) if SCALARS[new](value) == value else value
    except OverflowError:
        return value


def _maybe_optional(draw, new, convert):
    return draw(st.sampled_from([new, new, ("optional", new)])), convert


def _evolved_union(draw, items):
    parts = [_evolved_record(draw, item) for item in items]
    names = [item[1] for item in items]
    added = [("str",)] if draw(st.booleans()) else []
    new = draw(st.permutations([part for part, _ in parts] + added))

    def convert(value, classes):
        return parts[names.index(type(value).__name__)][1](value, classes)

    return ("union", *new), convert


def _renamed(draw, name):
    return (name, ()) if draw(st.integers(0, 3)) else (f"{name}_{next(NUMBERS)}", (name,))


def _class_renamed(draw, name):
    new, old = _renamed(draw, name)
    return new, tuple(f"{__name__}.{alias}" for alias in old)


def _evolved_enum(draw, spec):
    _, name, members, _ = spec
    new_name, aliases = _class_renamed(draw, name)
    renamed = {member: _renamed(draw, member) for member, _ in members}
    added = [(f"N{next(NUMBERS)}", ()) for _ in range(draw(st.integers(0, 1)))]
    new = ("enum", new_name, tuple(draw(st.permutations([*renamed.values(), *added]))), aliases)
    return new, lambda value, classes: classes[new_name][renamed[value.name][0]]


def _evolved_record(draw, spec):
    _, name, form, fields, _ = spec
    new_name, aliases = _class_renamed(draw, name)
    kept = [field for field in fields if draw(st.integers(0, 4))]
    plans = []
    for field in kept:
        new, convert = evolved(draw, field[1])
        plans.append((field[0], *_renamed(draw, field[0]), new, convert))
    added = []
    for _ in range(draw(st.integers(0, 1))):
        scalar = draw(st.sampled_from(list(SCALARS)))
        added.append((f"a{next(NUMBERS)}", (scalar,), (), draw(SCALAR_VALUES[scalar])))
    new_fields = tuple(draw(st.permutations([(key, new, old) for _, key, old, new, _ in plans] + added)))
    new_form = draw(st.sampled_from([form, form, *FORMS]))

    def convert(value, classes):
        given = {key: convert_part(getattr(value, old), classes) for old, key, _, _, convert_part in plans}
        return classes[new_name](**given)

    return ("record", new_name, new_form, new_fields, aliases), convert


# --- versions that must be refused ---------------------------------------------------------------------------------------


def broken(draw, spec, path=""):
    """Draw a version of a type that cannot read its values, and the path of the part that says so."""
    if spec[0] not in SCALARS and spec[0] != "enum" and draw(st.booleans()):
        found = _broken_part(draw, spec, path)
        if found is not None:
            return found
    match spec:
        case ("list", item):
            return ("run", item), path
        case ("run", item) | ("dict", item):
            return ("list", item), path
        case ("optional", item):
            return item, path
        case ("tuple", *items):
            return ("tuple", *items, ("int",)), path
        case ("union", first, *_):
            return first, path
        case ("enum", name, members, aliases):
            kept = members[1:] or (("other", ()),)
            return draw(st.sampled_from([("enum", name, kept, aliases), ("enum", f"{name}_", members, aliases)])), path
        case ("record", name, form, fields, aliases):
            if draw(st.booleans()):
                return ("record", f"{name}_", form, fields, aliases), path
            return ("record", name, form, (*fields, ("added", ("int",), ())), aliases), f"{path}.added".removeprefix(".")
        case (scalar,):
            others = {"bool": ["str"], "int": ["str", "bool"], "float": ["int", "str"], "str": ["int", "float", "bool"]}
            return (draw(st.sampled_from(others[scalar])),), path


def _broken_part(draw, spec, path):
    """Return a type broken inside, if it has parts. Unions are left out: what is blamed there depends on all members."""
    match spec:
        case (("list" | "run") as kind, item):
            new, blamed = broken(draw, item, f"{path}[]")
            return (kind, new), blamed
        case ("dict", item):
            new, blamed = broken(draw, item, f"{path}[value]")
            return ("dict", new), blamed
        case ("tuple", *items):
            place = draw(st.integers(0, len(items) - 1))
            new, blamed = broken(draw, items[place], f"{path}[{place}]")
            return ("tuple", *items[:place], new, *items[place + 1 :]), blamed
        case ("record", name, form, fields, aliases) if fields:
            place = draw(st.integers(0, len(fields) - 1))
            key, part, *rest = fields[place]
            new, blamed = broken(draw, part, f"{path}.{key}".removeprefix("."))
            return ("record", name, form, (*fields[:place], (key, new, *rest), *fields[place + 1 :]), aliases), blamed
        case _:
            return None
