"""The mailbox of an actor: a control lane and a data lane. `Cell` handles the first before the second.

Both are `deque`s, whose appends and pops are atomic: any thread may put, the dispatcher's thread alone takes, nobody locks.
This class is what pykka calls an inbox; the hot paths use the lanes directly.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from pykka._envelope import Envelope as PykkaEnvelope

from actorflow.actor.signals import Envelope


class Mailbox:
    """Two lanes of messages, each bare or in an `Envelope`."""

    __slots__ = ("control", "data")

    def __init__(self) -> None:
        self.control: deque[object] = deque()
        self.data: deque[object] = deque()

    def put(self, envelope: PykkaEnvelope[Any], /) -> None:
        """Append one of pykka's envelopes to the data lane."""
        self.data.append(Envelope(envelope.message, envelope.reply_to) if envelope.reply_to else envelope.message)

    def get(self) -> PykkaEnvelope[Any]:
        """Take the next message, control before data, as one of pykka's envelopes.

        Raises:
            IndexError: if there is none; a dispatcher never waits in a mailbox.
        """
        message = (self.control or self.data).popleft()
        if isinstance(message, Envelope):
            return PykkaEnvelope(message.message, message.reply)  # type: ignore[arg-type]  # pykka only calls set and set_exception
        return PykkaEnvelope(message)

    def empty(self) -> bool:
        """Return whether both lanes are empty."""
        return not self.control and not self.data
