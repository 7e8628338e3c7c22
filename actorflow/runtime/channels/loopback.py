"""The data plane of an inline cluster: several slot workers in one process, frames handed over as they are.

Batches between two workers are encoded and decoded as on a real link, so what works here works between processes. And as there, what arrives
is handed over on the node's dispatcher thread, also when a pinned subtask has sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from actorflow.actor import ActorSystem
from actorflow.ids import NodeId
from actorflow.wire.frame import Frame, Kind


class LoopbackPlane:
    """Carries the channels of one job between the workers of one process (`links.DataPlane`).

    Args:
        system: the node's actors.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._inputs: dict[tuple[int, int], Callable[[Frame], None]] = {}
        self._outputs: dict[tuple[int, int], Callable[[int, int], None]] = {}

    def learn(self, node: NodeId, endpoints: Sequence[str]) -> None:
        """Nothing: there is only one node."""

    def send_data(
        self,
        node: NodeId,  # noqa: ARG002 - there is only one
        *,
        deployment: int,
        channel: int,
        kind: Kind,
        sequence: int,
        backlog: int,
        flags: int,
        codec: int,
        payload: bytes | memoryview,
    ) -> None:
        """Hand a frame to the receiver of its channel; a frame of an ended deployment is dropped."""
        frame = Frame(kind, flags, codec, deployment, channel, sequence, backlog, memoryview(payload))
        self._run(lambda: self._take_data(frame))

    def send_credit(self, node: NodeId, deployment: int, channel: int, credit: int, batch_records_max: int) -> None:  # noqa: ARG002
        """Hand credit to the sender of a channel."""
        self._run(lambda: self._take_credit(deployment, channel, credit, batch_records_max))

    def _run(self, function: Callable[[], None]) -> None:
        """Run a function on the dispatcher's thread: at once, if this is it."""
        if self._system.dispatcher.runs_here(self._system.root):
            function()
        else:
            self._system.call_soon(function)

    def _take_data(self, frame: Frame) -> None:
        handler = self._inputs.get((frame.deployment, frame.channel))
        if handler is not None:
            handler(frame)

    def _take_credit(self, deployment: int, channel: int, credit: int, batch_records_max: int) -> None:
        handler = self._outputs.get((deployment, channel))
        if handler is not None:
            handler(credit, batch_records_max)

    def register_input(self, deployment: int, channel: int, handler: Callable[[Frame], None]) -> None:
        """Have frames of a channel handed to `handler`."""
        self._inputs[deployment, channel] = handler

    def register_output(self, deployment: int, channel: int, on_credit: Callable[[int, int], None]) -> None:
        """Have credit of a channel handed to `on_credit`."""
        self._outputs[deployment, channel] = on_credit

    def unregister(self, deployments: Iterable[int], channels: Collection[int] | None = None) -> None:
        """Forget these channels of some deployments, or all of them."""
        for handlers in (self._inputs, self._outputs):
            for key in [key for key in handlers if key[0] in deployments and (channels is None or key[1] in channels)]:
                handlers.pop(key)
