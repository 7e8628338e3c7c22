"""Savepoints on the command line: starting a script from one, showing and comparing."""

import json

import pytest
from typer.testing import CliRunner

from actorflow import savepoint
from actorflow.cli.main import app
from actorflow.cli.script import options_for_script, savepoint_assignments

RUNNER = CliRunner()


def made(directory, values):
    empty = savepoint.create("totals").with_operator("totals")
    return empty.with_values("totals", "total", values).write(directory)


def test_a_savepoint_is_shown_and_compared(tmp_path):
    first, second = made(tmp_path / "a", {1: 10, 2: 20}), made(tmp_path / "b", {1: 10, 2: 21, 3: 30})
    shown = RUNNER.invoke(app, ["savepoint", "show", first])
    assert 0 == shown.exit_code
    assert "    total (value): 2 rows" in shown.output
    compared = RUNNER.invoke(app, ["savepoint", "diff", first, second])
    assert "totals / total: -1 +2 rows\n" == compared.output
    missing = RUNNER.invoke(app, ["savepoint", "show", str(tmp_path / "none")])
    assert 0 != missing.exit_code


@pytest.mark.parametrize(
    ("path", "claim_mode", "allowed", "expected"),
    [
        (None, None, False, {}),
        (
            "/savepoints/one",
            "claim",
            True,
            {
                "execution.state-recovery.path": "/savepoints/one",
                "execution.state-recovery.claim-mode": "claim",
                "execution.state-recovery.ignore-unclaimed-state": "true",
            },
        ),
    ],
)
def test_a_command_line_says_by_options_what_a_script_starts_from(path, claim_mode, allowed, expected):
    said = savepoint_assignments(path, claim_mode, allow_non_restored_state=allowed)
    assert expected == json.loads(options_for_script(None, said, {}))
