"""What a slot worker and its JobMaster tell each other: all of it, once, in order, however often the link between them breaks.

The shell of a `protocol.transfer.correspondence.Correspondence` for an actor that is not a machine. Used on the actor's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actorflow.actor import ActorContext
from actorflow.errors import ErrorInfo, Retry
from actorflow.ids import Address
from actorflow.protocol.machine import Effect, Report, Send, SetTimer
from actorflow.protocol.transfer.correspondence import FIRST_LIFE, Correspondence
from actorflow.protocol.transfer.delivery import Delivered, EnvelopeRefused, ReliableSender, Undelivered
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.runtime.messages import control_codec
from actorflow.wire.message import Message


class JobMasterLink:
    """The worker's end.

    Args:
        context: of the worker; its address is never used again.
        message_bytes_max: larger messages are not sent.
        on_message: takes each message of the JobMaster.
        on_broken: told that a message cannot be sent or read: what waits for it waits in vain.
    """

    def __init__(
        self,
        context: ActorContext,
        message_bytes_max: int,
        *,
        on_message: Callable[[Message], None],
        on_broken: Callable[[ErrorInfo], None],
    ) -> None:
        codec = control_codec()
        self._context = context
        self._correspondence = Correspondence(
            ReliableSender(context.address, FIRST_LIFE, codec.encode, payload_bytes_max=message_bytes_max),
            ReliableReceiver(context.address, FIRST_LIFE, codec.decode),
        )
        self._on_message = on_message
        self._on_broken = on_broken

    def owns(self, event: object) -> bool:
        """Return whether an event of the actor is for `take`."""
        return self._correspondence.owns(event)

    def take(self, event: object) -> None:
        """Take what the link is made of: envelopes, acknowledgements, timers."""
        self._perform(self._correspondence.handle(event, self._context.now()))

    def tell(self, job_master: Address, message: Message) -> None:
        """Tell the JobMaster, which has spoken first."""
        self._perform(self._correspondence.send(job_master, message, self._context.now()))

    def busy(self, job_master: Address) -> bool:
        """Return whether so much is on its way that more would have to wait."""
        return self._correspondence.busy(job_master)

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to, message):
                    self._context.system.send(to, message)
                case SetTimer(name, at):
                    self._context.set_timer_at(name, at)
                case Report(Delivered(message=message)):
                    self._on_message(message)
                case Report(Undelivered(to=peer, message=message, reason=reason)):
                    what = f"'{type(message).__name__}' cannot be sent to {peer}: {reason}"
                    self._on_broken(ErrorInfo("TransportError", what, retry=Retry.NEVER))
                case Report(EnvelopeRefused(sender=peer, reason=reason)):
                    what = f"there is no reading what came from {peer}: {reason}"
                    self._on_broken(ErrorInfo("TransportError", what, retry=Retry.NEVER))
                case _:
                    raise AssertionError(f"a correspondence does not ask for {effect!r}")
