"""Making the keys that a cluster needs as soon as a node listens on anything but loopback."""

from __future__ import annotations

from pathlib import Path

from actorflow.config.options import CURVE_AUTHORIZED_KEYS, CURVE_KEY_FILE
from actorflow.errors import ConfigError
from actorflow.transport.curve import CurveKeys

_FILE = "node.key"


def make_keys(directory: Path) -> str:
    """Write a fresh key pair into a directory, and return what to do with it.

    Args:
        directory: made if it does not exist, readable by its owner only.

    Raises:
        ConfigError: if the keys cannot be written, or if there are some already.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make directory '{directory}': {error.strerror}") from error
    file = directory.resolve() / _FILE
    CurveKeys.make().save(file)
    return (
        f"{file} is the node's key pair: keep it secret. {file.with_suffix('.pub').name}, beside it, is its public half.\n"
        f"Nodes that share the pair let each other in; each one's configuration says:\n\n"
        f"  {CURVE_KEY_FILE.name}: {file}\n\n"
        f"Nodes with pairs of their own also need a directory of the others' public halves (*.pub):\n\n"
        f"  {CURVE_AUTHORIZED_KEYS.name}: DIRECTORY"
    )
