"""Actors, as users and the engine write them: `Actor` on pykka, and `LightActor` for when there are hundreds of thousands."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pykka

from actorflow.actor.context import ActorContext, LightContext
from actorflow.actor.future import ReplyFuture
from actorflow.actor.mailbox import Mailbox
from actorflow.errors import ActorflowError, ErrorInfo

if TYPE_CHECKING:
    from types import TracebackType

    from actorflow.actor.light_cell import LightCell

logger = logging.getLogger("actorflow.actor")


class Actor(pykka.Actor):
    """A pykka actor that a dispatcher runs. Spawn it with `ActorSystem.spawn` or `ctx.spawn`.

    Hooks run on the dispatcher's thread; `__init__` runs where `spawn` was called and, after a failure, on the dispatcher's.
    What `on_receive` returns answers an `ask`; what it raises goes to the asker or, for a told message, to the supervisor.
    `SystemExit` and `KeyboardInterrupt` are failures of the actor like others.
    """

    ctx: ActorContext
    """The actor's place in the system. There before `__init__` runs."""

    messages_per_turn: ClassVar[int] = 64
    """Messages it may handle before the other actors of its dispatcher get their turn. Fewer, where one message is much work."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # pykka's own __init__ would make a second mailbox and a reference to it: those of an actor outlive its instances.
        cell = self.ctx._cell
        self.actor_urn = f"urn:actorflow:{cell.address}"
        self.actor_inbox = cell.mailbox
        self.actor_stopped = cell.stopped
        self._actor_ref = cell.ref  # type: ignore[assignment]  # our reference offers pykka's calls, without its weak reference

    @classmethod
    def start(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: an actor needs a system, and there is no global one.

        Raises:
            ActorflowError: always.
        """
        raise ActorflowError(f"cannot start {cls.__name__} without a system", hint=f"system.spawn({cls.__name__}, ..., name=...)")

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> ReplyFuture:
        return ReplyFuture()

    def _start_actor_loop(self) -> None:
        self.ctx._cell.begin()

    def stop(self) -> None:
        """Stop this actor after what was told before, without waiting for it."""
        self.ctx.ref.stop(block=False)

    def on_restart(self, error: ErrorInfo) -> None:  # noqa: ARG002 - for overrides
        """Run instead of `on_start` on the instance that follows a failure. By default it is the same."""
        self.on_start()

    def observe(self) -> object:
        """Return the actor's state as a frozen value, for people and tests."""
        return None


class LightActor:
    """An actor without a mailbox, for hundreds of thousands in one process. Subclasses should have `__slots__`.

    It has everything else: name and path, parent and children, ask, timers, watch, supervision. Its messages come in the order they were
    sent, control or not; it cannot stash or pause them.
    """

    __slots__ = ("_cell",)

    _cell: LightCell

    @property
    def ctx(self) -> LightContext:
        """The actor's place in the system. There before `__init__` runs."""
        return LightContext(self._cell)

    def on_start(self) -> None:
        """Run before the first message."""

    def on_stop(self) -> None:
        """Run after the last message, unless the actor failed."""

    def on_failure(
        self, exception_type: type[BaseException] | None, exception_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Run on an instance that raised and will be discarded."""

    def on_restart(self, error: ErrorInfo) -> None:  # noqa: ARG002 - for overrides
        """Run instead of `on_start` on the instance that follows a failure. By default it is the same."""
        self.on_start()

    def on_receive(self, message: Any) -> Any:
        """Handle a message; what is returned answers an `ask`."""
        logger.warning("unexpected message received by %s: %s", self._cell.path, message)

    def observe(self) -> object:
        """Return the actor's state as a frozen value, for people and tests."""
        return None

    def _handle_receive(self, message: Any) -> Any:
        return self.on_receive(message)

    def _start_actor_loop(self) -> None:
        self._cell.begin()
