"""The pytest plugin: pytest finds it, it gives the fixture, and a failure says its seed."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "actorflow.testing.pytest_plugin"

MODULE = """
import actorflow as af
from actorflow.testing import TestSource

def orders():
    pipeline = af.Pipeline("merge")
    sources = [pipeline.read(TestSource(batch=1).records(*[f"{name}{number}" for number in range(5)])) for name in "ab"]
    return sources[0].union(sources[1])

def test_one(run_in_virtual_time):
    print("ORDER", *run_in_virtual_time(orders()).records)
    assert not "shown"
"""


def run_pytest(folder, *arguments):
    """Run pytest in a folder with nothing but our plugin; return what it prints."""
    (folder / "test_it.py").write_text(MODULE)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def order(printed):
    return next(line for line in printed.splitlines() if line.startswith("ORDER"))


def test_pytest_is_told_of_the_plugin():
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    entry = metadata["options.entry_points"]["pytest11"].strip()

    assert entry == f"actorflow = {PLUGIN}"
    assert hasattr(import_module(PLUGIN), "pytest_addoption")


def test_loading_the_plugin_loads_no_engine():
    program = f"import {PLUGIN}, sys; print(*[name for name in sys.modules if name.startswith('actorflow')])"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert sorted(loaded) == ["actorflow", "actorflow.testing", PLUGIN]


def test_a_failure_shows_the_seed_which_repeats_it(tmp_path):
    first = run_pytest(tmp_path, "--actorflow-seed=random")
    seed = next(line for line in first.splitlines() if line.startswith("--actorflow-seed="))

    again = run_pytest(tmp_path, seed)

    assert seed in again
    assert order(again) == order(first)


def test_a_seed_that_is_none_is_refused(tmp_path):
    assert "--actorflow-seed: invalid" in run_pytest(tmp_path, "--actorflow-seed=some")
