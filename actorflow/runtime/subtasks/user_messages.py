"""How a subtask hands the messages of user code to its operators, and what comes back."""

from __future__ import annotations

from actorflow.actor import ActorContext
from actorflow.errors import ActorflowError
from actorflow.operators.contract import Chain
from actorflow.runtime.messages import UserMessage
from actorflow.runtime.workers.directory import packed
from actorflow.wire import pickling


def hand_over(message: UserMessage, chain: Chain, context: ActorContext) -> None:
    """Give an operator a message; its answer goes back the way the message came.

    As for every actor, what it raises goes to whoever waits for the answer; if nobody does, it is the subtask's failure.
    """

    def reply(answer: object) -> None:
        context.reply(packed(message.operator, answer))

    try:
        chain.message(message.operator, pickling.loads(message.payload), reply)
    except Exception:
        asker = context.reply_to
        if asker is None:
            raise
        asker.set_exception()


def turn_away(message: UserMessage, subtask: str, context: ActorContext) -> None:
    """Answer a message that comes after the end of the subtask of this name."""
    gone = ActorflowError(f"operator '{message.operator}' of {subtask} takes no messages any more: its input has ended")
    asker = context.reply_to
    if asker is not None:
        asker.set_exception((ActorflowError, gone, None))
    else:
        context.system.dead_letter(context.address, message, gone.message)
