"""THINK BEFORE YOU CHANGE THIS FILE.

These tables are the architecture. When a rule refuses your import, the usual mistake is in the import, not here: the thing you need is
in the wrong layer, or should be passed in from above. A row added or a home widened needs a page in `docs/decisions/` that says why.
"""

ROWS = (
    ("errors", "ids", "clock"),
    ("plan", "config", "wire"),
    ("protocol",),
    ("actor", "storage"),
    ("transport", "state", "coordination"),
    ("operators", "connectors"),
    ("savepoint",),
    ("runtime", "api"),
    ("inspection", "web"),
    ("rest",),
    ("cluster",),
    ("actorflow",),  # the package's own `__init__`: what `import actorflow` gives users
    ("repl", "testing", "examples"),
    ("cli",),  # the command starts all of them
)
"""Lowest first. A package imports from rows below its own, and from itself; never from a sibling in its row, never upwards."""

HOMES = {
    "msgspec": ("wire",),
    "numpy": ("state",),
    "cloudpickle": ("wire",),
    "lz4": ("wire",),
    "xxhash": ("wire",),
    "ruamel": ("config",),
    "pykka": ("actor",),
    "fsspec": ("storage",),
    "pyarrow": ("wire", "storage", "operators", "connectors", "savepoint"),
    "pyarrow.fs": ("storage",),
    "rocksdict": ("state",),
    "kazoo": ("coordination",),
    "zmq": ("transport",),
    "polars": ("wire", "operators", "connectors", "savepoint"),
    "typer": ("cli",),
    "rich": ("cli", "repl"),
    "pytest": ("testing",),
    "IPython": ("repl",),
    "fastapi": ("rest",),
    "uvicorn": ("rest",),
    "prometheus_client": ("rest",),
    "typing_extensions": ("rest",),
}
"""Which packages may import a third-party one. The longest matching name decides. Nothing else may be imported at all."""

DISTRIBUTIONS = {
    "IPython": "ipython",
    "prometheus_client": "prometheus-client",
    "ruamel": "ruamel.yaml",
    "typing_extensions": "typing-extensions",
    "zmq": "pyzmq",
}
"""What PyPI calls a package that is imported by another name."""

EXTRAS = ("rest", "shell")
"""Parts that are installed on demand: what they bring is imported when they are used, and only there."""

HOSTS = ("pytest",)
"""What loads a plugin of ours is there by then: `setup.cfg` need not ask for it."""

HEAVY = (
    "IPython",
    "fastapi",
    "fsspec",
    "kazoo",
    "numpy",
    "polars",
    "prometheus_client",
    "pyarrow",
    "rich",
    "rocksdict",
    "ruamel",
    "typer",
    "uvicorn",
)
"""Never loaded by `import actorflow`: they are imported inside the functions that use them."""

PURE_ROWS_MAX = 1
"""`protocol` imports only from rows up to this one."""

PURE_STDLIB = (
    "__future__",
    "abc",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "typing",
)
"""All that `protocol` may import of the standard library: nothing with a clock, a thread, chance, or the outside world in it."""

IMPURE_NAMES = ("unique_suffix", "SystemClock")
"""Names of rows 0 and 1 that are not for `protocol`: they touch the operating system."""

IMPURE_CALLS = ("hash", "id", "open", "print", "input", "exec", "eval")
"""Built-in functions that a machine never calls: their results differ between processes, or they act."""

GUARDED_GLOBALS = {
    "actorflow/wire/user_code.py": "cloudpickle keeps the modules it pickles by value in a table of the process; a lock guards it",
}
"""Modules that may hold process-wide state, and why: what they guard is global in a library."""

FILE_LINES_MAX = 500
FILE_LINES_USUAL = 400
LONG_FILES: tuple[str, ...] = ()
"""Files above the usual length that were looked at and found to be one idea. Paths from the repository's root."""

FUNCTION_LINES_MAX = 60
"""Without its docstring, and without classes defined in it, whose methods count for themselves."""

BANNED_MODULES = ("util", "utils", "helper", "helpers", "misc", "common", "base", "manager")
BANNED_CLASS_PATTERN = r"Impl$|^Default|^Abstract|Helpers?$|Utils?$|(?<!Job)(?<!Task)(?<!Resource)Manager$"
