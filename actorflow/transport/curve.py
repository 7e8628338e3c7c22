"""Keys, and the gate that asks for them: CURVE encrypts and authenticates a connection before a byte of it reaches a decoder.

A node has a key pair, and a set of public keys that it lets in. Nodes may share one pair (its own key is always let in), or have one
each, with a directory of `*.pub` files. The secret half lives in a file that only its owner can read.

ZeroMQ asks a ZAP handler (RFC 27) on `inproc://zeromq.zap.01` about every connection. `Gate` answers on a thread of its own: the node's thread
may be busy with user code, and a node whose handshakes nobody answers would look dead to its peers.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from actorflow.errors import ConfigError

_ZAP_URL = "inproc://zeromq.zap.01"


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """A node's key pair and whom it lets in. All keys are 64 hexadecimal digits.

    Attributes:
        public: the half that others may know.
        secret: the half that they may not; not shown by `repr`.
        authorized: public keys of peers that may connect, beside its own.
    """

    public: str
    secret: str = field(repr=False)
    authorized: frozenset[str] = frozenset()

    @classmethod
    def make(cls, authorized: frozenset[str] = frozenset()) -> CurveKeys:
        """Return a fresh key pair."""
        public, secret = zmq.curve_keypair()
        return cls(_to_hex(public), _to_hex(secret), authorized)

    def save(self, path: str | Path) -> None:
        """Write the pair to a new file that only its owner can read, and the public half beside it, with suffix `.pub`.

        Raises:
            ConfigError: if the file exists or cannot be written.
        """
        target = Path(path)
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"public {self.public}\nsecret {self.secret}\n")
            target.with_suffix(".pub").write_text(f"public {self.public}\n", encoding="ascii")
        except FileExistsError:
            raise ConfigError(f"key file '{target}' exists already", hint="remove it first if its nodes are gone") from None
        except OSError as error:
            raise ConfigError(f"cannot write key file '{target}': {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path, authorized_directory: str | Path | None = None) -> CurveKeys:
        """Read a pair, and the public keys (`*.pub`) of the peers that are let in.

        Raises:
            ConfigError: if a file or the directory is missing or malformed, or if others than its owner may read the secret.
        """
        source = Path(path)
        entries = _read(source)
        if source.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"key file '{source}' can be read by others than its owner", hint=f"chmod 600 {source}")
        if "public" not in entries or "secret" not in entries:
            raise ConfigError(f"key file '{source}' lacks a key pair", hint="make one with `actorflow keygen`")
        if authorized_directory is not None and not Path(authorized_directory).is_dir():
            raise ConfigError(
                f"cannot read authorized keys: '{authorized_directory}' is not a directory",
                hint="put a *.pub file for each node that may connect into it",
            )
        peers = sorted(Path(authorized_directory).glob("*.pub")) if authorized_directory is not None else []
        authorized = frozenset(_read(peer).get("public", "") for peer in peers)
        return cls(entries["public"], entries["secret"], authorized - {""})

    def lets_in(self, public_key: str) -> bool:
        """Return whether a peer with this key may connect."""
        return public_key == self.public or public_key in self.authorized


def guard_server(socket: zmq.Socket[bytes], keys: CurveKeys | None) -> None:
    """Make the next `bind` of a socket demand keys, or with None make it open to everyone."""
    socket.setsockopt(zmq.CURVE_SERVER, int(keys is not None))
    if keys is not None:
        socket.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(keys.secret))


def guard_client(socket: zmq.Socket[bytes], keys: CurveKeys | None, server: str) -> None:
    """Make the next `connect` of a socket show `keys` to a server with the public key `server`; with None, show nothing."""
    socket.setsockopt(zmq.CURVE_SERVER, 0)  # this also forgets an earlier server key
    if keys is not None:
        socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(keys.public))
        socket.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(keys.secret))
        socket.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(server))


class Gate:
    """Answers ZeroMQ's question whether a connection may be made, and vouches for the key it was made with. Ends with its context.

    Args:
        context: its sockets are guarded.
        keys: decides who is let in.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: CurveKeys) -> None:
        self._keys = keys
        self.turned_away = 0
        questions = context.socket(zmq.REP)
        questions.setsockopt(zmq.LINGER, 0)
        questions.bind(_ZAP_URL)
        threading.Thread(target=self._answer, args=(questions,), name="curve-gate", daemon=True).start()

    def _answer(self, questions: zmq.Socket[bytes]) -> None:
        with contextlib.suppress(zmq.ContextTerminated), questions:
            while True:
                _version, request, _domain, _address, _identity, mechanism, *credentials = questions.recv_multipart()
                key = credentials[0].hex() if mechanism == b"CURVE" and len(credentials) == 1 else ""
                known = self._keys.lets_in(key)
                self.turned_away += not known
                status = (b"200", b"OK", key.encode()) if known else (b"400", b"unknown key", b"")
                questions.send_multipart([b"1.0", request, *status, b""])


def _to_hex(key: bytes) -> str:
    return z85.decode(key).hex()


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        entries = dict(line.lower().split() for line in lines if line)
        if any(len(bytes.fromhex(key)) != 32 for key in entries.values()):
            raise ValueError("a key is not 32 bytes long")
    except OSError as error:
        raise ConfigError(f"cannot read key file '{path}': {error.strerror}", hint="make one with `actorflow keygen`") from error
    except ValueError as error:
        raise ConfigError(f"key file '{path}' is malformed: {error}", hint="make one with `actorflow keygen`") from None
    return entries
