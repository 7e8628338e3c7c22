"""Why a run fails by its workers, as errors: lost, out of reach, or too slow. All but what cannot be read may be different the next time."""

from __future__ import annotations

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address
from actorflow.protocol.transfer.delivery import EnvelopeRefused, Undelivered


def slot_lost(reason: str) -> ErrorInfo:
    """Return the error of a worker that is gone, or whose node is."""
    return ErrorInfo("SlotLost", reason, domain=Domain.EXTERNAL, retry=Retry.BACKOFF)


def no_talking_to(address: Address, news: Undelivered | EnvelopeRefused) -> ErrorInfo:
    """Return the error of a worker that cannot be told something, or says what cannot be read."""
    if isinstance(news, Undelivered):
        what = f"'{type(news.message).__name__}' cannot be sent to"
    else:
        what = "there is no reading what came from"
    return ErrorInfo("TransportError", f"{what} {address}: {news.reason}", retry=Retry.NEVER)


def not_built_in_time(worker: Address, limit_s: float) -> ErrorInfo:
    """Return the error of a worker that does not build its subtasks."""
    return ErrorInfo(
        "DeploymentTimeout",
        f"{worker} did not build its subtasks within {limit_s:g} s",
        hint="look at the log of that slot worker; 'actorflow.subtask.start-timeout' says how long it may take",
        domain=Domain.EXTERNAL,
        retry=Retry.BACKOFF,
    )
