"""Where a node can be reached: `tcp://10.0.0.5:6123#<public key>` or `ipc:///run/user/af/jm.sock`.

The part after `#` is the node's CURVE public key, 64 hexadecimal digits: whoever learns an endpoint can also check who answers there.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actorflow.errors import TransportError

_FORM = re.compile(r"(?P<protocol>tcp|ipc)://(?P<place>[^#]+)(?:#(?P<key>[0-9a-f]{64}))?")
_IPC_PATH_BYTES_MAX = 107


@dataclass(frozen=True, slots=True)
class Location:
    """One endpoint of a node.

    Attributes:
        protocol: `tcp` or `ipc`.
        place: `host:port`, or the path of a socket file.
        public_key: hexadecimal CURVE key of the node that listens there, or an empty string.
    """

    protocol: str
    place: str
    public_key: str = ""

    def __str__(self) -> str:
        return f"{self.url}#{self.public_key}" if self.public_key else self.url

    @property
    def url(self) -> str:
        """The endpoint as ZeroMQ wants it."""
        return f"{self.protocol}://{self.place}"

    @property
    def host(self) -> str:
        """The host of a tcp endpoint, without brackets."""
        return self.place.rpartition(":")[0].strip("[]")

    @property
    def ipv6(self) -> bool:
        """Whether it is a tcp endpoint with an IPv6 address."""
        return self.protocol == "tcp" and ":" in self.host

    @property
    def local(self) -> bool:
        """Whether nothing but this host can reach it."""
        if self.protocol == "ipc" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Location:
    """Return the endpoint that `text` spells.

    Raises:
        TransportError: if it is none.
    """
    match = _FORM.fullmatch(text)
    if match is None or (match["protocol"] == "tcp" and not match["place"].rpartition(":")[2].isdecimal()):
        raise TransportError(f"'{text}' is not an endpoint", hint="write tcp://host:port or ipc:///path")
    if match["protocol"] == "ipc" and len(match["place"].encode()) > _IPC_PATH_BYTES_MAX:
        raise TransportError(
            f"socket path '{match['place']}' is longer than {_IPC_PATH_BYTES_MAX} bytes", hint="choose a shorter directory"
        )
    return Location(match["protocol"], match["place"], match["key"] or "")


def nearest(locations: Sequence[Location]) -> Location | None:
    """Return the best endpoint to dial: a socket file that exists on this host, else the first tcp endpoint, else None."""
    for location in locations:
        if location.protocol == "ipc" and _is_here(location.place):
            return location
    return next((location for location in locations if location.protocol == "tcp"), locations[0] if locations else None)


def on_this_host(endpoints: Sequence[str]) -> bool:
    """Return whether no network lies between here and the node that listens at these endpoints; one that listens nowhere is this one."""
    location = nearest([parse(text) for text in endpoints])
    return location is None or location.local


def _is_here(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a directory that is not ours to look into
        return False
