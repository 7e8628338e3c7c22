"""Watching file descriptors for a subtask, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.actor import ActorSystem
from actorflow.plan.graph import DispatcherKind


def watchers(
    system: ActorSystem, dispatcher: DispatcherKind
) -> tuple[Callable[[int, Callable[[], None]], None], Callable[[int], None]]:
    """Return how file descriptors are watched, once each, and forgotten, on the thread that they are watched on.

    Args:
        system: the node's actors.
        dispatcher: of the subtask.
    """

    def do(action: Callable[[], None]) -> None:
        if dispatcher == "default":
            action()
        else:
            system.call_soon(action)

    def watch(fd: int, ready: Callable[[], None]) -> None:
        def once() -> None:
            system.io.unwatch(fd)  # else a subtask that is held back would be woken without end
            ready()

        do(lambda: system.io.watch(fd, once))

    return watch, lambda fd: do(lambda: system.io.unwatch(fd))
