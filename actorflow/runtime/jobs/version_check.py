"""Whether the TaskManagers can run what a client has pickled: each is asked before the job is submitted.

    client ──CheckTaskManagers──► ResourceManager ── child ──► VersionPoll ──AskVersions──► /version-check of each TaskManager
       ▲                                                         │  ▲
       └────────────── VersionsChecked ──── all, or time is up ──┘  └── VersionsTold

One that does not answer in time is left out: it may be about to be lost, and a submission does not wait for that.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from actorflow.actor import Actor
from actorflow.actor.signals import Reply
from actorflow.ids import ActorPath, Address, NodeId, address, split_address
from actorflow.protocol.machine import TimerFired
from actorflow.protocol.nodes.client_messages import AskVersions, VersionsChecked, VersionsTold
from actorflow.wire.versions import differences

log = logging.getLogger(__name__)

VERSION_CHECK_PATH = ActorPath("/version-check")
"""Of the actor that answers, on the node of each TaskManager."""

_ANSWER_S = 3.0


class VersionCheck(Actor):
    """Says what is another version on this node than a client has, or missing."""

    def on_receive(self, message: Any) -> None:
        """Look it up on the pool, and answer: reading the metadata of packages takes a while."""
        if not isinstance(message, AskVersions):  # whoever can reach this node can send it any message
            log.warning("the version check dropped a message that is not for it: '%s'", type(message).__name__)
            return
        system = self.ctx.system

        def look() -> None:
            found = differences(message.versions, whose=f"TaskManager {system.node}")
            system.send(message.asker, VersionsTold(system.node, tuple(found)))

        system.submit_work(look)


class VersionPoll(Actor):
    """Asks TaskManagers for one client, and ends.

    Args:
        task_managers: their addresses.
        versions: what the client has.
        client: waits for the answer.
    """

    def __init__(self, task_managers: Sequence[Address], versions: Mapping[str, str], client: Reply) -> None:
        super().__init__()
        self._versions = dict(versions)
        self._client = client
        self._awaited = {split_address(each)[0]: None for each in task_managers}
        self._found: dict[NodeId, tuple[str, ...]] = {}

    def on_start(self) -> None:
        """Ask them all."""
        self.ctx.set_timer("answer", _ANSWER_S)
        for node in self._awaited:
            self.ctx.system.send(address(node, VERSION_CHECK_PATH), AskVersions(self._versions, self.ctx.address))
        self._answer_if_complete()

    def on_receive(self, message: VersionsTold | TimerFired) -> None:
        """Take an answer; or give up on those that are missing."""
        if isinstance(message, VersionsTold):
            if message.node in self._awaited:
                del self._awaited[message.node]
                self._found[message.node] = message.differences
        elif self._awaited:
            log.warning("no answer about their versions from: %s", ", ".join(self._awaited))
            self._awaited.clear()
        self._answer_if_complete()

    def _answer_if_complete(self) -> None:
        if not self._awaited:
            self._client.set(VersionsChecked(tuple(text for node in sorted(self._found) for text in self._found[node])))
            self.ctx.finish()
