"""Watches the actors of a leader: when one of them fails, its node ends, and with it the leadership, which another JobManager takes.

    watching ──one has failed──► told ─► over          watching ──all have ended otherwise──► over

Nobody else on this node could do the work of such an actor, and as long as the node lives no other one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actorflow.actor import Actor, ActorRef
from actorflow.errors import ErrorInfo
from actorflow.protocol.machine import ChildEnded, Failed


class LeaderGuard(Actor):
    """Watches the actors of one leadership.

    Args:
        actors: whom.
        failed: called with the name and the error of the first that fails.
    """

    def __init__(self, actors: Sequence[ActorRef], failed: Callable[[str, ErrorInfo], None]) -> None:
        super().__init__()
        self._actors = {str(actor.path): actor for actor in actors}
        self._failed = failed

    def on_start(self) -> None:
        """Watch them."""
        for path, actor in self._actors.items():
            self.ctx.watch(actor, path)

    def on_receive(self, message: ChildEnded) -> None:
        """Tell of a failure."""
        self._actors.pop(message.name, None)
        if isinstance(message.ending, Failed):
            self._failed(f"its actor {message.name}", message.ending.error)
        if not self._actors or isinstance(message.ending, Failed):
            self.ctx.finish()
