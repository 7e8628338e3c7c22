"""Batches, and the buffers between subtasks."""

from __future__ import annotations

from actorflow.config.kinds import FLAG, choice, duration, whole
from actorflow.config.option import Option

BATCH_RECORDS_MAX = Option(
    "execution.batch-records.max",
    whole(1, 1 << 20),
    4096,
    "Most records in one batch of Python objects; sources read at most as many as become so many at once.",
)
BATCH_RECORDS_INITIAL = Option(
    "execution.batch-records.initial",
    whole(1, 1 << 20),
    1024,
    "Records in a batch at first. Batches that go to other subtasks grow up to the maximum where records are handled fast, and shrink where they are not.",
)
BATCH_ROWS_MAX = Option(
    "execution.batch-rows.max",
    whole(1, 1 << 24),
    1 << 21,
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
