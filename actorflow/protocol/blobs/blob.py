"""Blobs: what a job brings that is too large for messages. Files for its operators, and its code; how they are named, and what is said about them.

    client ──OfferBlobs──► blob server          which of these are missing there?
    client ══ the missing ones, in pieces ══► blob server
    TaskManager ──FetchBlob──► blob server      when a slot is leased to the job
    TaskManager ◄══ in pieces ══ blob server    or BlobUnavailable

A blob is named by the digest of what is in it. So whoever has taken one knows that it is whole, and nobody takes one twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.protocol.nodes.leader import BLOB_SERVER_PATH, DISPATCHER_PATH
from actorflow.wire.message import Message

BLOBS_OF_JOB_MAX: Final = 10_000
"""How many blobs a job may have: what is said about them fits into one message."""

_DIGEST_LETTERS: Final = 64

_FILE: Final = "blob://"
_ARCHIVE: Final = "blob+tar://"


class BlobRef(Message, frozen=True):
    """Names a blob.

    Attributes:
        digest: SHA-256 of its bytes, in hexadecimal.
        size: of it, in bytes.
    """

    digest: str
    size: int

    @property
    def well_formed(self) -> bool:
        """Whether it can name a blob, and a file: who gets it from another node asks first."""
        return is_digest(self.digest) and self.size >= 0


def is_digest(text: str) -> bool:
    """Return whether a text can be the digest of a blob. No other text is ever part of a path."""
    return len(text) == _DIGEST_LETTERS and all(letter in "0123456789abcdef" for letter in text)


class JobBlobs(Message, frozen=True):
    """The blobs of a job, and where they are to be had.

    Attributes:
        server: address of the blob server.
        blobs: which.
    """

    server: Address
    blobs: tuple[BlobRef, ...]


class OfferBlobs(Message, frozen=True):
    """Asked of the blob server by a client that is about to submit a job; answered by `BlobsWanted`. It may be asked again.

    Attributes:
        job: the job.
        client: node that sends what is missing. Until the job is submitted, they go when this node is lost.
        blobs: those of the job.
    """

    job: JobId
    client: NodeId
    blobs: tuple[BlobRef, ...]


class BlobsWanted(Message, frozen=True):
    """What the blob server lacks.

    Attributes:
        missing: digests, in the order of the offer.
        error: why it takes nothing, or why it did not take what it was sent.
    """

    missing: tuple[str, ...] = ()
    error: ErrorInfo | None = None


class FetchBlob(Message, frozen=True):
    """Send this blob to the node of `cache`; or tell that actor why not."""

    digest: str
    cache: Address


class BlobUnavailable(Message, frozen=True):
    """The blob server cannot send this one."""

    digest: str
    error: ErrorInfo


BLOB_MESSAGES: tuple[type[Message], ...] = (OfferBlobs, BlobsWanted, FetchBlob, BlobUnavailable)
"""The messages of this file that are sent as such."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A cached file or directory that its client has sent, as an URI: `blob://<digest>/<name>`, and `blob+tar://…` for a directory.

    Attributes:
        digest: of the blob.
        name: its own, without directories.
        directory: whether the blob is an archive of it.
    """

    digest: str
    name: str
    directory: bool

    @property
    def uri(self) -> str:
        """What stands for it in a job's plan."""
        return f"{_ARCHIVE if self.directory else _FILE}{self.digest}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> SentFile | None:
        """Return what a URI stands for; None if that was not sent."""
        for scheme in (_FILE, _ARCHIVE):
            if uri.startswith(scheme):
                digest, _, name = uri.removeprefix(scheme).partition("/")
                return cls(digest, name, scheme == _ARCHIVE)
        return None


def blob_server_beside(dispatcher: Address) -> Address:
    """Return the address of the blob server that belongs to a Dispatcher: its path carries the same epoch."""
    node, path = split_address(dispatcher)
    return Address(f"{node}{path.replace(DISPATCHER_PATH, BLOB_SERVER_PATH, 1)}")
