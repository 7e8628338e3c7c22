"""`Config`: an immutable set of typed option values that knows where each came from; and the layers it is made of.

    defaults < file < environment < pipeline < client (-D)

    config = layered(load("conf/local.yaml"), Config.of(pipeline_options, "pipeline"), from_assignments(["heartbeat.interval=2s"]))
    config[options.HEARTBEAT_INTERVAL]           2.0
    config.origin(options.HEARTBEAT_INTERVAL)    '-D heartbeat.interval'

There is no current configuration: a `Config` is passed to whoever reads it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

from actorflow.config.document import Entry, entries_of, entries_of_yaml
from actorflow.config.option import Option
from actorflow.config.options import BY_NAME
from actorflow.config.rules import RULES
from actorflow.errors import ConfigError

T = TypeVar("T")

DEFAULT_ORIGIN = "default"
ENVIRONMENT_VARIABLE = "ACTORFLOW_OPTIONS"
"""Holds options as YAML, which JSON is a part of."""

FILES_VARIABLE = "ACTORFLOW_CONFIG"
"""Names the configuration files, separated by colons like a search path. A later one goes before an earlier."""

OVERRIDES_VARIABLE = "ACTORFLOW_OVERRIDES"
"""Holds what `actorflow run` was told, for the scripts that it runs."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What somebody set: the value as given, as read, and where."""

    given: object
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Config:
    """Option values. Options that nobody set have their default. Picklable; equal if the same options have the same values."""

    settings: Mapping[str, Setting] = field(default_factory=dict)

    @classmethod
    def of(cls, mapping: Mapping[str, object], origin: str = "pipeline") -> Config:
        """Return the configuration that a nested or flat mapping describes.

        Args:
            mapping: values by option name.
            origin: what to call the mapping in errors and explanations.

        Raises:
            ConfigError: if a name is unknown, set twice, or its value is not of its kind.
        """
        return cls.of_entries(entries_of(mapping, origin))

    @classmethod
    def of_entries(cls, entries: Iterable[Entry]) -> Config:
        """Return the configuration of entries with distinct names; see `of`."""
        return cls({entry.name: _setting(entry) for entry in entries})

    def __getitem__(self, option: Option[T]) -> T:
        setting = self.settings.get(option.name)
        # What `_setting` stored under this name was parsed by this option's kind.
        return option.default if setting is None else cast("T", setting.value)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Config) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._values().items()))

    def origin(self, option: Option[T]) -> str:
        """Return where the option's value was set: such as `default`, `conf/cluster.yaml:12` or `pipeline`."""
        setting = self.settings.get(option.name)
        return DEFAULT_ORIGIN if setting is None else setting.origin

    def is_set(self, option: Option[T]) -> bool:
        """Return whether anybody has set the option, be it to its default."""
        return option.name in self.settings

    def plain(self) -> dict[str, object]:
        """Return what was set, by name, as values that JSON can hold and `of` reads back."""
        return {name: _plain(setting.given) for name, setting in self.settings.items()}

    def without_secrets(self) -> Config:
        """Return it without the options whose values must not be shown: for what is stored, or goes to others."""
        return Config({name: setting for name, setting in self.settings.items() if not BY_NAME[name].secret})

    def check(self) -> None:
        """Check that the options fit together.

        Raises:
            ConfigError: naming the options that do not, their values and where they were set.
        """
        for rule in RULES:
            if not rule.holds(*(self[option] for option in rule.options)):
                shown = " and ".join(
                    f"'{option.name}' ({option.shown(self[option]) or 'unset'}, {self.origin(option)})" for option in rule.options
                )
                raise ConfigError(f"options {shown} do not fit: {rule.text}")

    def _values(self) -> dict[str, object]:
        return {name: setting.value for name, setting in self.settings.items()}


def merged(*layers: Config) -> Config:
    """Return one layer of several, the later before the earlier. It is not checked: another layer may have what makes it fit."""
    return Config({name: setting for layer in layers for name, setting in layer.settings.items()})


def layered(*layers: Config) -> Config:
    """Return the configuration of all layers, the later before the earlier, checked as a whole.

    Raises:
        ConfigError: if options are impossible beside each other.
    """
    config = merged(*layers)
    config.check()
    return config


def load(*paths: str | Path, environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration of files and the environment, of which `layered` makes a whole that fits together.

    Args:
        paths: YAML files, a later one before an earlier; without any, those that `ACTORFLOW_CONFIG` names.
        environment: environment variables; this process's own if None.

    Raises:
        ConfigError: if a file cannot be read, or what it or the environment sets is wrong.
    """
    variables = os.environ if environment is None else environment
    named = [name for name in variables.get(FILES_VARIABLE, "").split(os.pathsep) if name]
    return merged(*map(read_file, paths or named), from_environment(variables))


def read_file(path: str | Path) -> Config:
    """Return the configuration in a YAML file. Errors name file and line.

    Raises:
        ConfigError: if it cannot be read, is not YAML, or sets something wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read configuration {path}: not UTF-8 at byte {error.start}") from None
    return Config.of_entries(entries_of_yaml(text, str(path)))


def from_environment(environment: Mapping[str, str]) -> Config:
    """Return the configuration in the variable `ACTORFLOW_OPTIONS`, which holds YAML or JSON. Empty if it is not set.

    Raises:
        ConfigError: if it sets something wrong.
    """
    text = environment.get(ENVIRONMENT_VARIABLE, "")
    return Config.of_entries(entries_of_yaml(text, ENVIRONMENT_VARIABLE)) if text.strip() else Config()


def overrides(environment: Mapping[str, str] | None = None) -> Config:
    """Return what `actorflow run` was given by `-D` and `-p`, which goes before everything a script sets.

    Args:
        environment: environment variables; this process's own if None. The command hands them on in `ACTORFLOW_OVERRIDES`.

    Raises:
        ConfigError: if it sets something wrong.
    """
    text = (os.environ if environment is None else environment).get(OVERRIDES_VARIABLE, "")
    entries = entries_of_yaml(text, OVERRIDES_VARIABLE) if text.strip() else []
    return Config.of_entries(replace(entry, origin=f"-D {entry.name}") for entry in entries)


def from_assignments(assignments: Iterable[str]) -> Config:
    """Return the configuration of `name=value` texts, as a command line's `-D` gives them. A later one goes before an earlier.

    Raises:
        ConfigError: if a text has no `=`, or sets something wrong.
    """
    entries = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"-D {assignment}: no value", hint=f"write -D {assignment}=VALUE")
        entries[name.strip()] = Entry(name.strip(), value.strip(), f"-D {name.strip()}")
    return Config.of_entries(entries.values())


def nearest(name: str) -> str:
    """Return the option name most like `name`, or an empty text if none is."""
    alike = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.6)
    below = [known for known in BY_NAME if known.startswith(f"{name}.") or known.endswith(f".{name}")]
    return (alike + below + [""])[0]


def _setting(entry: Entry) -> Setting:
    option = BY_NAME.get(entry.name)
    if option is None:
        similar = nearest(entry.name)
        hint = f"did you mean '{similar}'?" if similar else "all options are in docs/configuration.md"
        raise ConfigError(f"{entry.origin}: unknown option '{entry.name}'", hint=hint)
    try:
        value = option.kind.parse(entry.value, option.name)
    except ConfigError as error:
        text = f"{option.name}: the value given is not {option.kind.name}" if option.secret else error.message
        raise ConfigError(f"{entry.origin}: {text}", hint=error.hint) from None
    return Setting(entry.value, value, entry.origin)


def _plain(given: object) -> object:
    """Return a value of exactly the types that messages have: YAML and NumPy bring numbers of types of their own."""
    if isinstance(given, timedelta):
        return given / timedelta(milliseconds=1)
    if isinstance(given, list | tuple):
        return ", ".join(map(str, given))
    for exact in (bool, int, float, str):
        if isinstance(given, exact):
            return exact(given)
    return given
