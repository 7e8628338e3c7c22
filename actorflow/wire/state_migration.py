"""Reads state that was written by another version of its type: bytes of the old type become bytes of the new, and those its values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from actorflow.errors import IncompatibleState, SerializationError
from actorflow.wire.state_change import Change, Step
from actorflow.wire.state_classes import record_fields
from actorflow.wire.state_codec import StateCodec
from actorflow.wire.state_evolution import evolve
from actorflow.wire.state_exact import ExactForm
from actorflow.wire.state_plain import Mismatch, pack, place_of, unpack_raw
from actorflow.wire.state_types import Field, TypeSchema

T = TypeVar("T")


class Migration(Generic[T]):
    """Reads what an old version of a type wrote.

    Args:
        old: the type that the bytes were written by.
        codec: of the type that they are to be read as.
        name: how errors call the values, such as `"state 'seen'"`.

    Attributes:
        changes: what differs between the two; if nothing does, the bytes stay as they are.

    Raises:
        IncompatibleState: if the new type cannot take what the old one wrote; the text names the fields.
    """

    __slots__ = ("_codec", "_name", "_step", "changes")

    def __init__(self, old: TypeSchema, codec: StateCodec[T], name: str) -> None:
        exact = ExactForm(codec.types)
        found = evolve(old, codec.types.schema, lambda cls, field: _default(exact, cls, field))
        if found.reasons:
            raise incompatible(name, found.reasons)
        self.changes: tuple[Change, ...] = tuple(found.changes)
        self._step = found.step if found.changes else None
        self._codec = codec
        self._name = name

    def rewrite(self, data: bytes) -> bytes:
        """Return the bytes of the new type. They are the same if nothing about the form has changed.

        Raises:
            SerializationError: if the bytes are damaged; the text names the state and the field.
        """
        if self._step is None:
            return data
        try:
            return pack(self._step(unpack_raw(data)))
        except Mismatch as error:
            raise self._unreadable(f"{place_of(error.path) or 'it'} {error.text}") from error.__cause__
        except RecursionError:
            raise self._unreadable("it is nested too deeply") from None
        except Exception as error:  # of a user's default factory
            raise self._unreadable(f"{type(error).__name__}: {error}") from error

    def decode(self, data: bytes) -> T:
        """Return the value as the new type.

        Raises:
            SerializationError: see `rewrite`; or if the bytes are not of a value of the type.
        """
        return self._codec.decode(self.rewrite(data))

    def decode_many(self, items: Iterable[bytes]) -> list[T]:
        """Return the value of each as the new type. Faster than one at a time.

        Raises:
            SerializationError: see `decode`.
        """
        return self._codec.decode_many(map(self.rewrite, items))

    def _unreadable(self, text: str) -> SerializationError:
        return SerializationError(f"cannot read {self._name}: {text}")


def incompatible(name: str, reasons: Iterable[Change]) -> IncompatibleState:
    """Return the error that says why old values cannot be read."""
    return IncompatibleState(
        f"cannot restore {name}: {'; '.join(map(str, reasons))}",
        hint="give new fields defaults, name what was renamed in __state_aliases__, or start without this state",
    )


def _default(exact: ExactForm, cls: str, field: Field) -> Step:
    """Return the step that makes the default of a field. It is made once here already, so that a wrong one is found now."""
    make = dict(record_fields(exact.types.classes[cls]))[field.name]

    def tree(_: Any) -> Any:
        return unpack_raw(pack(exact.lower_part(field.type, make())))

    tree(None)
    return tree
