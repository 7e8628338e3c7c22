"""What actor systems say to each other: the small protocol of remote ask, death watch and inspection.

Ask. The asker sends its message with `reply_to` (the address of its node's root) and a `correlation` number. The answer is a message
to `reply_to` that carries the same `correlation` and no `reply_to`: a control message as it is, plain data as `Answered`, an error
as `AskFailed`.

Watch. `WatchRequested(watcher)` goes to the watched actor's address, `Unwatched(watcher)` takes it back. When the actor ends,
`Ended` goes to each watcher's address. An actor that does not exist (any more) answers at once with the ending `Killed`. The
watching system also calls `Router.watch(address)`, so that the transport keeps an eye on the node: when it is gone, the transport
calls `ActorSystem.node_lost(node)` and every watched address there ends as `Lost(node)`. The watcher hears exactly once.

Look. `LooksRequested` goes to the root of a node, with questions for any actors there and the address to answer; `LooksAnswered` brings answers, all
at once or some after others. Each answer carries the numbers of the questions that it answers; see `looks`.

Stop. `StopRequested` is asked (with a correlation), and answered when the actor has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, assert_never

from actorflow.errors import ErrorInfo
from actorflow.ids import ActorPath, Address
from actorflow.protocol.machine import Done, Ending, Failed, Killed, Lost, Stopped
from actorflow.wire.message import Message

Sight = Literal["observe", "story", "tree", "mailbox"]
"""What can be looked at: an actor's state, its last events, the tree below it, what waits in its mailbox."""


class WatchRequested(Message, frozen=True):
    """Tell `watcher` when the actor this is sent to ends."""

    watcher: Address


class Unwatched(Message, frozen=True):
    """`watcher` no longer wants to know."""

    watcher: Address


class Ended(Message, frozen=True):
    """The actor at `target` has ended. Flat, because a wire message cannot hold a union of dataclasses."""

    target: Address
    kind: Literal["done", "stopped", "killed", "failed", "lost"]
    error: ErrorInfo | None = None
    node: str = ""

    @classmethod
    def of(cls, target: Address, ending: Ending) -> Ended:
        """Return the message for an ending."""
        match ending:
            case Done():
                return cls(target, "done")
            case Stopped():
                return cls(target, "stopped")
            case Killed():
                return cls(target, "killed")
            case Failed(error):
                return cls(target, "failed", error=error)
            case Lost(node):
                return cls(target, "lost", node=node)
        assert_never(ending)

    def ending(self) -> Ending:
        """Return the ending as the machines know it."""
        match self.kind:
            case "done":
                return Done()
            case "stopped":
                return Stopped()
            case "killed":
                return Killed()
            case "failed":
                return Failed(self.error or ErrorInfo("Unknown", "the node that reported the failure gave no error"))
            case "lost":
                return Lost(self.node)
        assert_never(self.kind)


class Answered(Message, frozen=True):
    """The answer to an ask, if it is not a message in its own right.

    Attributes:
        value: plain data. What is not plain arrives as such: a tuple as a list, a dataclass as a dict.
    """

    value: Any


class AskFailed(Message, frozen=True):
    """The answer to an ask that ended in an error."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Question:
    """Asks for what an actor shows of itself.

    Attributes:
        path: the actor's.
        what: what it shall show.
        n: bounds how much.
        numbers: of those who ask for just this.
    """

    path: ActorPath
    what: Sight
    n: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LookAnswer:
    """What an actor shows, as plain data, or why it cannot.

    Attributes:
        numbers: those of the question.
        value: what it shows.
        error: what it raised instead.
    """

    numbers: tuple[int, ...]
    value: Any = None
    error: ErrorInfo | None = None


class LooksRequested(Message, frozen=True):
    """Asks actors of one node, by way of its root, for what they show of themselves."""

    questions: tuple[Question, ...]


class LooksAnswered(Message, frozen=True):
    """Answers of actors of one node, to the root of the node that has asked."""

    answers: tuple[LookAnswer, ...]


class StopRequested(Message, frozen=True):
    """Asks the actor to stop; answered with True when it has.

    Attributes:
        drain: first handle what was told before.
    """

    drain: bool = True


MESSAGES: tuple[type[Message], ...] = (
    WatchRequested,
    Unwatched,
    Ended,
    Answered,
    AskFailed,
    LooksRequested,
    LooksAnswered,
    StopRequested,
)
"""For the codec of every node."""
