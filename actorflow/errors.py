"""Errors: what could not be done, to what, why, and what to do about it.

Every error of actorflow derives from `ActorflowError` and carries two fields that supervision reads (never the text):
whose fault it is (`Domain`) and whether trying again can help (`Retry`). Messages are lowercase, name their subject, and
carry a hint where there is one.

`ErrorInfo` is the same as a plain value: what travels between processes, because an exception object of user code may not.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, field, replace
from typing import ClassVar


class Domain(enum.Enum):
    """Who has to act on an error."""

    USER = "user"
    EXTERNAL = "external"
    INTERNAL = "internal"


class Retry(enum.Enum):
    """Whether doing the same again can succeed."""

    NEVER = "never"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as a value that can be sent, stored and shown. Its texts are always UTF-8: what is not is escaped.

    Attributes:
        kind: class name of the exception, such as `ValueError`.
        message: its text, without the hint.
        hint: what to do, or an empty string.
        domain: who has to act.
        retry: whether a retry can help.
        traceback: the user's part of the Python traceback, formatted, or an empty string.
        context: where it happened: operator, subtask, record, key, position.
        foreign: whether `kind` is a class of the user's or of a library. Such a message often says too little without it, so it is
            shown; actorflow's own messages speak for themselves.
        suspect: digest of the record that it happened at, where records that fail again and again are put aside.
    """

    kind: str
    message: str
    hint: str = ""
    domain: Domain = Domain.INTERNAL
    retry: Retry = Retry.BACKOFF
    traceback: str = ""
    context: dict[str, str] = field(default_factory=dict)
    foreign: bool = False
    suspect: str = ""

    def __post_init__(self) -> None:
        # Errors about files quote names that are not UTF-8 as lone surrogates, and whatever sends, logs or prints those fails.
        for name in ("kind", "message", "hint", "traceback"):
            object.__setattr__(self, name, _utf8(getattr(self, name)))
        object.__setattr__(self, "context", {_utf8(name): _utf8(value) for name, value in self.context.items()})

    def __str__(self) -> str:
        text = f"{self.kind}: {self.message}" if self.foreign else self.message
        return f"{text} (hint: {self.hint})" if self.hint else text


def _utf8(text: object) -> str:
    return str(text).encode("utf-8", "backslashreplace").decode()


class ActorflowError(Exception):
    """Root of all errors raised by actorflow.

    Args:
        message: what could not be done, to what, and why; lowercase, no full stop.
        hint: what to do about it.
        retry: whether a retry can help, if this one is not like others of its class.
    """

    domain: ClassVar[Domain] = Domain.INTERNAL
    retry: Retry = Retry.NEVER

    def __init__(self, message: str, *, hint: str = "", retry: Retry | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if retry is not None:
            self.retry = retry

    def __str__(self) -> str:
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, vars(self).get("retry")))

    def info(self) -> ErrorInfo:
        """Return this error as a value."""
        return ErrorInfo(type(self).__name__, self.message, self.hint, self.domain, self.retry)


def _rebuild(cls: type[ActorflowError], message: str, hint: str, retry: Retry | None) -> ActorflowError:
    error = cls.__new__(cls)
    ActorflowError.__init__(error, message, hint=hint, retry=retry)
    return error


class PlanError(ActorflowError):
    """A pipeline that cannot be planned or submitted as written."""

    domain = Domain.USER


class ConfigError(ActorflowError):
    """An option that is unknown, malformed, or impossible beside another."""

    domain = Domain.USER


class SerializationError(ActorflowError):
    """A value or function that cannot be turned into bytes, or bytes that cannot be read back."""

    domain = Domain.USER


class IncompatibleState(ActorflowError):  # noqa: N818 - the condition is the name
    """State of a snapshot that the job cannot take over, because what it declares has changed."""

    domain = Domain.USER


class SourceError(ActorflowError):
    """Input that is missing, unreadable or malformed."""

    domain = Domain.EXTERNAL


class SinkError(ActorflowError):
    """Output that cannot be written."""

    domain = Domain.EXTERNAL


class SpillError(ActorflowError):
    """Data that does not fit into memory, and cannot be put on a local disk either."""

    domain = Domain.EXTERNAL


class PartitionLost(ActorflowError):  # noqa: N818 - the condition is the name
    """What a stage of a batch job has written for later stages is gone or damaged: it has to be written again.

    Args:
        message: see `ActorflowError`.
        producer: the subtask that has written it, as text.
        lost_with: the node or directory with which it is gone, and all else that was there; nothing if it alone is lost.
    """

    domain = Domain.EXTERNAL
    retry = Retry.BACKOFF

    def __init__(self, message: str, *, producer: str, lost_with: str = "") -> None:
        super().__init__(message, hint="its stage runs again, if 'restart-strategy.type' says that a job tries again")
        self.producer = producer
        self.lost_with = lost_with

    def info(self) -> ErrorInfo:
        """Return this error as a value, which names the producer: its stage runs again."""
        context = {"partition": self.producer}
        return replace(super().info(), context=context | ({"lost with": self.lost_with} if self.lost_with else {}))


class CheckpointError(ActorflowError):
    """A checkpoint or savepoint that cannot be written, is damaged, or does not fit the job."""

    domain = Domain.EXTERNAL


class RescaleError(ActorflowError):
    """A job that cannot run with another parallelism, or not now. It goes on as it was."""

    domain = Domain.USER


class StateError(ActorflowError):
    """State that cannot be kept on a local disk, or read back from it."""

    domain = Domain.EXTERNAL
    retry = Retry.BACKOFF


class TransportError(ActorflowError):
    """A peer that cannot be reached, or is not allowed."""

    domain = Domain.EXTERNAL
    retry = Retry.BACKOFF


class TimedOut(ActorflowError, TimeoutError):  # noqa: N818 - the condition is the name
    """What was waited for has not come in time. It may still come: nothing was given up."""

    domain = Domain.EXTERNAL
    retry = Retry.BACKOFF


class CoordinationError(ActorflowError):
    """What the JobManagers of a cluster agree upon cannot be read or written: ZooKeeper, or the storage beside it, does not answer."""

    domain = Domain.EXTERNAL
    retry = Retry.BACKOFF


class StorageError(CoordinationError):
    """The directory that JobManagers share does not take what one has to store there. What was there before is as it was."""


class Deposed(ActorflowError):  # noqa: N818 - the condition is the name
    """What a JobManager wanted to write as the leader, when it was that no longer."""


class FrameRefused(ActorflowError):  # noqa: N818 - the event is the name: a refused frame harms nothing
    """Bytes from the network that are not a well-formed frame for this node."""

    domain = Domain.EXTERNAL


class SlotLost(ActorflowError):  # noqa: N818 - the event is the name
    """A slot worker process that ended while its lease was still in use."""

    domain = Domain.EXTERNAL
    retry = Retry.BACKOFF


class NotEnoughSlots(ActorflowError):  # noqa: N818 - the condition is the name
    """A job that asks for more slots than there are."""

    domain = Domain.USER


class MailboxOverflow(ActorflowError):  # noqa: N818 - the condition is the name
    """More messages in a bounded mailbox than its limit: flow control was violated."""


class AskRefused(ActorflowError):  # noqa: N818 - the event is the name
    """An `ask` that would block the very thread that has to answer it."""


class InvariantViolated(ActorflowError):  # noqa: N818 - the event is the name
    """A machine's `check()` found its own state impossible: a bug in actorflow."""


class JobFailed(ActorflowError):  # noqa: N818 - the event is the name
    """A job that ended in failure. `error` says what failed, and where.

    Args:
        job: the job's name.
        error: the first failure that the restart strategy did not absorb.
    """

    def __init__(self, job: str, error: ErrorInfo) -> None:
        super().__init__(f"job '{job}' failed: {error}")
        self.job = job
        self.error = error

    def __reduce__(self) -> tuple[object, ...]:
        return (JobFailed, (self.job, self.error))

    def __str__(self) -> str:
        parts = [self.message]
        if self.error.context:
            parts.append("  " + "\n  ".join(f"{name}: {value}" for name, value in self.error.context.items()))
        if self.error.traceback:
            parts.append(self.error.traceback.rstrip())
        return "\n".join(parts)


class UserFunctionError(ActorflowError):
    """A function or operator of the user raised. `error` carries operator, record, key and the user's own traceback.

    Args:
        error: the failure as a value; see `ErrorInfo`.
    """

    domain = Domain.USER
    retry = Retry.BACKOFF

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(str(error))
        self.error = error

    def __reduce__(self) -> tuple[object, ...]:
        return (UserFunctionError, (self.error,))

    def info(self) -> ErrorInfo:
        """Return the failure as a value, whole."""
        return self.error


class JobCancelled(ActorflowError):  # noqa: N818 - the event is the name
    """A job that was cancelled before it finished."""

    domain = Domain.USER


def describe(error: BaseException) -> ErrorInfo:
    """Return any exception as an `ErrorInfo`, without a traceback.

    An exception that is not actorflow's own comes from user code or a library it called: domain USER, retry BACKOFF
    (the next attempt may see other data or a healthier world; the restart strategy bounds how often).
    """
    if isinstance(error, JobFailed):
        return error.error
    if isinstance(error, ActorflowError):
        with contextlib.suppress(Exception):  # a user's subclass that does not call our `__init__` is one like any other
            return error.info()
    return ErrorInfo(type(error).__name__, _text(error), domain=Domain.USER, retry=Retry.BACKOFF, foreign=True)


def _text(error: BaseException) -> str:
    """Return the text of an exception of the user's, even if its own `__str__` raises: reporting one must not fail."""
    try:
        return str(error)
    except BaseException as raised:
        return f"(no text: its __str__ raised {type(raised).__name__})"
