"""What user code was pickled with: the versions of Python, of actorflow, and of the installed packages that it names.

Code travels by value as bytecode, which each minor version of Python changes, and by reference as names, behind which another version of a
package may have something else. Said before a job is submitted, a difference is one line; said by a worker, it is a riddle.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions that code depends on which names these packages. `python` is the minor version of the language."""
    named = [name for name in packages if name not in sys.stdlib_module_names and name != "actorflow"]
    installed = {name: _installed(name) for name in named}
    return {**_own(), **{name: found for name, found in installed.items() if found}}


def differences(wanted: Mapping[str, str], *, whose: str = "the cluster") -> list[str]:
    """Return what is another version here than `wanted`, or missing: a text for each, which says that `whose` is the other one."""
    here = _own()
    found = {name: here.get(name) or _installed(name) for name in wanted}
    return [f"{name} {wanted[name]}, and {whose} has {found[name] or 'none'}" for name in wanted if found[name] != wanted[name]]


def _own() -> dict[str, str]:
    return {"python": ".".join(platform.python_version_tuple()[:2]), "actorflow": _installed("actorflow")}


def _installed(package: str) -> str:
    """Return the version of the distribution that a package comes from, or an empty text: the user's own modules come from none."""
    try:
        return version(package)
    except PackageNotFoundError:
        distributions = packages_distributions().get(package, ())  # a package may be called otherwise than what brings it
        return version(distributions[0]) if distributions else ""
