"""The deployments in `conf/`: what they start exists, with options that exist and fit, and their parts fit each other."""

import configparser
import getpass
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from actorflow.cli.main import app
from actorflow.config import Config, from_assignments, layered
from actorflow.config.document import entries_of_yaml

CONF = Path(__file__).parents[2] / "conf"
UNITS = sorted((CONF / "systemd").glob("*.service"))
MANIFEST = CONF / "kubernetes" / "cluster.yaml"


def options_of(command, config="/etc/actorflow/cluster.yaml"):
    """Check a command line that starts a node; return the options that it sets."""
    verb, flag, file, *rest = command
    assert (verb in get_command(app).commands, flag, file) == (True, "--config", config)
    assert ["-D"] * (len(rest) // 2) == rest[::2]
    return from_assignments(rest[1::2])


def sections(unit):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(unit)
    return parser


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_systemd_unit_runs_a_node_in_the_foreground_and_stops_it_by_the_signal_it_ends_at(unit):
    parser = sections(unit)
    assert ["Unit", "Service", "Install"] == parser.sections()
    program, *command = shlex.split(parser["Service"]["ExecStart"])
    assert "actorflow" == Path(program).name
    assert unit.stem.removeprefix("actorflow-") == command[0]
    options_of(command)
    assert ("exec", "SIGTERM", "always") == tuple(parser["Service"][key] for key in ("Type", "KillSignal", "Restart"))
    assert "0" == parser["Unit"]["StartLimitIntervalSec"], "or systemd gives up one that fails five times in ten seconds"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_every_line_of_a_unit(unit, tmp_path):
    here = tmp_path / unit.name  # with a program and a user that this machine has
    program = shlex.split(sections(unit)["Service"]["ExecStart"])[0]
    here.write_text(unit.read_text().replace(program, "/bin/true").replace("User=actorflow", f"User={getpass.getuser()}"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", here], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def documents():
    return list(YAML(typ="safe").load_all(MANIFEST.read_text()))


def of_kind(kind):
    return {document["metadata"]["name"]: document for document in documents() if document["kind"] == kind}


def test_the_configuration_in_the_manifest_is_one():
    text = of_kind("ConfigMap")["actorflow"]["data"]["cluster.yaml"]
    config = layered(Config.of_entries(entries_of_yaml(text, "cluster.yaml")))
    [place] = config.plain()["jobmanager.hosts"].split(", ")
    service = of_kind("Service")[place.partition(":")[0]]
    assert [int(place.partition(":")[2])] == [port["port"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("name", ["actorflow-jobmanager", "actorflow-taskmanager"])
def test_the_pods_of_a_deployment_run_nodes_are_selected_and_mount_what_there_is(name):
    spec = of_kind("Deployment")[name]["spec"]
    pod = spec["template"]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    [container] = pod["containers"]
    program, *command = container["command"]
    assert ("actorflow", name) == (program, f"actorflow-{command[0]}")
    options_of(command)
    volumes = {volume["name"] for volume in pod["volumes"]}
    for each in (container, *pod["initContainers"]):
        assert {mount["name"] for mount in each["volumeMounts"]} <= volumes
    used = {variable["name"] for variable in container.get("env", [])}
    assert all(f"$({name})" in " ".join(command) for name in used)


def test_the_service_selects_the_pods_of_the_job_manager():
    selector = of_kind("Service")["actorflow-jobmanager"]["spec"]["selector"]
    assert selector == of_kind("Deployment")["actorflow-jobmanager"]["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_the_scripts_hand_on_what_they_are_given(verb, tmp_path):
    script = CONF.parent / "scripts" / f"{verb}-cluster"
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / script.name).write_text(script.read_text())
    (tmp_path / "scripts" / "usage").write_text(script.with_name("usage").read_text())
    (tmp_path / "scripts" / script.name).chmod(0o755)
    assert script.stat().st_mode & stat.S_IXUSR
    told = tmp_path / ".venv" / "bin" / "actorflow"
    told.parent.mkdir(parents=True)
    told.write_text('#!/bin/sh\necho "$@"\n')
    told.chmod(0o755)
    command = [tmp_path / "scripts" / script.name]
    default, given = (
        subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout
        for arguments in ([], ["my.yaml", "--dry-run"])
    )
    assert (f"cluster {verb} {tmp_path}/conf/cluster.yaml\n", f"cluster {verb} my.yaml --dry-run\n") == (default, given)
