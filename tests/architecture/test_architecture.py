"""The architecture holds; and each rule finds a planted violation, so that its silence means something."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import code_rules
import layer_rules
import pytest
import source_tree
from layer_table import HEAVY

ROOT = Path(__file__).parents[2]

RULES = (
    layer_rules.unknown_packages,
    layer_rules.upward_imports,
    layer_rules.sibling_imports,
    layer_rules.strangers,
    layer_rules.dependencies_adrift,
    layer_rules.impure_imports,
    code_rules.long_files,
    code_rules.long_functions,
    code_rules.banned_names,
    code_rules.machine_paths,
    code_rules.impure_calls,
    code_rules.set_iterations,
    code_rules.process_globals,
    code_rules.unread_options,
)


@pytest.fixture(scope="module", autouse=True)
def _trees():
    """Parse the source once for all rules, and for no longer; collecting garbage would look again and again at all its nodes."""
    gc.disable()
    yield
    source_tree.forget()
    gc.enable()


def plant(root, place, source):
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule):
    assert [] == rule(ROOT), rule.__doc__


PLANTED = [
    (layer_rules.unknown_packages, "actorflow/magic/__init__.py", "", "actorflow.magic has no row"),
    (layer_rules.unknown_packages, "actorflow/magic.py", "", "actorflow.magic has no row"),
    (layer_rules.upward_imports, "actorflow/wire/frame.py", "from actorflow.protocol.machine import Send", "frame.py:1"),
    (layer_rules.upward_imports, "actorflow/ids.py", "import actorflow.plan.graph", "imports actorflow.plan.graph"),
    (layer_rules.upward_imports, "actorflow/actor/cell.py", "from actorflow import runtime", "imports actorflow.runtime"),
    (layer_rules.upward_imports, "actorflow/actor/cell.py", "from ..transport import link", "imports actorflow.transport.link"),
    (layer_rules.upward_imports, "actorflow/actor/cell.py", "def f():\n    from actorflow.runtime import job", "cell.py:2"),
    (
        layer_rules.upward_imports,
        "actorflow/actor/cell.py",
        "import importlib\nimportlib.import_module('actorflow.api')",
        "cell.py:2",
    ),
    (layer_rules.upward_imports, "actorflow/runtime/job.py", "import actorflow as af", "imports actorflow"),
    (layer_rules.sibling_imports, "actorflow/api/stream.py", "from actorflow.runtime.job import Job", "stream.py:1"),
    (layer_rules.sibling_imports, "actorflow/plan/graph.py", "from actorflow.wire import batch", "graph.py:1"),
    (layer_rules.strangers, "actorflow/runtime/job.py", "import zmq", "its home is transport"),
    (layer_rules.strangers, "actorflow/connectors/text.py", "from pyarrow import fs", "its home is storage"),
    (layer_rules.strangers, "actorflow/connectors/text.py", "def f():\n    import pyarrow.fs as fs", "text.py:2"),
    (layer_rules.strangers, "actorflow/wire/codec.py", "import requests", "it has no home"),
    (layer_rules.dependencies_adrift, "actorflow/wire/codec.py", "import lz4.frame", "lz4 is imported, and not in setup.cfg"),
    (
        layer_rules.dependencies_adrift,
        "setup.cfg",
        "[options]\ninstall_requires =\n    pyzmq>=27",
        "pyzmq is in setup.cfg, and not imported",
    ),
    (layer_rules.impure_imports, "actorflow/protocol/nodes/slots.py", "import time", "imports time"),
    (layer_rules.impure_imports, "actorflow/protocol/nodes/slots.py", "from actorflow.clock import SystemClock", "SystemClock"),
    (
        layer_rules.impure_imports,
        "actorflow/protocol/nodes/slots.py",
        "from actorflow.actor.system import ActorSystem",
        "ActorSystem",
    ),
    (code_rules.long_files, "actorflow/plan/graph.py", "x = 1\n" * 401, "401 lines"),
    (code_rules.long_functions, "actorflow/plan/graph.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (code_rules.banned_names, "actorflow/plan/utils.py", "", "'utils' does not name an idea"),
    (code_rules.banned_names, "actorflow/plan/helpers/one.py", "", "'helpers' does not name an idea"),
    (code_rules.banned_names, "actorflow/plan/graph_part2.py", "", "'graph_part2'"),
    (code_rules.banned_names, "actorflow/plan/graph.py", "class GraphImpl: pass", "'GraphImpl'"),
    (code_rules.banned_names, "actorflow/plan/graph.py", "class ConnectionManager: pass", "'ConnectionManager'"),
    (code_rules.machine_paths, "docs/tutorial.md", "cd /" + "home/someone/project", "docs/tutorial.md:1"),
    (code_rules.machine_paths, "actorflow/plan/graph.py", "PATH = '/" + "tmp/x'", "graph.py:1"),
    (code_rules.machine_paths, "README.md", "(/" + "root)", "README.md:1"),
    (code_rules.impure_calls, "actorflow/protocol/nodes/slots.py", "x = hash('a') % 8", "calls hash()"),
    (code_rules.set_iterations, "actorflow/protocol/nodes/slots.py", "for x in {1, 2}: pass", "slots.py:1"),
    (
        code_rules.set_iterations,
        "actorflow/protocol/nodes/slots.py",
        "class A:\n    free: set[str]\n    def f(self):\n        return list(self.free)",
        "slots.py:4",
    ),
    (
        code_rules.set_iterations,
        "actorflow/protocol/nodes/slots.py",
        "def f(a: frozenset[int], b):\n    return [x for x in a - b]",
        "a - b",
    ),
    (code_rules.set_iterations, "actorflow/protocol/nodes/slots.py", "free = set()\nfirst = free.pop()", "slots.py:2"),
    (code_rules.set_iterations, "actorflow/protocol/nodes/slots.py", "free = set()\nf(*free)", "slots.py:2"),
    (
        code_rules.process_globals,
        "actorflow/actor/system.py",
        "_current = None\ndef f():\n    global _current\n    _current = 1",
        "rebinds _current",
    ),
    (code_rules.process_globals, "actorflow/actor/system.py", "ALL = {}\ndef f(x):\n    ALL[x] = 1", "changes ALL"),
    (code_rules.process_globals, "actorflow/actor/system.py", "ALL = []\ndef f(x):\n    ALL.append(x)", "changes ALL"),
    (code_rules.process_globals, "actorflow/actor/system.py", "import threading\nGUARD = threading.Lock()", "keeps a Lock"),
    (
        code_rules.unread_options,
        "actorflow/config/options/nodes.py",
        "HEARTBEAT = Option('heartbeat.interval')",
        "HEARTBEAT is read nowhere",
    ),
]


@pytest.mark.parametrize(("rule", "place", "source", "expected"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_finds_a_planted_violation(rule, place, source, expected, tmp_path):
    plant(tmp_path, place, source)
    found = rule(tmp_path)
    assert len(found) == 1, found
    assert expected in found[0]


def test_every_rule_has_a_planted_violation():
    assert set(RULES) == {rule for rule, *_ in PLANTED}


GOOD = {
    "setup.cfg": "[options]\ninstall_requires =\n    pyarrow>=25\n    pyzmq>=27\n    typer[all]>=0.20\n",
    "actorflow/__init__.py": "",
    "actorflow/clock.py": "import time",
    "actorflow/config/options/nodes.py": "HEARTBEAT = Option('heartbeat.interval')\nPAUSE = Option('pause')",
    "actorflow/cluster/node.py": "from actorflow.config import options\nfrom actorflow.config.options.nodes import PAUSE\nx = c[options.HEARTBEAT] + c[PAUSE]",
    "actorflow/wire/batch.py": "class Batch: pass",
    "actorflow/runtime/job.py": "from actorflow.wire import batch\nfrom . import subtask\nimport actorflow.clock",
    "actorflow/transport/link.py": "import zmq\nimport threading",
    "actorflow/storage/files.py": "from pyarrow import fs",
    "actorflow/cli/main.py": "import actorflow as af\nimport typer",
    "actorflow/protocol/nodes/slots.py": "free = set()\nfor x in sorted(free): pass\nok = any(x > 1 for x in free)\nn = len(free)\ntaken = {x for x in free}",
    "actorflow/runtime/nodes.py": "class JobManager: pass\nclass TaskManager: pass\nclass ResourceManager: pass",
    "actorflow/plan/graph.py": "def f():\n    '''\n" + "    text\n" * 80 + "    '''\n    table = {}\n    table['a'] = 1\n",
    "tests/plan/test_graph.py": "def f():\n    class Machine:\n" + "        x = 1\n" * 80 + "    return Machine\n",
    "docs/tutorial.md": "storageDir: /var/lib/actorflow/ha and s3://bucket/" + "tmp/x and out/" + "tmp/y",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_leaves_good_code_alone(rule, tmp_path):
    for place, source in GOOD.items():
        plant(tmp_path, place, source)
    assert [] == rule(tmp_path)


def test_importing_actorflow_loads_nothing_heavy():
    program = "import sys, actorflow; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "actorflow" in loaded
    assert [] == [name for name in HEAVY if name in loaded]
