"""Classes whose instances have declared parts: dataclasses, named tuples, msgspec structs, enums. What they declare, and how to build one.

A class says with `__state_aliases__ = {"new name": "old name"}` what its fields or members were called before, and with the entry
`"__class__": "module.OldName"` what it was called itself. A value may be a tuple of names, for what was renamed more than once. The
attribute is written the same way in all these classes, without an annotation. Entries for fields are inherited.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from actorflow.errors import SerializationError

ALIASES: Final = "__state_aliases__"
CLASS_ALIAS: Final = "__class__"

_STRUCT_FACTORY: Final[Any] = type(msgspec.defstruct("_", [("_", list, [])]).__struct_defaults__[0])
"""What msgspec keeps a default factory in."""

_HEAP_TYPE = 1 << 9
"""Flag of classes that were made by a `class` statement, `Py_TPFLAGS_HEAPTYPE`."""


def form_of(cls: type) -> str | None:
    """Return what kind of class with declared parts it is: "enum", "struct", "dataclass", "named tuple", or None."""
    if issubclass(cls, enum.Enum):
        return "enum"
    if issubclass(cls, msgspec.Struct):
        return "struct"
    if dataclasses.is_dataclass(cls):
        return None if _has_builtin_base(cls) else "dataclass"
    return "named tuple" if issubclass(cls, tuple) and hasattr(cls, "_fields") else None


def _has_builtin_base(cls: type) -> bool:
    """Return whether instances hold more than their attributes, because the class derives from `Exception` or `dict`, say."""
    return any(base is not object and not base.__flags__ & _HEAP_TYPE for base in cls.__mro__)


def qualified_name(cls: type) -> str:
    """Return the name that a class has in schemas: its module and its qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def record_fields(cls: type) -> Iterator[tuple[str, Any]]:
    """Give name and default of each field of a record class: a function without arguments that makes the default, or None."""
    if issubclass(cls, msgspec.Struct):
        # not `msgspec.structs.fields`: it evaluates annotations, and a class defined in a function cannot be found by its own
        names, defaults = cls.__struct_fields__, cls.__struct_defaults__
        for name, default in zip(names, (msgspec.NODEFAULT,) * (len(names) - len(defaults)) + defaults, strict=True):
            if isinstance(default, _STRUCT_FACTORY):
                yield name, default.factory
            else:
                yield name, _default_of(default, msgspec.NODEFAULT, msgspec.NODEFAULT)
    elif dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            yield field.name, _default_of(field.default, field.default_factory, dataclasses.MISSING)
    else:
        named: dict[str, Any] = getattr(cls, "_field_defaults", {})
        for name in getattr(cls, "_fields", ()):
            yield name, _default_of(named.get(name, dataclasses.MISSING), dataclasses.MISSING, dataclasses.MISSING)


def _default_of(value: Any, factory: Any, missing: object) -> Any:
    if type(value) is not type(missing):  # by type: a class that was pickled by its definition has another one
        return lambda: value
    return None if type(factory) is type(missing) else factory


def record_of(cls: type, values: dict[str, Any]) -> Any:
    """Build an instance of a record class from its fields' values.

    Raises:
        Exception: whatever the constructor of a struct raises.
    """
    if issubclass(cls, msgspec.Struct):
        return cls(**values)
    if not dataclasses.is_dataclass(cls):
        return tuple.__new__(cls, values.values())  # type: ignore[type-var]
    instance = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    return instance


def subclasses_of(cls: type) -> Iterator[type]:
    """Give the subclasses of a class that exist, and theirs."""
    subclass: type
    for subclass in type.__subclasses__(cls):
        yield subclass
        yield from subclasses_of(subclass)


def aliases_of(cls: type, name: str) -> tuple[str, ...]:
    """Return the names that a field or member, or with `CLASS_ALIAS` the class, had before."""
    for base in cls.__mro__ if name != CLASS_ALIAS else (cls,):
        found = vars(base).get(ALIASES, {})
        if not isinstance(found, Mapping):
            raise SerializationError(
                f"{ALIASES} of '{cls.__qualname__}' is a {type(found).__name__}", hint='write {"new name": "old name"}'
            )
        if name in found:
            old = found[name]
            return (old,) if isinstance(old, str) else tuple(old)
    return ()


def resolved_hints(base: type, cls: type, fields: Collection[str], place: str) -> dict[str, Any]:
    """Return the annotations of fields, evaluated.

    Args:
        base: the class whose annotations to look at.
        cls: itself, or the derived class that has the fields.
        fields: the fields' names. What else is annotated (class variables, say) is left out.
        place: path of the field that has `cls` as type with a dot behind it, or nothing; for errors.

    Raises:
        SerializationError: if one cannot be evaluated; the field is named.
    """
    hints: dict[str, Any] = {}
    module = sys.modules.get(base.__module__)
    inside = {base.__name__: base, cls.__name__: cls} | dict(vars(base))  # the module's names come first, as in `get_type_hints`
    for name, annotation in inspect.get_annotations(base).items():
        if name not in fields:
            continue
        alone = type(base.__name__, (), {"__annotations__": {name: annotation}})
        try:
            hints |= typing.get_type_hints(alone, inside, vars(module) if module else {}, include_extras=True)
        except Exception as error:
            raise SerializationError(
                f"the annotation of field '{place}{name}' of '{base.__qualname__}' cannot be resolved: {error}",
                hint="import or define the type where the class is defined, not only for type checkers",
            ) from error
    return hints
