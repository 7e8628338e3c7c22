"""When checkpoints are taken, how their barriers travel, where they are stored and how long they are kept."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, TEXT, choice, duration, memory, optional, whole
from actorflow.config.option import Option

CHECKPOINT_INTERVAL = Option(
    "execution.checkpointing.interval",
    optional(duration(0.001)),
    None,
    "How often a checkpoint begins. A job that fails goes on from the last one that was completed.",
    unset="no checkpoints: a job that restarts begins at its beginning",
)
CHECKPOINT_BACKLOG_INTERVAL = Option(
    "execution.checkpointing.interval-during-backlog",
    optional(duration()),
    None,
    "How often a checkpoint begins while a source says that it works off a backlog; 0 takes none meanwhile.",
    unset="as often as otherwise",
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
    unset="in the JobManager's memory, as long as it lives; where there are several, below `high-availability.storageDir`",
)
CHECKPOINT_MEMORY = Option(
    "execution.checkpointing.memory-size-max",
    memory(1),
    5 << 20,
    "The most state of one subtask that a checkpoint in the JobManager's memory may hold.",
)
LOCAL_BACKUP = Option(
    "execution.checkpointing.local-backup.enabled",
    FLAG,
    False,
    "Keep a copy of stored state on the host that has written it, in a directory of `io.tmp.dirs`, for restarts there.",
)
UPLOAD_RATE = Option(
    "execution.checkpointing.upload-rate-max",
    memory(0),
    0,
    "How many bytes a second the subtasks of a slot worker write together for checkpoints and savepoints; `0` bounds nothing.",
)
UPLOADS_AT_ONCE = Option(
    "execution.checkpointing.concurrent-uploads-max",
    whole(1),
    4,
    "How many subtasks of a slot worker write their snapshots at the same time; the others wait, and go on processing.",
)
FILE_MERGING = Option(
    "execution.checkpointing.file-merging.enabled",
    FLAG,
    False,
    "Whether what subtasks of a slot worker store of a checkpoint at the same time becomes one file: many subtasks make few files then.",
)
MERGED_FILE_SIZE = Option(
    "execution.checkpointing.file-merging.max-file-size",
    memory(1),
    32 << 20,
    "How large such a file may be. What is larger alone has a file of its own.",
)
CHECKPOINT_INLINE = Option(
    "execution.checkpointing.data-inline-threshold",
    memory(0),
    20 * 1024,
    "State of a subtask up to this size stands in the checkpoint's manifest instead of a file of its own.",
)
