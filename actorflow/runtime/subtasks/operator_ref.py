"""A running operator, as other code talks to it."""

from __future__ import annotations

from typing import Any

from actorflow.actor import ActorRef, AskTimeout
from actorflow.config.values import Duration, duration_s
from actorflow.errors import TimedOut
from actorflow.runtime.messages import UserMessage
from actorflow.runtime.workers.directory import packed
from actorflow.wire import pickling


class OperatorRef:
    """One subtask of a running operator.

    Args:
        subtask: the actor that runs it.
        operator: its name in the chain.
    """

    def __init__(self, subtask: ActorRef, operator: str) -> None:
        self._subtask = subtask
        self._operator = operator

    def tell(self, message: object) -> None:
        """Have `on_message` called with a message, between two batches. An answer is lost."""
        self._subtask.tell(packed(self._operator, message))

    def ask(self, message: object, *, timeout: Duration = "10s") -> Any:
        """Have `on_message` called with a message, and return what it answers by `ctx.reply`; None if it does not.

        Raises:
            TimedOut: a `TimeoutError`, if there is no answer in time.
            UserFunctionError: if `on_message` raised.
        """
        try:
            answer = self._subtask.ask(packed(self._operator, message), timeout=duration_s(timeout))
        except AskTimeout:
            raise TimedOut(
                f"operator '{self._operator}' did not answer within {timeout}", hint="stack() tells where it stands"
            ) from None
        return pickling.loads(answer.payload) if isinstance(answer, UserMessage) else answer
