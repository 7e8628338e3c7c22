"""The source of a package as parsed modules, and the imports in them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "actorflow"


@dataclass(frozen=True)
class Module:
    """A Python file. `place` is its path from the root of the repository."""

    place: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """What it says, parsed."""
        return ast.parse(self.text)

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of its tree, from the outermost to the innermost."""
        return tuple(ast.walk(self.tree))

    @functools.cached_property
    def imports(self) -> tuple[Import, ...]:
        """What it imports, anywhere in it: at its top, inside functions, for type checking, by `import_module`."""
        return tuple(_imports_of(self))

    @functools.cached_property
    def functions(self) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
        """All its functions, methods and inner ones too."""
        return tuple(node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    @functools.cached_property
    def package(self) -> str:
        """The name in the layer table that it belongs to: `wire` for `actorflow/wire/frame.py`, `errors` for `actorflow/errors.py`."""
        parts = Path(self.place).parts
        if len(parts) > 2:
            return parts[1]
        return PACKAGE if parts[1] == "__init__.py" else Path(parts[1]).stem


@dataclass(frozen=True)
class Import:
    """One imported name: `module` is absolute and as long as it can be known."""

    module: str
    line: int


def modules_in(root: Path, *folders: str) -> list[Module]:
    """Return the Python files below some folders of a repository, each as it is when it is first asked for."""
    return [_module(root, path) for folder in folders for path in _files(root / folder)]


@functools.cache
def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@functools.cache
def _module(root: Path, path: Path) -> Module:
    return Module(path.relative_to(root).as_posix(), path.read_text())


def forget() -> None:
    """Let go of all modules: each collection of garbage would look at their millions of nodes."""
    _files.cache_clear()
    _module.cache_clear()


def _imports_of(module: Module) -> Iterator[Import]:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(module, node)
            yield from (Import(f"{origin}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            names = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
            yield from (Import(name, node.lineno) for name in names)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = Path(module.place).parts[:-1]
    parents = folder[: len(folder) - node.level + 1]
    return ".".join((*parents, *([node.module] if node.module else [])))


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
