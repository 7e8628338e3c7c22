"""The event time of a subtask: how far its input is, what of that its chain lets through, and whether it holds anybody back.

An operator that is busy with a watermark, or has calls in flight, holds back what comes after them: that is passed on later (`catch_up`).
"""

from __future__ import annotations

from actorflow.operators.contract import Chain
from actorflow.runtime.channels.outputs import Outputs
from actorflow.wire.batch import MIN_TIMESTAMP


class EventTime:
    """What a subtask knows and tells of event time.

    Args:
        chain: is told of watermarks, and says how far it has come.
        outputs: hear of them afterwards.
    """

    def __init__(self, chain: Chain, outputs: Outputs) -> None:
        self._chain = chain
        self._outputs = outputs
        self._reached = MIN_TIMESTAMP
        self._idle = False

    @property
    def watermark(self) -> int:
        """The event time that was reached, in ms: by the input, or by an operator that makes watermarks of its own."""
        return max(self._reached, self._outputs.watermark)

    def reach(self, timestamp: int) -> None:
        """Take a watermark (ms) of the input."""
        self._reached = timestamp
        self.go_on()

    def go_on(self) -> None:
        """Tell the chain of the last watermark, again if it was busy with it, and pass on what it lets through."""
        self._outputs.pass_watermark(self._chain.advance_watermark(self._reached))

    def tell_idleness(self, *, idle: bool) -> None:
        """Tell the consumers whether this subtask holds back a watermark: that it does not, behind all that is still on its way to them."""
        self._idle = idle
        if not (idle and self._chain.in_flight):
            self._outputs.tell_idleness(idle=idle)

    def catch_up(self) -> None:
        """Pass on what was held back, if nothing holds it back any more."""
        if self._chain.held_back and not self._chain.blocked:
            self.go_on()
        if self._idle and not self._outputs.idle:
            self.tell_idleness(idle=True)
