"""Configuration as text, the generated reference page, and the files in `conf/`."""

import sys
from pathlib import Path

import pytest

from actorflow.config import Config, layered, load, options
from actorflow.config.explain import explain, reference
from actorflow.config.kinds import TEXT, optional
from actorflow.config.load import Setting
from actorflow.config.option import HIDDEN, Option
from actorflow.config.rules import Rule
from actorflow.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_every_option_is_explained_with_value_and_origin():
    lines = explain(Config.of({"heartbeat.interval": 2000}, "conf/cluster.yaml:7")).splitlines()
    assert len(options.ALL) == len(lines)
    rows = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in lines}
    assert rows["heartbeat.interval"].split() == ["2s", "conf/cluster.yaml:7"]
    assert rows["heartbeat.timeout"].split() == ["50s", "default"]
    assert rows["parallelism.default"].startswith("(the number of slots)")


def test_only_what_was_set_is_explained_on_request():
    assert explain(Config.of({"heartbeat.interval": 2000}), everything=False) == "heartbeat.interval  2s  pipeline"
    assert explain(Config(), everything=False) == ""


def test_secrets_are_hidden(monkeypatch):
    token = Option("rest.token", optional(TEXT), None, "A token.", unset="none", secret=True)
    monkeypatch.setattr("actorflow.config.explain.ALL", (token,))
    config = Config({"rest.token": Setting("hunter2", "hunter2", "conf/cluster.yaml:3")})
    assert f"rest.token  {HIDDEN}  conf/cluster.yaml:3" == explain(config)


def test_secrets_are_hidden_where_options_do_not_fit(monkeypatch):
    token = Option("rest.token", optional(TEXT), None, "A token.", unset="none", secret=True)
    monkeypatch.setattr(sys.modules[Config.__module__], "RULES", (Rule((token,), lambda value: value is None, "none is best"),))
    with pytest.raises(ConfigError) as caught:
        layered(Config({"rest.token": Setting("hunter2", "hunter2", "conf/cluster.yaml:3")}))
    assert f"'rest.token' ({HIDDEN}, conf/cluster.yaml:3)" in str(caught.value)


def test_a_malformed_secret_is_not_shown(monkeypatch):
    token = Option("rest.token", TEXT, "", "A token.", secret=True)
    monkeypatch.setitem(options.BY_NAME, "rest.token", token)
    with pytest.raises(Exception, match=r"rest\.token: the value given is not text") as caught:
        Config.of({"rest.token": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_the_reference_names_every_option_once():
    page = reference()
    assert [1] * len(options.ALL) == [page.count(f"| `{option.name}` |") for option in options.ALL]


def test_the_reference_page_is_up_to_date():
    assert reference() == (ROOT / "docs" / "configuration.md").read_text(), "run scripts/reference"


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda path: path.name)
def test_every_file_in_conf_loads_and_fits(path):
    assert layered(load(path, environment={})).settings
