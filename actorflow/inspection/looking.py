"""Looking at many actors at once: every question is on its way before the first answer is waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from actorflow.actor import ActorDeadError, ActorSystem, AskTimeout
from actorflow.actor.messages import Sight
from actorflow.errors import ActorflowError
from actorflow.ids import Address
from actorflow.wire.plain_form import plain_form

log = logging.getLogger(__name__)


def look_at(system: ActorSystem, addresses: Iterable[Address], what: Sight, timeout_s: float) -> list[Any]:
    """Return what the actors at these addresses show, as plain data; None for those that do not answer in time.

    Args:
        system: asks.
        addresses: of the actors.
        what: see `Sight`.
        timeout_s: for all of them together.
    """
    deadline = time.monotonic() + timeout_s
    futures: list[Any] = []
    for target in addresses:
        try:
            futures.append(system.resolve(target).look(what, timeout=timeout_s))
        except (ActorDeadError, ActorflowError):  # it has ended, or nobody knows where its node is
            futures.append(None)
    answers = []
    for future in futures:
        answer = None
        if future is not None:
            try:
                answer = plain_form(future.get(timeout=max(0.0, deadline - time.monotonic())))
            except (ActorDeadError, AskTimeout):
                pass
            except Exception as error:
                log.debug("an actor could not show its %s: %s", what, error)
        answers.append(answer)
    return answers
