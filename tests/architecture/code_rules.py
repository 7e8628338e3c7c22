"""Rules about the code itself. Each takes the root of a repository and returns its violations, as text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from layer_table import (
    BANNED_CLASS_PATTERN,
    BANNED_MODULES,
    FILE_LINES_MAX,
    FILE_LINES_USUAL,
    FUNCTION_LINES_MAX,
    GUARDED_GLOBALS,
    IMPURE_CALLS,
    LONG_FILES,
)
from source_tree import PACKAGE, Module, modules_in

TREES = (PACKAGE, "tests", "scripts")
TEXTS = (*TREES, "docs", "conf", ".ci")
ORDER_FREE = ("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum")
MUTATORS = ("add", "append", "appendleft", "clear", "extend", "insert", "pop", "popleft", "remove", "setdefault", "update")
CONTAINERS = ("Counter", "OrderedDict", "WeakValueDictionary", "defaultdict", "deque", "dict", "list", "set")
AMBIENT = ("Condition", "ContextVar", "Event", "Lock", "RLock", "Semaphore", "Thread", "local")
_HOMES_OF_MACHINES = "work|root|home|tmp"
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:" + _HOMES_OF_MACHINES + r")(?:/|\b)")


def long_files(root: Path) -> list[str]:
    """A module is one idea and at most 400 lines, unless listed; never above 500."""
    found = []
    for module in modules_in(root, *TREES):
        lines = module.text.count("\n")
        limit = FILE_LINES_MAX if module.place in LONG_FILES else FILE_LINES_USUAL
        if lines > limit:
            found.append(f"{module.place} has {lines} lines, above {limit}")
    return found


def long_functions(root: Path) -> list[str]:
    """A function has at most 60 lines, without its docstring and its classes."""
    found = []
    for module in modules_in(root, *TREES):
        for function in module.functions:
            first = function.body[0]
            documented = (
                isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
            )
            lines = _length(function) - (_length(first) if documented else 0)
            lines -= sum(_length(node) for node in function.body if isinstance(node, ast.ClassDef))
            if lines > FUNCTION_LINES_MAX:
                found.append(f"{module.place}:{function.lineno} {function.name} has {lines} lines")
    return found


def banned_names(root: Path) -> list[str]:
    """Names say what a thing is: no utils, no Impl."""
    found = []
    for module in modules_in(root, PACKAGE):
        path = Path(module.place)
        empty = [name for name in (path.stem, path.parent.name) if name in BANNED_MODULES or re.search(r"part_?\d+$", name)]
        classes = [node for node in module.nodes if isinstance(node, ast.ClassDef)]
        found += [f"{module.place}: '{name}' does not name an idea" for name in empty]
        found += [
            f"{module.place}:{node.lineno}: '{node.name}' says little"
            for node in classes
            if re.search(BANNED_CLASS_PATTERN, node.name)
        ]
    return found


def machine_paths(root: Path) -> list[str]:
    """Nothing names a path of the machine it was written on."""
    files = [path for folder in TEXTS for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files += [path for path in root.iterdir() if path.is_file() and path.name != ".git"]
    found = []
    for path in sorted(files):
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(root)}:{number} {line.strip()}" for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)
        ]
    return found


def impure_calls(root: Path) -> list[str]:
    """Machines call nothing whose result differs between processes, and do nothing themselves."""
    return [
        f"{module.place}:{node.lineno} calls {node.func.id}()"
        for module in modules_in(root, f"{PACKAGE}/protocol")
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]


def set_iterations(root: Path) -> list[str]:
    """Machines never depend on the order of a set: it differs between processes."""
    found = []
    for module in modules_in(root, f"{PACKAGE}/protocol"):
        sets = _names_of_sets(module)
        for node, iterated in _ordered_uses(module):
            if _is_set(iterated, sets):
                found.append(f"{module.place}:{node.lineno} takes the elements of a set in its order: {ast.unparse(iterated)}")
    return found


def unread_options(root: Path) -> list[str]:
    """An option exists because something reads it."""
    declared, used = {}, set()
    for module in modules_in(root, PACKAGE):
        if module.place.startswith(f"{PACKAGE}/config/options/"):
            for node in module.nodes:
                if isinstance(node, ast.Assign) and _called_name(node.value) == "Option":
                    declared[_last(node.targets[0])] = f"{module.place}:{node.lineno}"
        elif module.package != "config":
            used.update(_last(node) for node in module.nodes if isinstance(node, ast.Attribute | ast.Name))
    return [f"{place} {name} is read nowhere" for name, place in declared.items() if name not in used]


def process_globals(root: Path) -> list[str]:
    """Nothing of a process lives in a module: no rebinding, no filling of module-level containers, no locks and context variables."""
    found = []
    for module in modules_in(root, PACKAGE):
        if module.place in GUARDED_GLOBALS:
            continue
        containers = set()
        for statement in module.tree.body:
            value = getattr(statement, "value", None) if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            name = _called_name(value)
            if name in AMBIENT:
                found.append(f"{module.place}:{statement.lineno} keeps a {name} in the module")
            if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp) or name in CONTAINERS:
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                containers.update(target.id for target in targets if isinstance(target, ast.Name))
        for function in module.functions:
            found += [f"{module.place}:{line} {what}" for line, what in _fills(function, containers)]
    return list(dict.fromkeys(found))


def _fills(function: ast.AST, containers: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            yield node.lineno, f"rebinds {', '.join(node.names)} of the module"
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del) and _id(node.value) in containers:
            yield node.lineno, f"changes {_id(node.value)} of the module"
        elif _is_method_call(node) and node.func.attr in MUTATORS and _id(node.func.value) in containers:
            yield node.lineno, f"changes {_id(node.func.value)} of the module"


def _ordered_uses(module: Module) -> Iterator[tuple[ast.expr | ast.stmt, ast.expr]]:
    """Yield node and iterated expression wherever the order of iteration shows."""
    harmless = {
        id(argument)
        for node in module.nodes
        if isinstance(node, ast.Call) and _id(node.func) in ORDER_FREE
        for argument in node.args
    }
    for node in module.nodes:
        if isinstance(node, ast.For):
            yield node, node.iter
        elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp) and id(node) not in harmless:
            yield from ((node, generator.iter) for generator in node.generators)
        elif isinstance(node, ast.Call) and _id(node.func) in {"list", "tuple", "iter", "enumerate", "zip", "dict"}:
            if id(node) not in harmless:
                yield from ((node, argument) for argument in node.args)
        elif isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load):
            yield node, node.value
        elif _is_method_call(node) and node.func.attr == "pop" and not node.args:
            yield node, node.func.value


def _names_of_sets(module: Module) -> set[str]:
    """Return the variables, fields and parameters that are annotated as sets or bound to one, by their last name."""
    names = set()
    for node in module.nodes:
        if isinstance(node, ast.AnnAssign) and _annotates_set(node.annotation):
            names.add(_last(node.target))
        elif isinstance(node, ast.arg) and node.annotation is not None and _annotates_set(node.annotation):
            names.add(node.arg)
        elif isinstance(node, ast.Assign) and _is_set(node.value, set()):
            names.update(_last(target) for target in node.targets)
    return names - {""}


def _annotates_set(annotation: ast.expr) -> bool:
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return _last(outer) in {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}


def _is_set(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return _is_set(node.left, names) or _is_set(node.right, names)
    return isinstance(node, ast.Set | ast.SetComp) or _called_name(node) in {"set", "frozenset"} or _last(node) in names


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _is_method_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


def _called_name(node: ast.expr | None) -> str:
    return _last(node.func) if isinstance(node, ast.Call) else ""


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else _id(node)


def _id(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""
