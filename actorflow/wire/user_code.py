"""User code as bytes: functions, operators, sources and sinks, from the client to the workers.

What is installed (the standard library, site-packages, actorflow itself) travels *by reference*: its name. What the user wrote
(`__main__`, and every module that is not installed) travels *by value*: cloudpickle writes its code, so a job needs
nothing on the cluster but the packages that it installs.

`find_unpicklable` is for the error at submit time: it follows attributes, items and closures to the value that is to blame.
"""

from __future__ import annotations

import functools
import io
import site
import sys
import sysconfig
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import cloudpickle

from actorflow.errors import SerializationError
from actorflow.wire.pickling import PROTOCOL

_DEPTH_MAX = 20
_by_value_lock = threading.Lock()


def dumps_code(obj: object) -> bytes:
    """Return an object with its code as bytes, for `loads_code` on another node.

    Raises:
        SerializationError: if a part of it cannot be pickled; see `find_unpicklable` for which.
    """
    try:
        return _dump(obj)
    except Exception as error:
        raise SerializationError(f"cannot serialise '{type(obj).__name__}': {type(error).__name__}: {error}") from error


def loads_code(data: bytes | memoryview) -> Any:
    """Return the object in `data`. Runs the user's code: only on nodes that are meant to.

    Raises:
        SerializationError: if it cannot be rebuilt here, say because a package is missing.
    """
    try:
        return cloudpickle.loads(data)
    except Exception as error:
        missing = f"install '{error.name}' on every node" if isinstance(error, ModuleNotFoundError) else ""
        raise SerializationError(f"cannot load user code: {type(error).__name__}: {error}", hint=missing) from error


def packages_named(obj: object) -> list[str]:
    """Return the names of the top-level packages whose code an object refers to, sorted.

    Raises:
        SerializationError: if a part of it cannot be pickled.
    """
    noted: set[str] = set()
    try:
        _dump(obj, lambda file: _NotingPickler(file, noted))
    except Exception as error:
        raise SerializationError(f"cannot serialise '{type(obj).__name__}': {type(error).__name__}: {error}") from error
    return sorted(noted)


def find_unpicklable(root: object, path: str) -> tuple[str, Exception] | None:
    """Return where in `root` the value is that cannot be serialised, and why, or None if all of it can.

    Args:
        root: a function or object of the user.
        path: what to call it, such as `map.fn`.

    Returns:
        The path with the attributes, items and closure cells that lead to the value, and the error: for a lock that a lambda
        closed over, `("map.fn.__closure__['lock']", TypeError(...))`.
    """
    error = _failure(root)
    if error is None:
        return None
    seen: set[int] = set()
    for _ in range(_DEPTH_MAX):
        seen.add(id(root))
        for step, part in _parts(root):
            cause = None if id(part) in seen else _failure(part)
            if cause is not None:
                path, root, error = path + step, part, cause
                break
        else:
            break
    return path, error


def _failure(obj: object) -> Exception | None:
    try:
        _dump(obj)
    except Exception as error:
        return error
    return None


class _NotingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Notes the packages of all functions, classes and instances that it meets."""

    def __init__(self, file: io.BytesIO, noted: set[str]) -> None:
        super().__init__(file, PROTOCOL)
        self._noted = noted

    def reducer_override(self, obj: object) -> object:
        module = getattr(obj, "__module__", None) or type(obj).__module__
        if isinstance(module, str):
            self._noted.add(module.partition(".")[0])
        return super().reducer_override(obj)


def _plain_pickler(file: io.BytesIO) -> cloudpickle.Pickler:
    return cloudpickle.Pickler(file, PROTOCOL)


def _dump(obj: object, pickler: Callable[[io.BytesIO], cloudpickle.Pickler] = _plain_pickler) -> bytes:
    # cloudpickle keeps its set of by-value modules in a global; it is changed under a lock and put back.
    with _by_value_lock:
        modules = _users_modules(tuple(map(id, list(sys.modules.values()))))
        fresh = [module for module in modules if module.__name__ not in cloudpickle.list_registry_pickle_by_value()]
        for module in fresh:
            cloudpickle.register_pickle_by_value(module)
        try:
            file = io.BytesIO()
            pickler(file).dump(obj)
            return file.getvalue()
        finally:
            for module in fresh:
                cloudpickle.unregister_pickle_by_value(module)


# --- whose module is it? -------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _users_modules(identities: tuple[int, ...]) -> tuple[types.ModuleType, ...]:  # noqa: ARG001 - what the answer holds for
    """Return the modules that are the user's, for as long as `sys.modules` holds these objects. The answer keeps them, so no other has their id."""
    return tuple(module for module in list(sys.modules.values()) if _is_users(module))


def _is_users(module: object) -> TypeGuard[types.ModuleType]:
    if not isinstance(module, types.ModuleType) or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or sys.modules.get(module.__name__) is not module:
        return False
    return module.__name__.partition(".")[0] != "actorflow" and not _installed(file)


@functools.lru_cache(maxsize=65536)
def _installed(file: str) -> bool:
    path = Path(file)
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        return True
    return any(path.is_relative_to(root) for root in _installed_roots())


@functools.cache
def _installed_roots() -> tuple[Path, ...]:
    roots = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.add(site.getusersitepackages())
    return tuple(Path(root) for root in sorted(roots) if root)


# --- what a value is made of, as far as pickling looks into it -----------------------------------------------------------


def _parts(obj: object) -> Iterator[tuple[str, object]]:
    """Give the parts of a value, each with the text that leads to it."""
    if isinstance(obj, types.FunctionType):
        yield from _function_parts(obj)
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    elif isinstance(obj, functools.partial):
        yield ".func", obj.func
        yield ".args", obj.args
        yield ".keywords", obj.keywords
    elif isinstance(obj, Mapping):
        for key, value in list(obj.items()):
            yield f"[{key!r}]", value
    elif isinstance(obj, (list, tuple)):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, (set, frozenset)):
        for value in obj:
            yield f"[{value!r}]", value
    elif isinstance(obj, type):
        for name, value in list(vars(obj).items()):
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if not name.startswith("__") or isinstance(value, types.FunctionType):
                yield f".{name}", value
    else:
        yield from _object_parts(obj)


def _function_parts(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f".__closure__[{name!r}]", cell.cell_contents
        except ValueError:
            continue  # an empty cell holds nothing to blame
    for index, value in enumerate(function.__defaults__ or ()):
        yield f".__defaults__[{index}]", value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield f".__kwdefaults__[{name!r}]", value
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield f".__globals__[{name!r}]", function.__globals__[name]
    yield from ((f".{name}", value) for name, value in vars(function).items())


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _object_parts(obj: object) -> Iterator[tuple[str, object]]:
    try:
        state = obj.__reduce_ex__(PROTOCOL)
    except Exception:
        state = ()
    reduced = state[2] if isinstance(state, tuple) and len(state) > 2 else None
    for values in reduced if isinstance(reduced, tuple) else (reduced,):
        if isinstance(values, Mapping):
            yield from ((f".{name}", value) for name, value in values.items())
    if not isinstance(reduced, (Mapping, tuple)):
        yield from ((f".{name}", value) for name, value in getattr(obj, "__dict__", {}).items())
    if _failure(type(obj)) is not None:
        yield ".__class__", type(obj)
