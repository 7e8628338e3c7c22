"""Rules about who imports whom. Each takes the root of a repository and returns its violations, as text."""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

from layer_table import DISTRIBUTIONS, EXTRAS, HOMES, HOSTS, IMPURE_NAMES, PURE_ROWS_MAX, PURE_STDLIB, ROWS
from source_tree import PACKAGE, modules_in

ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}


def unknown_packages(root: Path) -> list[str]:
    """Every package and top-level module stands in the layer table."""
    known = {module.package for module in modules_in(root, PACKAGE)}
    return [f"{PACKAGE}.{name} has no row in the layer table" for name in sorted(known - ROW_OF.keys())]


def upward_imports(root: Path) -> list[str]:
    """Imports go from a higher row to a lower one, wherever in a module they stand."""
    return [text for text, own, other in _inner_imports(root) if ROW_OF[other] > ROW_OF[own]]


def sibling_imports(root: Path) -> list[str]:
    """Packages of one row are blind to each other."""
    return [text for text, own, other in _inner_imports(root) if ROW_OF[other] == ROW_OF[own]]


def strangers(root: Path) -> list[str]:
    """Each third-party package is imported in its home only."""
    found = []
    for module in modules_in(root, PACKAGE):
        for item in module.imports:
            top = item.module.partition(".")[0]
            if top == PACKAGE or top in sys.stdlib_module_names:
                continue
            homes = next((HOMES[name] for name in _prefixes(item.module) if name in HOMES), ())
            if module.package not in homes:
                at_home = f"its home is {' and '.join(homes)}" if homes else "it has no home"
                found.append(f"{module.place}:{item.line} imports {item.module}: {at_home}")
    return found


def dependencies_adrift(root: Path) -> list[str]:
    """`setup.cfg` asks for what the package imports: all of it, and nothing else."""
    metadata = configparser.ConfigParser()
    metadata.read(root / "setup.cfg")
    requirements = metadata.get("options", "install_requires", fallback="").split()
    for extra in EXTRAS:
        requirements += metadata.get("options.extras_require", extra, fallback="").split()
    declared = {re.split(r"[<>=!~\[]", requirement)[0] for requirement in requirements}
    tops = {item.module.partition(".")[0] for module in modules_in(root, PACKAGE) for item in module.imports}
    imported = {DISTRIBUTIONS.get(top, top) for top in tops - set(sys.stdlib_module_names) - {PACKAGE, *HOSTS}}
    undeclared = [f"{name} is imported, and not in setup.cfg" for name in sorted(imported - declared)]
    return undeclared + [f"{name} is in setup.cfg, and not imported" for name in sorted(declared - imported)]


def impure_imports(root: Path) -> list[str]:
    """`protocol` imports nothing with a clock, a thread, chance, or the outside world in it."""
    found = []
    for module in modules_in(root, f"{PACKAGE}/protocol"):
        for item in module.imports:
            parts = item.module.split(".")
            if parts[0] != PACKAGE:
                pure = parts[0] in PURE_STDLIB
            else:
                pure = parts[-1] not in IMPURE_NAMES and (parts[1] == "protocol" or ROW_OF.get(parts[1], 99) <= PURE_ROWS_MAX)
            if not pure:
                found.append(f"{module.place}:{item.line} imports {item.module}: protocol is pure")
    return found


def _inner_imports(root: Path) -> list[tuple[str, str, str]]:
    """Return text, importing package and imported package of each import between two packages that have a row."""
    found = []
    for module in modules_in(root, PACKAGE):
        for item in module.imports:
            parts = item.module.split(".")
            if parts[0] != PACKAGE:
                continue
            other = parts[1] if len(parts) > 1 and parts[1] in ROW_OF else PACKAGE
            if other != module.package and module.package in ROW_OF:
                found.append((f"{module.place}:{item.line} imports {item.module}", module.package, other))
    return found


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
