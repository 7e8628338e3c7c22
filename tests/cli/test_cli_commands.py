"""The smaller commands: version, configuration, the list of examples."""

import platform
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from actorflow import __version__
from actorflow.cli.main import app
from actorflow.config import Config, options
from actorflow.transport.curve import CurveKeys


def invoke(*command_line):
    return CliRunner().invoke(app, list(command_line))


def test_the_version_names_package_and_interpreter():
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (
        0,
        f"actorflow {__version__} ({platform.python_implementation()} {platform.python_version()})\n",
    )


def test_configuration_is_explained_with_values_and_origins(tmp_path, monkeypatch):
    monkeypatch.delenv("ACTORFLOW_OPTIONS", raising=False)
    file = tmp_path / "cluster.yaml"
    file.write_text("parallelism.default: 2\nheartbeat: {interval: 3s}\n")
    result = invoke("config", "explain", str(file), "--set")
    assert result.exit_code == 0
    assert sorted(line.split() for line in result.stdout.splitlines()) == [
        ["heartbeat.interval", "3s", f"{file}:2"],
        ["parallelism.default", "2", f"{file}:1"],
    ]


def test_files_and_the_command_line_are_explained_as_one_that_must_fit(tmp_path, monkeypatch):
    monkeypatch.delenv("ACTORFLOW_OPTIONS", raising=False)
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("heartbeat: {interval: 30s, timeout: 50s}\n")
    second.write_text("heartbeat.timeout: 2min\n")
    alone, both = invoke("config", "explain", str(first)), invoke("config", "explain", str(first), str(second), "--set")
    assert (alone.exit_code, both.exit_code) == (2, 0)
    assert sorted(line.split() for line in both.stdout.splitlines()) == [
        ["heartbeat.interval", "30s", f"{first}:1"],
        ["heartbeat.timeout", "2min", f"{second}:1"],
    ]
    monkeypatch.setenv("ACTORFLOW_CONFIG", f"{first}:{second}")
    defined = invoke("config", "explain", "--set", "-D", "heartbeat.interval=5s")
    assert defined.stdout.splitlines()[0].split() == ["heartbeat.interval", "5s", "-D", "heartbeat.interval"]


def test_every_option_is_explained_unless_only_those_set_are_wanted(monkeypatch):
    monkeypatch.setenv("ACTORFLOW_OPTIONS", "parallelism.default: 2")
    every, only_set = invoke("config", "explain"), invoke("config", "explain", "--set")
    assert "heartbeat.interval" in every.stdout
    assert only_set.stdout.split() == ["parallelism.default", "2", "ACTORFLOW_OPTIONS:1"]


def test_a_configuration_file_with_an_unknown_option_is_wrong_use(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("paralelism.default: 2\n")
    result = invoke("config", "explain", str(file))
    assert result.exit_code == 2
    assert result.stderr == (f"error: {file}:1: unknown option 'paralelism.default' (hint: did you mean 'parallelism.default'?)\n")


def test_an_example_without_its_data_says_what_to_install(monkeypatch):
    monkeypatch.setattr("actorflow.examples.flights.DATA", "not_installed")
    result = invoke("example", "flights", "--which", "top")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: the flights are in the package 'not_installed', which is not installed "
        "(hint: pip install 'actorflow[examples]', or in a clone: scripts/install examples)\n"
    )


def test_the_examples_are_listed_with_their_summaries():
    result = invoke("example", "list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["flights", "wordcount"]


def test_keys_are_made_that_the_printed_options_name_and_never_overwritten(tmp_path):
    result = invoke("keygen", str(tmp_path / "keys"))
    assert result.exit_code == 0
    named = dict(line.split(": ") for line in map(str.strip, result.stdout.splitlines()) if line.startswith("actorflow.security"))
    config = Config.of({options.CURVE_KEY_FILE.name: named[options.CURVE_KEY_FILE.name]})
    keys = CurveKeys.load(config[options.CURVE_KEY_FILE])
    again = invoke("keygen", str(tmp_path / "keys"))
    assert (again.exit_code, again.stderr.startswith("error: key file ")) == (2, True)
    assert CurveKeys.load(tmp_path / "keys" / "node.key") == keys


def test_an_unknown_command_is_wrong_use():
    assert invoke("wordcont").exit_code == 2


@pytest.mark.slow
def test_asking_for_the_version_loads_neither_columns_nor_terminal_libraries():
    code = (
        "import sys; sys.argv = ['actorflow', '--version']\n"
        "from actorflow.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'pyarrow', 'polars', 'fsspec', 'rich', 'numpy', 'ruamel.yaml'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"
