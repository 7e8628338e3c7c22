"""What every node is made of: its actors, its transport, its keys."""

from __future__ import annotations

from actorflow.config.kinds import TEXT, choice, duration, memory, optional, whole
from actorflow.config.option import Option

# --- actors -------------------------------------------------------------------------------------------------------------

INBOX_MESSAGES_MAX = Option(
    "actorflow.actor.inbox-messages-max",
    whole(16),
    100_000,
    "Messages that may wait in the data lane of an actor's mailbox; more is a fault of flow control and fails the actor.",
)
ASK_TIMEOUT = Option(
    "actorflow.ask.timeout",
    duration(0.001),
    10.0,
    "How long an `ask` waits for its reply when the caller does not say.",
)

# --- transport ----------------------------------------------------------------------------------------------------------

BIND_HOST = Option(
    "actorflow.transport.bind-host",
    TEXT,
    "127.0.0.1",
    "Interface on which a node listens. Anything but loopback needs CURVE keys.",
)
BIND_PORT = Option(
    "actorflow.transport.bind-port",
    whole(0, 65535),
    0,
    "TCP port on which a node listens; 0 takes a free one.",
)
LOCAL_PROTOCOL = Option(
    "actorflow.transport.local-protocol",
    choice("ipc", "tcp"),
    "ipc",
    "How nodes on one host reach each other.",
)
FRAME_BYTES_MAX = Option(
    "actorflow.transport.frame-bytes-max",
    memory(64 << 10, 1 << 30),
    64 << 20,
    "Largest data frame; a larger one is refused by sender and receiver.",
)
CONTROL_BYTES_MAX = Option(
    "actorflow.transport.control-bytes-max",
    memory(4 << 10, 64 << 20),
    1 << 20,
    "Largest frame of a control message; a larger message travels in pieces of this size.",
)
BLOB_CHUNK_BYTES = Option(
    "actorflow.transport.blob-chunk-bytes",
    memory(4 << 10, 16 << 20),
    256 << 10,
    "Size of the pieces in which blobs travel, so that control messages pass between two of them.",
)
BLOB_DIRECTORY = Option(
    "blob.storage.directory",
    optional(TEXT),
    None,
    "Where a leading JobManager keeps the files and the code that jobs bring; with high availability they are in `high-availability.storageDir`, too.",
    unset="as `io.tmp.dirs`",
)
BLOB_OFFLOAD = Option(
    "blob.offload.minsize",
    memory(0),
    1 << 20,
    "Code of a job that is larger travels as a blob, once to each TaskManager, instead of in a message to each of its workers.",
)
BLOB_RETRIES = Option(
    "blob.fetch.retries",
    whole(0),
    5,
    "How often a TaskManager asks again for a blob that did not arrive whole.",
)
BLOB_CLEANUP_INTERVAL = Option(
    "blob.service.cleanup.interval",
    duration(0.01),
    3600.0,
    "How long a TaskManager keeps files of jobs when no JobManager leads: nobody is left to say that they are over.",
)
BLOB_STORAGE_BYTES_MAX = Option(
    "actorflow.blob.storage-bytes-max",
    memory(1 << 20),
    64 << 30,
    "What the files and the code of all jobs together may take on the JobManager's disk; a job that brings more is refused.",
)
UNSENT_BYTES_MAX = Option(
    "actorflow.transport.unsent-bytes-max",
    memory(1 << 20),
    256 << 20,
    "Bytes waiting to be sent to one peer before the link counts as broken; a control message may have as many.",
)
RECONNECT_INITIAL = Option(
    "actorflow.transport.reconnect-backoff.initial",
    duration(0.001),
    0.1,
    "Time to the first attempt to connect again.",
)
RECONNECT_MAX = Option(
    "actorflow.transport.reconnect-backoff.max",
    duration(0.001),
    1.0,
    "Longest time between two attempts to connect again; it doubles up to this.",
)
CURVE_KEY_FILE = Option(
    "actorflow.security.curve.key-file",
    optional(TEXT),
    None,
    "File with this node's own CURVE key pair, readable by its user only.",
    unset="no encryption, and no socket but on loopback",
)
CURVE_AUTHORIZED_KEYS = Option(
    "actorflow.security.curve.authorized-keys",
    optional(TEXT),
    None,
    "Directory with the public keys (`*.pub`) of the other nodes that may connect.",
    unset="only nodes that share this node's key pair may connect",
)
