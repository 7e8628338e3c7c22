"""Pickle for records: by reference where the receiver can import it, by value where the definition exists nowhere but in the job.

A record's class that was written in the user's script is not importable on a worker. `pickle` refuses such records, or names a class that the
receiver cannot find. Here its definition travels with the batch: made once for each class, loaded once for each process, so
that after the first batch it costs a few bytes and a dictionary lookup.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any

import cloudpickle

PROTOCOL = 5

_definitions: weakref.WeakKeyDictionary[type | types.FunctionType, bytes] = weakref.WeakKeyDictionary()


def dumps(value: object) -> bytes:
    """Return the pickle of a value.

    Raises:
        Exception: whatever pickling it raises; user types may raise anything.
    """
    try:
        return pickle.dumps(value, PROTOCOL)
    except (pickle.PicklingError, AttributeError, ImportError):
        buffer = io.BytesIO()
        _DefinitionPickler(buffer, PROTOCOL).dump(value)
        return buffer.getvalue()


def loads(data: bytes | memoryview) -> Any:
    """Return the value in `data`. Runs code that `data` names: only for bytes of authenticated peers, in workers and clients.

    Raises:
        Exception: whatever loading it raises.
    """
    return pickle.loads(data)


class UserCodeNeeded(pickle.UnpicklingError):
    """A value is of a class that is neither the engine's nor Python's."""


def loads_without_user_code(data: bytes | memoryview) -> Any:
    """Return the value in `data`, importing nothing but the engine and what comes with Python.

    Raises:
        UserCodeNeeded: if that does not do.
        Exception: whatever else loading it raises.
    """
    return _WithoutUserCode(io.BytesIO(data)).load()


class _WithoutUserCode(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names or (package == "actorflow" and module != __name__):  # here definitions are loaded
            return super().find_class(module, name)
        raise UserCodeNeeded(f"'{module}.{name}' is the user's")


def loads_all(data: bytes) -> Iterator[Any]:
    """Give the values of the pickles that stand one behind the other in `data`. See `loads`."""
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        yield pickle.load(stream)


class _DefinitionPickler(pickle.Pickler):
    """Writes classes and functions that cannot be imported as their cached definition."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, (type, types.FunctionType)) or importable(obj):
            return NotImplemented
        definition = _definitions.get(obj)
        if definition is None:
            definition = _definitions[obj] = cloudpickle.dumps(obj, PROTOCOL)
        return _load_definition, (definition,)


@functools.lru_cache(maxsize=4096)
def _load_definition(definition: bytes) -> Any:
    return cloudpickle.loads(definition)


def importable(obj: type | types.FunctionType) -> bool:
    """Return whether pickle can name a class or function, so that whoever reads it has the one of its own program."""
    if obj.__module__ == "__main__":
        return False
    found: object = sys.modules.get(obj.__module__)
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj
