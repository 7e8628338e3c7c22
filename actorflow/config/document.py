"""From YAML text, or a nested mapping, to a flat list of entries: full name, value, place.

YAML 1.2, keys nested or flat or mixed (`heartbeat: {interval: 5s}` is `heartbeat.interval: 5s`). A key that is set twice is refused,
however it is written. What the names mean is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from actorflow.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Entry:
    """A value that was set.

    Attributes:
        name: full name of the option, as written.
        value: as YAML or Python gave it.
        origin: where it was set: `conf/cluster.yaml:12`, `pipeline`.
    """

    name: str
    value: object
    origin: str


def entries_of(mapping: Mapping[str, object], origin: str) -> list[Entry]:
    """Return the entries of a nested or flat mapping.

    Raises:
        ConfigError: if a key is no text, or a name occurs twice.
    """
    return _unique(_flatten(mapping, "", lambda _mapping, _key: origin))


def entries_of_yaml(text: str, origin: str) -> list[Entry]:
    """Return the entries of a YAML document.

    Args:
        text: the document; it may be empty.
        origin: its file name, or what else to call it.

    Raises:
        ConfigError: if it is not YAML, not a mapping, or sets a name twice: with file and line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.scalarbool import ScalarBoolean

    _check_version(text, origin)
    try:
        document = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        # Its own text shows both values, which may be secret.
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        key = str(error.problem).partition(" with value")[0].removeprefix("found ")
        raise ConfigError(f"{origin}{line}: {key}: it is set before in the same mapping", hint="keep one of the two") from None
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{origin}{line}: not valid YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise ConfigError(f"{origin}: not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{origin}: it is nested too deeply to be a configuration") from None
    if document is None:
        return []
    if not isinstance(document, CommentedMap):
        raise ConfigError(f"{origin}: a configuration is a mapping of names to values, not a {_kind_of(document)}")

    def place(mapping: Mapping[object, object], key: object) -> str:
        # Keys that YAML merges in from an anchor have no line of their own.
        if isinstance(mapping, CommentedMap) and key in (mapping.lc.data or {}):
            return f"{origin}:{mapping.lc.key(key)[0] + 1}"
        return origin

    def bare(value: object) -> object:
        # The parser keeps how a number was written (`0x10`, `1.50`) and its anchor, in types of its own.
        if isinstance(value, ScalarBoolean):
            return bool(value)
        return [bare(element) for element in value] if isinstance(value, list) else value

    return _unique(replace(entry, value=bare(entry.value)) for entry in _flatten(document, "", place))


def _check_version(text: str, origin: str) -> None:
    """Refuse another version of YAML: 1.1 reads `no` as false and `1:30` as 90."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("%YAML") and line.split()[1:2] != ["1.2"]:
            raise ConfigError(f"{origin}:{number}: '{line.strip()}' is not YAML 1.2", hint="remove the line")
        if line.strip() and not line.startswith(("%", "#")):
            return


def _flatten(mapping: Mapping[object, object] | Mapping[str, object], prefix: str, place: Callable[..., str]) -> Iterator[Entry]:
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise ConfigError(f"{place(mapping, key)}: {key!r} is not the name of an option", hint="names are texts")
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.", place)
        else:
            yield Entry(prefix + key, value, place(mapping, key))


def _unique(entries: Iterator[Entry]) -> list[Entry]:
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in first:
            raise ConfigError(
                f"{entry.origin}: option '{entry.name}' is already set in {first[entry.name].origin}", hint="keep one of the two"
            )
        first[entry.name] = entry
    return list(first.values())


def _kind_of(document: object) -> str:
    return "list" if isinstance(document, list) else "single value"
