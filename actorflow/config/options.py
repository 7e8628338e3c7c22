"""Every option of actorflow, declared once: name, kind, default, and what it is for.

Names are Flink's where Flink has the thing; what only actorflow has is under `actorflow.`. An option is read as
`config[options.HEARTBEAT_TIMEOUT]`, and has the type of its default. Durations are seconds, sizes are bytes.

`docs/configuration.md` is generated from this file (`scripts/reference`).
"""

from __future__ import annotations

from actorflow.config.kinds import FLAG, TEXT, choice, duration, fraction, memory, optional, whole
from actorflow.config.option import Option
from actorflow.config.savepoint_options import SAVEPOINT_OPTIONS

# --- what a pipeline is --------------------------------------------------------------------------------------------------

PARALLELISM_DEFAULT = Option(
    "parallelism.default",
    optional(whole(1, 32768)),
    None,
    "Subtasks of an operator when neither the operator, the pipeline nor the client says.",
    unset="the number of slots",
)
OPERATOR_CHAINING = Option(
    "pipeline.operator-chaining.enabled",
    FLAG,
    True,
    "Run neighbouring operators as one subtask, compiled into one loop. Off helps to see which operator is slow.",
)

AUTO_WATERMARK_INTERVAL = Option(
    "pipeline.auto-watermark-interval",
    duration(),
    0.05,
    "How often watermarks are made while records come; 0 makes one behind every batch. Each sends the buffers that it passes. 200 ms in Flink.",
)

# --- slots and workers ---------------------------------------------------------------------------------------------------

SLOTS = Option(
    "taskmanager.numberOfTaskSlots",
    optional(whole(1, 4096)),
    None,
    "Slots of a TaskManager. Each is a process, so more than the CPU cores rarely helps.",
    unset="the number of CPU cores this process may use",
)
SLOT_OFFER_INTERVAL = Option(
    "actorflow.slot.offer-interval",
    duration(0.01),
    5.0,
    "How often a TaskManager tells the ResourceManager anew which slots it has: an offer may be lost, and a new leader knows none.",
)
SLOT_REQUEST_TIMEOUT = Option(
    "slot.request.timeout",
    duration(),
    10.0,
    "How long a job waits for slots before it fails. Flink's 5 minutes suit clusters that start machines.",
)
WORKER_START_TIMEOUT = Option(
    "actorflow.worker.start-timeout",
    duration(0.1),
    30.0,
    "How long a slot worker process may take from its start to its first message.",
)
WORKER_STUCK_AFTER = Option(
    "actorflow.worker.stuck-after",
    duration(0.01),
    10.0,
    "How long user code may work on one batch before the log says where it stands.",
)
WORKER_REPORT_EVERY = Option(
    "actorflow.worker.report-interval",
    duration(0.001),
    0.5,
    "How often a slot worker tells how many records it has read and written.",
)
SUBTASK_START_TIMEOUT = Option(
    "actorflow.subtask.start-timeout",
    duration(0.1),
    300.0,
    "How long the subtasks of a slot may take to be built, and then each to start: its `on_start` may load a model.",
)
COMMIT_TIMEOUT = Option(
    "actorflow.commit.timeout",
    duration(0.1),
    300.0,
    "How long a slot worker may take to make its output visible at the end of a job, before it is killed and the JobManager does it.",
)
CANCELLATION_TIMEOUT = Option(
    "task.cancellation.timeout",
    duration(),
    5.0,
    "How long a slot worker may take to end its subtasks before its process is killed.",
)

# --- buffers between subtasks --------------------------------------------------------------------------------------------

BATCH_RECORDS_MAX = Option(
    "execution.batch-records.max",
    whole(1, 1 << 20),
    1024,
    "Records in one batch of Python objects; sources read about as many at once.",
)
BATCH_ROWS_MAX = Option(
    "execution.batch-rows.max",
    whole(1, 1 << 24),
    1 << 20,
    "Rows in one batch of columns that a source reads. Columns are fast when batches are large: a call costs as much for 10 rows as for 10,000.",
)
BUFFER_TIMEOUT = Option(
    "execution.buffer-timeout.interval",
    duration(),
    0.005,
    "How long a record may wait in a buffer that is not full. Flink waits 100 ms; 5 ms keeps 99 of 100 records under 10 ms.",
)
BUFFERS_PER_CHANNEL = Option(
    "taskmanager.network.memory.buffers-per-channel",
    whole(1, 4096),
    2,
    "Buffers that a receiver grants each channel for itself.",
)
FLOATING_BUFFERS_PER_GATE = Option(
    "taskmanager.network.memory.floating-buffers-per-gate",
    whole(0, 65536),
    8,
    "Buffers that a receiver's input gate lends to the channels with a backlog.",
)
MAX_BUFFERS_PER_CHANNEL = Option(
    "taskmanager.network.memory.max-buffers-per-channel",
    whole(1, 4096),
    10,
    "Full buffers a sender may hold back on one channel before its subtask counts as back-pressured.",
)
MAX_OVERDRAFT_BUFFERS_PER_GATE = Option(
    "taskmanager.network.memory.max-overdraft-buffers-per-gate",
    whole(0, 65536),
    5,
    "Buffers above its limit that a sender may fill to finish the batch in hand.",
)
DEBLOAT_ENABLED = Option(
    "taskmanager.network.memory.buffer-debloat.enabled",
    FLAG,
    True,
    "Size buffers so that what is in flight is consumed within the target time. Off in Flink.",
)
DEBLOAT_TARGET = Option(
    "taskmanager.network.memory.buffer-debloat.target",
    duration(0.001),
    0.01,
    "The time that consuming all data in flight to a subtask should take. 1 s in Flink; 10 ms costs no throughput here.",
)
DEBLOAT_PERIOD = Option(
    "taskmanager.network.memory.buffer-debloat.period",
    duration(0.001),
    0.2,
    "How often buffer sizes are computed anew.",
)
DEBLOAT_SAMPLES = Option(
    "taskmanager.network.memory.buffer-debloat.samples",
    whole(1, 1000),
    20,
    "Measurements of throughput that one computation averages.",
)
DEBLOAT_THRESHOLD = Option(
    "taskmanager.network.memory.buffer-debloat.threshold-percentages",
    whole(0, 100),
    25,
    "Change of buffer size, in percent, below which the old size stays.",
)
COMPRESSION = Option(
    "taskmanager.network.compression",
    choice("auto", "never", "always"),
    "auto",
    "lz4 for data frames when it shrinks them: `auto` on links between hosts only.",
)

# --- batch mode and local disks ------------------------------------------------------------------------------------------

TMP_DIRS = Option(
    "io.tmp.dirs",
    optional(TEXT),
    None,
    "Directories on local disks for data that does not fit into memory, separated by commas or colons. Subtasks take them in turn.",
    unset="the system's directory for temporary files",
)
SORT_MEMORY = Option(
    "actorflow.batch.sort.memory",
    memory(1 << 20),
    128 << 20,
    "Batch mode: memory in which a subtask sorts its input by key; what exceeds it goes to disk. It counts once for each keyed operator in a slot.",
)

# --- state ---------------------------------------------------------------------------------------------------------------

STATE_BACKEND = Option(
    "state.backend.type",
    choice("hashmap", "rocksdb"),
    "hashmap",
    "Where keyed state lives: in memory (`hashmap`), or on local disks with a part of it in memory (`rocksdb`). In batch mode it is in memory.",
)
ROCKSDB_MEMORY = Option(
    "state.backend.rocksdb.memory.fixed-per-slot",
    memory(8 << 20),
    512 << 20,
    "`rocksdb`: memory that the states of one slot may take, all operators together.",
)
ROCKSDB_OBJECTS_RATIO = Option(
    "actorflow.state.rocksdb.objects-ratio",
    fraction(0.0, 0.9),
    0.5,
    "`rocksdb`: share of that memory in which values are kept as Python objects, ready for use. The rest is RocksDB's.",
)
ROCKSDB_WRITE_BUFFER_RATIO = Option(
    "state.backend.rocksdb.memory.write-buffer-ratio",
    fraction(0.05, 0.95),
    0.5,
    "`rocksdb`: share of RocksDB's memory for what waits to be written; the rest caches what was read.",
)
ROCKSDB_MEMORY_MANAGED = Option(
    "state.backend.rocksdb.memory.managed",
    FLAG,
    True,
    "`rocksdb`: keep RocksDB within its memory. Otherwise each operator's database takes what RocksDB takes by itself.",
)
ROCKSDB_LOCAL_DIR = Option(
    "state.backend.rocksdb.localdir",
    optional(TEXT),
    None,
    "`rocksdb`: directories on local disks for its files, separated by commas or colons. Operators take them in turn.",
    unset="those of `io.tmp.dirs`",
)

# --- checkpoints ---------------------------------------------------------------------------------------------------------

CHECKPOINT_INTERVAL = Option(
    "execution.checkpointing.interval",
    optional(duration(0.001)),
    None,
    "How often a checkpoint begins. A job that fails goes on from the last one that was completed.",
    unset="no checkpoints: a job that restarts begins at its beginning",
)
CHECKPOINT_MIN_PAUSE = Option(
    "execution.checkpointing.min-pause",
    duration(),
    0.0,
    "The least time between the end of a checkpoint and the beginning of the next.",
)
CHECKPOINT_TIMEOUT = Option(
    "execution.checkpointing.timeout",
    duration(0.001),
    600.0,
    "How long a checkpoint may take before it is given up.",
)
CHECKPOINTS_CONCURRENT = Option(
    "execution.checkpointing.max-concurrent-checkpoints",
    whole(1),
    1,
    "How many checkpoints may be on their way. With a pause between them, and where barriers are not aligned, one.",
)
CHECKPOINT_MODE = Option(
    "execution.checkpointing.mode",
    choice("exactly-once", "at-least-once"),
    "exactly-once",
    "Whether a channel waits for the barriers of the others. `at-least-once` waits for none, and counts some records twice after a failure.",
)
CHECKPOINT_UNALIGNED = Option(
    "execution.checkpointing.unaligned.enabled",
    FLAG,
    False,
    "Let barriers overtake the records in channels, which are stored with the checkpoint: it completes under back-pressure, too.",
)
CHECKPOINT_ALIGNED_TIMEOUT = Option(
    "execution.checkpointing.aligned-checkpoint-timeout",
    duration(),
    0.0,
    "How long barriers that may overtake are aligned first; `0` lets them overtake at once.",
)
CHECKPOINT_FAILURES = Option(
    "execution.checkpointing.tolerable-failed-checkpoints",
    whole(0),
    0,
    "How many checkpoints may fail one after the other; one more fails the job.",
)
CHECKPOINTS_RETAINED = Option(
    "execution.checkpointing.num-retained",
    whole(1),
    1,
    "How many completed checkpoints are kept.",
)
CHECKPOINT_RETENTION = Option(
    "execution.checkpointing.externalized-checkpoint-retention",
    choice("delete-on-cancellation", "retain-on-cancellation"),
    "delete-on-cancellation",
    "What becomes of checkpoints when a job is cancelled or fails for good.",
)
CHECKPOINT_DIRECTORY = Option(
    "execution.checkpointing.dir",
    optional(TEXT),
    None,
    "Where checkpoints are stored: a directory, or a URI, that every node can reach.",
    unset="in the JobManager's memory, as long as it lives",
)
CHECKPOINT_MEMORY = Option(
    "execution.checkpointing.memory-size-max",
    memory(1),
    5 << 20,
    "The most state of one subtask that a checkpoint in the JobManager's memory may hold.",
)
CHECKPOINT_INLINE = Option(
    "execution.checkpointing.data-inline-threshold",
    memory(0),
    20 * 1024,
    "State of a subtask up to this size stands in the checkpoint's manifest instead of a file of its own.",
)

# --- failures ------------------------------------------------------------------------------------------------------------

RESTART_STRATEGY = Option(
    "restart-strategy.type",
    optional(choice("none", "fixed-delay", "failure-rate", "exponential-delay")),
    None,
    "What happens when a subtask fails: the job fails (`none`), or restarts within the limits below.",
    unset="`exponential-delay` for a job that goes on from checkpoints, else `none`",
)
FIXED_DELAY_ATTEMPTS = Option(
    "restart-strategy.fixed-delay.attempts",
    whole(0),
    1,
    "`fixed-delay`: restarts before the job fails.",
)
FIXED_DELAY = Option(
    "restart-strategy.fixed-delay.delay",
    duration(),
    1.0,
    "`fixed-delay`: time from a failure to the restart.",
)
FAILURE_RATE_MAX = Option(
    "restart-strategy.failure-rate.max-failures-per-interval",
    whole(1),
    1,
    "`failure-rate`: failures within the interval that the job survives.",
)
FAILURE_RATE_INTERVAL = Option(
    "restart-strategy.failure-rate.failure-rate-interval",
    duration(0.001),
    60.0,
    "`failure-rate`: the interval in which failures are counted.",
)
FAILURE_RATE_DELAY = Option(
    "restart-strategy.failure-rate.delay",
    duration(),
    1.0,
    "`failure-rate`: time from a failure to the restart.",
)
EXPONENTIAL_INITIAL_BACKOFF = Option(
    "restart-strategy.exponential-delay.initial-backoff",
    duration(0.001),
    1.0,
    "`exponential-delay`: time from the first failure to the restart.",
)
EXPONENTIAL_MAX_BACKOFF = Option(
    "restart-strategy.exponential-delay.max-backoff",
    duration(0.001),
    60.0,
    "`exponential-delay`: longest time from a failure to the restart.",
)
EXPONENTIAL_MULTIPLIER = Option(
    "restart-strategy.exponential-delay.backoff-multiplier",
    fraction(1.0, 100.0),
    1.5,
    "`exponential-delay`: growth of the time with each failure.",
)
EXPONENTIAL_RESET_THRESHOLD = Option(
    "restart-strategy.exponential-delay.reset-backoff-threshold",
    duration(0.001),
    3600.0,
    "`exponential-delay`: time without failure after which the time starts from the beginning.",
)
EXPONENTIAL_JITTER = Option(
    "restart-strategy.exponential-delay.jitter-factor",
    fraction(0.0, 1.0),
    0.1,
    "`exponential-delay`: random share added to or taken from the time, so that jobs do not restart in step.",
)
EXPONENTIAL_ATTEMPTS = Option(
    "restart-strategy.exponential-delay.attempts-before-reset-backoff",
    optional(whole(1)),
    None,
    "`exponential-delay`: restarts without a reset before the job fails.",
    unset="no limit",
)
HEARTBEAT_INTERVAL = Option(
    "heartbeat.interval",
    duration(0.01),
    10.0,
    "Time between two signs of life on a connection to another host.",
)
HEARTBEAT_TIMEOUT = Option(
    "heartbeat.timeout",
    duration(0.02),
    50.0,
    "Time without anybody where a node listens, after which it is lost. A connection to another host that is silent for half of it is cut. "
    "With the defaults a host that loses its power is cut off within 35 s (interval and half of the timeout), which fails the jobs that "
    "exchange data with it, and is lost within 85 s. A process that dies on this host is noticed at once.",
)

# --- actors --------------------------------------------------------------------------------------------------------------

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

# --- transport -----------------------------------------------------------------------------------------------------------

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
    5.0,
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


ALL: tuple[Option[object], ...] = (
    tuple(value for value in list(globals().values()) if isinstance(value, Option)) + SAVEPOINT_OPTIONS
)
"""All options, in the order of this file, then those of savepoints."""

BY_NAME = {option.name: option for option in ALL}
"""All options, by name."""
