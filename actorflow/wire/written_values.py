"""Values as pickle has them, read after their classes have changed: as what they were, so that they can become what they are now.

    pickle ──► `Written`, in place of instances of the classes: their parts by name ──► trees of the old type ──► evolution ──► values of the new

Pickle names classes and says nothing of their fields. The schema that stands with a state knows the fields that its classes had, and takes the classes'
place while what was pickled is read. Classes that travelled with the values, by their definition, are read as they were anyway, and known by name.

Enums are pickled by value: a member that has another name now is known by its aliases.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self

from actorflow.wire.state_classes import qualified_name
from actorflow.wire.state_exact import ExactForm, part_of
from actorflow.wire.state_plain import Mismatch, Path, lower_plain
from actorflow.wire.state_types import Definition, Enumeration, Node, Record, Reference, TypeSchema, TypeTree


class Written:
    """An instance of a class as it was. It can neither be pickled, nor used as the class itself."""

    __written_fields__: ClassVar[tuple[str, ...]] = ()
    __written_made__: ClassVar[list[Any]]

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Take what a named tuple or a struct was made of, or nothing."""
        self = object.__new__(cls)
        self.__dict__.update(zip(cls.__written_fields__, values, strict=False), **named)
        cls.__written_made__.append(self)
        return self

    def __setstate__(self, state: Any) -> None:
        """Take the state of a dataclass: a dict, a pair of dicts, or the values in order."""
        if isinstance(state, list):
            self.__dict__.update(zip(type(self).__written_fields__, state, strict=False))
            return
        for part in state if isinstance(state, tuple) else (state,):
            self.__dict__.update(part or {})

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Refuse: it is no value of any program."""
        raise TypeError(
            f"a '{type(self).__qualname__}' as it was before its class has changed stands in what is pickled as a whole"
        )


class WrittenClasses:
    """Classes as they were, by the names that they had.

    Args:
        changed: what they declared.
        live: enums that have other names now, by those that they had.

    Attributes:
        made: the instances that the last `loads` has made.
    """

    def __init__(self, changed: Mapping[str, Record], live: Mapping[str, type]) -> None:
        self.made: list[Any] = []
        self._classes = {**live, **{name: self._stand_in(name, record) for name, record in changed.items()}}

    def loads(self, data: bytes | memoryview) -> Any:
        """Return the value in `data`, with `Written` in place of instances of these classes.

        Raises:
            Exception: whatever loading it raises.
        """
        self.made.clear()
        return _Unpickler(data, self._classes).load()

    def _stand_in(self, name: str, record: Record) -> type:
        module, _, last = name.rpartition(".")
        names = {
            "__module__": module,
            "__qualname__": last,
            "__written_fields__": tuple(field.name for field in record.fields),
            "__written_made__": self.made,
        }
        return type(last, (Written,), names)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes | memoryview, classes: Mapping[str, type]) -> None:
        super().__init__(io.BytesIO(data))
        self._classes = classes

    def find_class(self, module: str, name: str, /) -> Any:
        found = self._classes.get(f"{module}.{name}")
        if found is not None:
            return found
        found = super().find_class(module, name)
        if name == "rebuild" and module.startswith("msgspec"):  # of structs whose fields are given by name
            return lambda cls, fields: cls(**fields) if issubclass(cls, Written) else found(cls, fields)
        return found


class WrittenForm(ExactForm):
    """Lowers unpickled values to trees of the type that they were written by; classes are known by the names that they had.

    Args:
        schema: the type.
        now: the type that is declared now. Subclasses and enums are its own.

    Attributes:
        live: the classes that are declared now, by the names that they had.
        lowered: ids of the instances that were met.
    """

    def __init__(self, schema: TypeSchema, now: TypeTree) -> None:
        super().__init__(TypeTree(schema, {}, {}))
        self.live: dict[str, type] = {}
        self._now: dict[str, Definition] = {}
        for name, definition in now.schema.classes.items():
            for old in (*definition.aliases, name):
                self.live[old] = now.classes[name]
                self._now[old] = definition
        self.lowered: set[int] = set()

    def changed(self) -> dict[str, Record]:
        """Return the records that have other fields now, or another name, and so cannot be unpickled as what they are now."""
        return {
            name.partition("[")[0]: record
            for name, record in self.types.schema.classes.items()
            if isinstance(record, Record) and not self._is_as_it_was(name, record)
        }

    def _is_as_it_was(self, name: str, record: Record) -> bool:
        now = self._now.get(name)
        same = isinstance(now, Record) and (now.form, _names(now)) == (record.form, _names(record))
        return same and qualified_name(self.live[name]) == name.partition("[")[0]

    def _is_class_of(self, node: Node, value: Any) -> bool:
        return self._is_of(node.name, value) if isinstance(node, Reference) else super()._is_class_of(node, value)

    def _is_of(self, name: str, value: Any) -> bool:
        cls = type(value)
        return cls is self.live.get(name) or qualified_name(cls) == name.partition("[")[0]

    def _lower_reference(self, name: str, value: Any, path: Path) -> Any:
        definition = self.types.schema.classes[name]
        if not self._is_of(name, value):
            return self._lower_instance(value, self.live.get(name, Written), path)
        self.lowered.add(id(value))
        if isinstance(definition, Record):
            return [
                self._lower(field.type, part_of(value, field.name, path), (*path, f".{field.name}")) for field in definition.fields
            ]
        if definition.flag:
            return lower_plain("int", value.value, path)
        return self._member(name, definition, value._name_, path)

    def _member(self, name: str, definition: Enumeration, member: str, path: Path) -> str:
        """Return the name that a member of an enum had."""
        now = self._now.get(name)
        aliases = now.member_aliases.get(member, ()) if isinstance(now, Enumeration) else ()
        for known in (*aliases, member):
            if known in definition.members:
                return known
        raise Mismatch(path, f"is {member}, which was no member of '{name}'")


def _names(record: Record) -> list[str]:
    return [field.name for field in record.fields]
