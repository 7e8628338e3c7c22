"""The barriers at the outputs of a subtask: behind what waits there for credit, or before it.

What a barrier overtakes stays where it is, and is sent when there is credit: for its consumer it comes after the barrier, for the checkpoint it
belongs to the producer's snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from actorflow.runtime.channels.exchange import Exchange
from actorflow.runtime.channels.writing import SinkOutput
from actorflow.runtime.checkpoints.in_flight import StoredBatches, Unsent
from actorflow.wire.batch import Barrier


class OutputBarriers:
    """Passes barriers on.

    Args:
        exchanges: the outputs, in the order of the edges.
        sinks: the other outputs, which nothing waits in.
    """

    def __init__(self, exchanges: Sequence[Exchange], sinks: Sequence[SinkOutput]) -> None:
        self._exchanges = exchanges
        self._sinks = sinks

    def pass_on(self, barrier: Barrier) -> StoredBatches:
        """Pass a barrier on; return what it has overtaken, by the position of the exchange."""
        overtaken = StoredBatches()
        for place, exchange in enumerate(self._exchanges):
            if barrier.unaligned and exchange.overtakable:
                for lane, batch in exchange.overtake(barrier):
                    overtaken.add(place, batch, lane, len(exchange.lanes))
                exchange.drain()
            else:
                exchange.event(barrier)
        for sink in self._sinks:
            sink.event(barrier)
        return overtaken

    def holds(self, checkpoint: int) -> bool:
        """Return whether the barrier of a checkpoint waits in an output where it may overtake."""
        return any(lane.holds(checkpoint) for exchange in self._exchanges if exchange.overtakable for lane in exchange.lanes)

    def overtake(self, barrier: Barrier, overtaken: StoredBatches) -> None:
        """Let a barrier overtake that still waits in some of the lanes, and add what it has overtaken."""
        for place, exchange in enumerate(self._exchanges):
            if exchange.overtakable:
                for number, lane in enumerate(exchange.lanes):
                    if lane.holds(barrier.checkpoint_id):
                        for batch in lane.overtake(barrier):
                            overtaken.add(place, batch, number, len(exchange.lanes))

    def send_again(self, batches: Iterable[Unsent]) -> None:
        """Emit what an earlier run had emitted and not sent."""
        for unsent in batches:
            self._exchanges[unsent.edge].send_again(unsent.batch, unsent.lane, unsent.lanes)
