"""Running scripts through the command: what the script sees, how its failures are shown, and the exit codes."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actorflow.cli.main import app
from actorflow.cli.script import options_for_script
from actorflow.errors import ConfigError


@pytest.fixture(autouse=True)
def _interpreter_as_it_was(monkeypatch):
    """Running a script changes `sys.argv`, `sys.path` and the environment of this process, as it should."""
    monkeypatch.setenv("ACTORFLOW_OVERRIDES", "")
    argv, path = list(sys.argv), list(sys.path)
    yield
    sys.argv[:], sys.path[:] = argv, path


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Write a script as `job.py` in the current directory; return a function that runs it with the given command line."""
    monkeypatch.chdir(tmp_path)

    def run(code, *command_line):
        Path("job.py").write_text(code)
        return CliRunner().invoke(app, ["run", *(command_line or ["job.py"])])

    return run


def test_a_script_runs_as_main_with_its_own_arguments_and_directory(script):
    (Path.cwd() / "beside.py").write_text("name = 'beside'")
    result = script(
        "import sys, beside\nprint(__name__, sys.argv, beside.name)", "job.py", "--input", "a.txt", "-p", "3", "--", "-p", "7"
    )
    assert (result.exit_code, result.stdout) == (0, "__main__ ['job.py', '--input', 'a.txt', '-p', '7'] beside\n")


def test_parallelism_and_options_reach_the_script_in_the_environment(script):
    code = "import os; print(os.environ['ACTORFLOW_OVERRIDES'])"
    result = script(code, "job.py", "-p", "3", "-D", "heartbeat.interval=2s", "-Dtaskmanager.network.compression=never")
    assert json.loads(result.stdout) == {
        "heartbeat.interval": "2s",
        "taskmanager.network.compression": "never",
        "parallelism.default": "3",
    }


def test_the_command_line_goes_before_options_already_in_the_environment():
    environment = {"ACTORFLOW_OVERRIDES": '{"parallelism.default": 8, "heartbeat.interval": "1s"}'}
    options = options_for_script(None, ["parallelism.default=2"], environment)
    assert json.loads(options) == {"parallelism.default": "2", "heartbeat.interval": "1s"}


def test_p_goes_before_d():
    assert json.loads(options_for_script(4, ["parallelism.default=2"], {})) == {"parallelism.default": "4"}


@pytest.mark.parametrize(
    ("assignment", "complaint"), [("paralelism.default=2", "did you mean"), ("parallelism.default", "no value")]
)
def test_a_wrong_option_is_refused_before_the_script_starts(script, assignment, complaint):
    with pytest.raises(ConfigError, match=complaint):
        options_for_script(None, [assignment], {})
    result = script("print('started')", "job.py", "-D", assignment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: -D ")
    assert result.stderr.count("\n") == 1


def test_a_missing_script_is_wrong_use(script):
    result = script("", "nothing.py")
    assert result.exit_code == 2
    assert "nothing.py" in result.stderr


def test_an_exception_of_the_script_is_shown_from_its_own_frames_on(script):
    result = script("def halve(n):\n    return n / 0\n\nhalve(1)\n")
    lines = result.stderr.splitlines()
    assert result.exit_code == 1
    assert [line.strip() for line in lines if line.strip().startswith("File")] == [
        'File "job.py", line 4, in <module>',
        'File "job.py", line 2, in halve',
    ]
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_script_that_does_not_parse_shows_the_line_and_no_frames_of_ours(script):
    result = script("x = 1\nif:\n")
    assert result.exit_code == 1
    assert [line.strip() for line in result.stderr.splitlines() if "File" in line] == ['File "job.py", line 2']


def test_an_error_of_actorflow_is_a_line_and_the_place_in_the_script(script):
    code = "from actorflow.errors import PlanError\n\nraise PlanError('nothing is written', hint='add .write(…)')\n"
    result = script(code)
    assert (result.exit_code, result.stderr) == (1, "error: nothing is written (hint: add .write(…))\n  at job.py, line 3\n")


def test_a_failed_job_shows_where_it_failed_and_the_users_traceback_only(script):
    code = (
        "from actorflow.errors import ErrorInfo, JobFailed\n"
        "raise JobFailed('count', ErrorInfo('ValueError', 'bad word', traceback='  File \"words.py\", line 3\\n',"
        " context={'operator': 'split'}, foreign=True))\n"
    )
    result = script(code)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: job 'count' failed: ValueError: bad word",
        "  operator: split",
        '  File "words.py", line 3',
        "  at job.py, line 2",
    ]


def test_verbose_adds_the_engines_own_traceback(script):
    code = "from actorflow.errors import PlanError\nraise PlanError('nothing is written')"
    result = script(code, "-v", "job.py")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, "Traceback (most recent call last):")
    assert "runpy" in result.stderr


def test_the_exit_code_of_a_script_is_the_commands(script):
    assert script("import sys; sys.exit(5)").exit_code == 5


def test_an_interrupt_is_a_line_and_exit_code_130(script):
    result = script("raise KeyboardInterrupt")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_the_command_line_goes_before_what_the_pipeline_sets(script):
    code = """
import actorflow as af
pipeline = af.Pipeline("p", config={"pipeline.operator-chaining.enabled": True, "execution.batch-records.max": 3})
sizes = pipeline.read(af.sources.collection(range(10)), parallelism=1)
class Size(af.Sink):
    def open(self, ctx):
        return self
    def write(self, batch):
        print(len(batch), end=" ")
    def flush(self):
        pass
    def close(self):
        pass
sizes.write(Size(), parallelism=1)
af.run(pipeline, slots="inline")
"""
    assert script(code).stdout == "3 3 3 1 "
    assert script(code, "job.py", "-D", "execution.batch-records.max=5").stdout == "5 5 "
