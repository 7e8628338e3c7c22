"""Every control message that may travel between the nodes of a cluster.

What fences them: `attempt` numbers the deployments of a job (a message of an earlier attempt is dropped), `lease` names one use of one
slot, by one fresh worker process. User code and user values are opaque bytes here.
"""

from __future__ import annotations

from actorflow.actor.messages import MESSAGES as ACTOR_MESSAGES
from actorflow.protocol.blobs.blob import BLOB_MESSAGES
from actorflow.protocol.checkpoints.checkpoint_messages import CHECKPOINT_MESSAGES
from actorflow.protocol.event_time.alignment import WatermarkAllowed, WatermarkReported
from actorflow.protocol.jobs.deployment import (
    CancelSubtask,
    KillSlot,
    SubtaskCancelled,
    SubtaskFailed,
    SubtaskFinished,
    SubtaskStarted,
)
from actorflow.protocol.jobs.job_messages import JOB_MESSAGES
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested
from actorflow.protocol.nodes.client_messages import CLIENT_MESSAGES
from actorflow.protocol.nodes.registration import IncarnationFenced
from actorflow.protocol.nodes.slot_messages import (
    CountSlots,
    FreeSlot,
    JobReleased,
    OfferAccepted,
    SlotsCounted,
    SlotsGranted,
    SlotsLost,
    SlotsOffered,
    SlotsRefused,
    SlotsReleased,
    SlotsRequested,
)
from actorflow.protocol.transfer.delivery import DELIVERY_MESSAGES
from actorflow.protocol.transfer.partitions import PARTITION_MESSAGES
from actorflow.runtime.nodes.node_files import FileRequested
from actorflow.runtime.workers.stacks import StackRequested
from actorflow.wire.message import Message, MessageCodec

_SLOT_MESSAGES = (
    SlotsOffered,
    SlotsRequested,
    SlotsReleased,
    CountSlots,
    SlotsCounted,
    SlotsGranted,
    SlotsRefused,
    SlotsLost,
    FreeSlot,
    JobReleased,
    OfferAccepted,
    IncarnationFenced,
)
_SUBTASK_MESSAGES = (
    SubtaskStarted,
    SubtaskFinished,
    SubtaskCancelled,
    SubtaskFailed,
    CancelSubtask,
    KillSlot,
    SplitRequested,
    SplitFinished,
    SplitAssigned,
    NoMoreSplits,
    WatermarkReported,
    WatermarkAllowed,
)


class UserMessage(Message, frozen=True):
    """A message of user code to an operator: pickled, and loaded only where the operator runs.

    Attributes:
        operator: name of the operator in its chain.
        payload: the message.
    """

    operator: str
    payload: bytes


class StateRequested(Message, frozen=True):
    """Asks a subtask for the values of an operator's keyed states for one key. Answered with a `UserMessage`.

    Attributes:
        operator: name of the operator in its chain.
        key: pickled.
    """

    operator: str
    key: bytes


class TailRequested(Message, frozen=True):
    """Asks a subtask for the last records that it has put out since it was asked first. Answered with a `UserMessage`."""

    n: int


Inquiry = StateRequested | TailRequested
"""What people ask a subtask."""


def control_codec() -> MessageCodec:
    """Return the codec of all messages that may travel between nodes."""
    families = (
        JOB_MESSAGES,
        CLIENT_MESSAGES,
        BLOB_MESSAGES,
        CHECKPOINT_MESSAGES,
        _SLOT_MESSAGES,
        _SUBTASK_MESSAGES,
        DELIVERY_MESSAGES,
        PARTITION_MESSAGES,
        ACTOR_MESSAGES,
    )
    people = (UserMessage, StateRequested, TailRequested, StackRequested, FileRequested)
    return MessageCodec((*(message for family in families for message in family), *people))
