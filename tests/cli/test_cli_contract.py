"""What programs and people rely on: every verb is there, with an example, JSON where it answers, completion, and its exit codes."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from actorflow.cli.failure import told
from actorflow.cli.main import app
from actorflow.errors import ActorflowError, ConfigError, JobCancelled, TimedOut

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def commands(group, path=""):
    """Give every command below a group with its words."""
    for name, command in sorted(group.commands.items()):
        words = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, words)
        else:
            yield words, command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_an_example_that_names_it(words):
    shown = re.search(r"Example: (actorflow .*)", COMMANDS[words].help)
    assert shown is not None
    assert shown[1].startswith(f"actorflow {words.removesuffix(' take')}")


@pytest.mark.parametrize("words", ["list", "status", "cancel", "stop", "rescale", "savepoint take", "cluster status"])
def test_what_answers_answers_programs_too(words):
    assert "--json" in [option for parameter in COMMANDS[words].params for option in parameter.opts]


@pytest.mark.parametrize(
    ("typed", "expected"), [("actorflow ca", ["cancel"]), ("actorflow cluster st", ["start", "status", "stop"])]
)
def test_shells_complete_commands(typed, expected):
    environment = {"_ACTORFLOW_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    shown = CliRunner().invoke(app, [], prog_name="actorflow", env=environment)
    assert sorted(shown.stdout.split()) == expected


def documented_codes():
    return [int(code) for code in re.findall(r"^\| (\d+) \|", OPERATIONS.read_text(), re.MULTILINE)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ActorflowError("no"), 1),
        (JobCancelled("no"), 1),
        (ConfigError("no"), 2),
        (TimedOut("job 'x' has not ended within 1s: it is running", hint="it goes on"), 124),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_are_one_line_and_have_the_exit_codes_that_are_documented(error, code, capsys):
    with pytest.raises(SystemExit) as ended, told(verbose=False):
        raise error
    assert (ended.value.code, len(capsys.readouterr().err.splitlines())) == (code, 1)
    assert code in documented_codes()


def test_a_time_out_is_a_line_with_a_hint_and_a_traceback_only_if_it_is_wanted(capsys):
    for verbose in (False, True):
        with pytest.raises(SystemExit), told(verbose=verbose):
            raise TimedOut("job 'x' has not ended within 1s: it is running", hint="it goes on")
        shown = capsys.readouterr().err
        assert shown.endswith("error: job 'x' has not ended within 1s: it is running (hint: it goes on)\n")
        assert ("Traceback" in shown) == verbose


def test_a_time_out_is_one_of_pythons_as_well():
    assert issubclass(TimedOut, TimeoutError)
