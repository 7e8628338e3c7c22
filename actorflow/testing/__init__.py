"""Testing with simulated time: pipelines for everybody, machines for actorflow's own tests.

    from actorflow.testing import TestSink, TestSource, run_test

`run_test` runs a pipeline on the engine itself, on one thread, in virtual time and in an order that follows from a seed. `TestSource` is a
script of records, watermarks and pauses; `TestSink` shows what arrived, and when. The fixture of `pytest_plugin` does the same in pytest.

`simulation`, `faults`, `invariants` and `probe` are the simulator of single machines and clusters of them, for actorflow's own tests.

Nothing is imported until it is used, because pytest loads the plugin for every project on the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actorflow.testing.arrivals import Arrival, Heard, Received
    from actorflow.testing.run import TestRun, run_test
    from actorflow.testing.sink import TestSink
    from actorflow.testing.source import TestSource
    from actorflow.testing.stuck import TestStuck

__all__ = ["Arrival", "Heard", "Received", "TestRun", "TestSink", "TestSource", "TestStuck", "run_test"]

_HOMES = {
    "arrivals": ("Arrival", "Heard", "Received"),
    "run": ("TestRun", "run_test"),
    "sink": ("TestSink",),
    "source": ("TestSource",),
    "stuck": ("TestStuck",),
}

_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name)
    from importlib import import_module

    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value
