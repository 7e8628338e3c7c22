"""The two commands of the README, on a machine where things are missing or fail."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("ruff", "mypy", "pytest")


@pytest.fixture
def clone(tmp_path):
    """A clone with an installed environment whose tools only tell how they were called."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("bench", "__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for tool in TOOLS:
        write_tool(tmp_path, tool, "exit 0")
    metadata = subprocess.run(["cksum", "setup.cfg", "pyproject.toml"], cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / ".venv" / ".installed-test").write_text(metadata.stdout)
    return tmp_path


def write_tool(clone, name, then):
    path = clone / ".venv" / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "{name} $*"\n{then}\n')
    path.chmod(0o755)


def run(clone, *command, path=None):
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run([clone / command[0], *command[1:]], capture_output=True, text=True, env=environment, check=False)


def test_everything_is_checked_and_the_tests_come_last(clone):
    done = run(clone, "scripts/test", "tests/config", "-x")
    assert done.returncode == 0, done.stderr
    calls = [line for line in done.stdout.splitlines() if line.startswith(TOOLS)]
    assert calls == ["ruff check --quiet", "ruff format --check --quiet", "mypy --no-error-summary", calls[-1]]
    assert calls[-1].startswith("pytest ")
    assert calls[-1].endswith(" tests/config -x")
    assert done.stdout.splitlines()[-1] == calls[-1]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_script_says_what_it_does_and_does_nothing_then(clone, option):
    scripts = [path for path in (clone / "scripts").iterdir() if path.read_text().startswith("#!")]
    assert {"attack", "install", "test"} < {script.name for script in scripts}
    for script in scripts:
        done = run(clone, f"scripts/{script.name}", option)
        assert (0, "") == (done.returncode, done.stderr)
        assert script.read_text().splitlines()[1] == f"# {done.stdout.splitlines()[0]}"


@pytest.mark.parametrize("script", ["attack", "chaos", "simulate"])
def test_what_needs_an_installation_says_so(clone, script):
    done = run(clone, f"scripts/{script}")
    assert (1, f"scripts/{script}: no .venv; run scripts/quickstart first\n") == (done.returncode, done.stderr)


def test_fast_leaves_out_what_is_slow(clone):
    assert " -m not slow -x" in run(clone, "scripts/test", "--fast", "-x").stdout


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "step"), [("ruff", "lint format"), ("mypy", "types"), ("pytest", "tests")])
def test_whatever_fails_fails_the_whole_and_the_rest_still_runs(clone, tool, step):
    write_tool(clone, tool, "exit 3")
    done = run(clone, "scripts/test")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"FAILED: {step}"
    assert "pytest" in done.stdout


def test_what_cannot_be_installed_is_said_and_nothing_is_run(clone):
    (clone / "scripts" / "install").write_text('#!/bin/sh\n[ "$1" = --python ]\n')
    done = run(clone, "scripts/test")
    assert done.returncode == 1
    assert "cannot test: install failed" in done.stderr
    assert "pytest" not in done.stdout


def test_without_python_the_quickstart_says_what_to_install(clone, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for tool in ("bash", "dirname", "cksum"):
        (bare / tool).symlink_to(shutil.which(tool))
    shutil.rmtree(clone / ".venv")
    done = run(clone, "scripts/quickstart", path=str(bare))
    assert done.returncode == 1
    assert "needs Python 3.11 or later" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr
    assert not (clone / ".venv").exists()
