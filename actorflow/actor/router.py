"""The router: what the actor layer needs of a transport."""

from __future__ import annotations

from typing import Protocol

from actorflow.ids import Address


class Router(Protocol):
    """Carries messages to other nodes. All methods are thread-safe and do not block."""

    def send(
        self, to: Address, message: object, *, control: bool, reply_to: Address | None = None, correlation: int | None = None
    ) -> None:
        """Send a message, at most once, in order for each pair of nodes.

        The two optional fields are carried as they are, and handed to `ActorSystem.deliver` on the other side.
        """
        ...

    def watch(self, target: Address) -> None:
        """Keep an eye on the node of `target`: call `ActorSystem.node_lost` when it is gone."""
        ...

    def unwatch(self, target: Address) -> None:
        """Nobody watches `target` any more."""
        ...
