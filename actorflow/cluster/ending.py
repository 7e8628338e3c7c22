"""How a node's process ends: SIGTERM and Ctrl-C stop its actors, after which `ActorSystem.run` returns; the second signal kills."""

from __future__ import annotations

import signal
from types import FrameType

from actorflow.actor import ActorSystem

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def ending_on_signals(system: ActorSystem) -> None:
    """Have this process, whose main thread runs `system`, end in good order when it is told to."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        for each in ENDING_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        system.shutdown()

    for each in ENDING_SIGNALS:
        signal.signal(each, end)
