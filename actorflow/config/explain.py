"""Configuration as text for people: the values in force with their origins, and the reference page of all options."""

from __future__ import annotations

from itertools import groupby

from actorflow.config.load import Config
from actorflow.config.option import Option
from actorflow.config.options import ALL

_REFERENCE_HEAD = """\
# Configuration

<!-- Generated from actorflow/config/options/ by scripts/reference. Do not edit. -->

Options are set, the later before the earlier:

1. in YAML 1.2 files with nested or flat keys: `actorflow run --config FILE`, or the environment variable `ACTORFLOW_CONFIG`, which names
   files, separated by colons; of several, too, the later before the earlier;
2. in the environment variable `ACTORFLOW_OPTIONS`, which holds YAML or JSON;
3. on the pipeline: `af.Pipeline(config={...})`;
4. by the client: `af.run(config={...})`, and before that `actorflow run -D name=value`.

An unknown name, a name set twice, a value of the wrong kind, and options that do not fit together are errors, which name file, line and
option, and the nearest valid name. `actorflow config explain [FILE]... [-D NAME=VALUE]` shows each value and where it was set; secrets
are hidden. `conf/` has files to begin with. What is logged where is on [a page of its own](logging.md).

Durations are written `200ms`, `5s`, `10min`, `1h30min`; a bare number is milliseconds. Sizes are written `32kb`, `64mb` (1 kb = 1024
bytes); a bare number is bytes. Names are Flink's where Flink has the thing; what only actorflow has is under `actorflow.`.
"""


def explain(config: Config, *, everything: bool = True) -> str:
    """Return a table of option, value and origin, one line each. Secrets are hidden.

    Args:
        config: what to explain.
        everything: also list the options that have their default.
    """
    rows = [
        (option.name, _shown(option, config), config.origin(option))
        for option in ALL
        if everything or option.name in config.settings
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}".rstrip() for name, value, origin in rows)


def reference() -> str:
    """Return the reference page of all options, in Markdown."""
    sections = [_REFERENCE_HEAD]
    options = sorted(ALL, key=lambda option: _section(option.name))
    for section, members in groupby(options, key=lambda option: _section(option.name)):
        rows = "\n".join(_row(option) for option in members)
        sections.append(f"## {section}\n\n| option | kind | default | since | what it is for |\n|---|---|---|---|---|\n{rows}\n")
    return "\n".join(sections)


def _section(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "actorflow" else parts[0]


def _row(option: Option[object]) -> str:
    default = f"`{option.kind.show(option.default)}`" if option.default is not None else option.unset
    return f"| `{option.name}` | {option.kind.name} | {default} | {option.since} | {option.text} |"


def _shown(option: Option[object], config: Config) -> str:
    value = config[option]
    if value is None:
        return f"({option.unset})"
    return option.shown(value)
