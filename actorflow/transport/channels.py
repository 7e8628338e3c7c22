"""Which channel of which deployment ends at this node, and who takes what arrives there.

Frames of a deployment or channel that is not registered are dropped and counted: this fences the data plane against the past. Frames of a
channel are numbered from 1 without gaps. After a gap (a connection broke and took frames with it) a channel delivers nothing
more: a missing batch must never look like a complete stream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from actorflow.errors import FrameRefused
from actorflow.ids import NodeId
from actorflow.wire.frame import Frame

FrameHandler = Callable[[Frame], None]
CreditHandler = Callable[[int, int], None]


class _Input:
    __slots__ = ("handler", "next_sequence")

    def __init__(self, handler: FrameHandler) -> None:
        self.handler = handler
        self.next_sequence = 1


class ChannelTable:
    """The ends of channels at this node. Used on the dispatcher's thread."""

    def __init__(self) -> None:
        self._inputs: dict[int, dict[int, _Input]] = {}
        self._outputs: dict[int, dict[int, CreditHandler]] = {}
        self.fenced_frames = 0

    def register_input(self, deployment: int, channel: int, handler: FrameHandler) -> None:
        """Have frames of a channel handed to `handler`, in order, from its first one."""
        inputs = self._inputs.setdefault(deployment, {})
        assert channel not in inputs, f"channel {channel} of deployment {deployment} has a receiver already"
        inputs[channel] = _Input(handler)

    def register_output(self, deployment: int, channel: int, on_credit: CreditHandler) -> None:
        """Have credit of a channel handed to `on_credit(buffers, records in a buffer)`."""
        outputs = self._outputs.setdefault(deployment, {})
        assert channel not in outputs, f"channel {channel} of deployment {deployment} has a sender already"
        outputs[channel] = on_credit

    def unregister(self, deployments: Iterable[int], channels: Collection[int] | None = None) -> None:
        """Forget these channels of some deployments, or all of them."""
        for deployment in deployments:
            if channels is None:
                self._inputs.pop(deployment, None)
                self._outputs.pop(deployment, None)
            for channel in channels or ():
                self._inputs.get(deployment, {}).pop(channel, None)
                self._outputs.get(deployment, {}).pop(channel, None)

    def deliver(self, sender: NodeId, frame: Frame) -> None:
        """Hand a batch or channel event to the channel's receiver.

        Raises:
            FrameRefused: if frames before it are missing.
        """
        end = self._inputs.get(frame.deployment, _NONE).get(frame.channel)
        if end is None:
            self.fenced_frames += 1
            return
        if frame.sequence != end.next_sequence:
            raise FrameRefused(
                f"channel {frame.channel} of deployment {frame.deployment} from {sender} is broken:"
                f" frame {frame.sequence} came where {end.next_sequence} was due"
            )
        end.next_sequence += 1
        end.handler(frame)

    def credit(self, frame: Frame) -> None:
        """Hand credit to the channel's sender."""
        on_credit = self._outputs.get(frame.deployment, _NO_OUTPUTS).get(frame.channel)
        if on_credit is None:
            self.fenced_frames += 1
            return
        on_credit(frame.backlog, frame.sequence)

    def __len__(self) -> int:
        return sum(map(len, self._inputs.values())) + sum(map(len, self._outputs.values()))


_NONE: dict[int, _Input] = {}
_NO_OUTPUTS: dict[int, CreditHandler] = {}
