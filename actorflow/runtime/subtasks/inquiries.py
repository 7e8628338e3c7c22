"""What people ask a subtask, answered between two batches: the state of one key, and the last records that it has put out.

Records are looked at only while somebody asks: the first question taps the subtask's first output, and the tap comes off when nobody has
asked for a while. A tap looks at a batch now and then, not at records, and keeps a copy of the last few: what is sent by reference may change.
What goes wrong with an answer goes to whoever asked; the job does not notice.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, assert_never

from actorflow.operators.columnar.conversion import to_objects
from actorflow.runtime.messages import Inquiry, StateRequested, TailRequested
from actorflow.runtime.workers.directory import packed
from actorflow.wire import pickling
from actorflow.wire.batch import Batch, ColumnBatch
from actorflow.wire.plain_form import as_text

if TYPE_CHECKING:
    from actorflow.runtime.channels.exchange import Exchange
    from actorflow.runtime.channels.writing import SinkOutput
    from actorflow.runtime.subtasks.subtask import Subtask

_TAP_AFTER_S = 3.0
"""How long after the last question a tap stays."""

_SAMPLE_EVERY_S = 0.01
"""How often a tap looks at a batch, at most."""


class Inquiries:
    """Answers for one subtask.

    Args:
        subtask: who is asked.
    """

    def __init__(self, subtask: Subtask) -> None:
        self._subtask = subtask
        self._tap: _Tap | None = None

    def answer(self, inquiry: Inquiry) -> None:
        """Answer whoever sent the message that is being handled; nobody, if nobody waits."""
        asker = self._subtask.ctx.reply_to
        if asker is None:
            return
        try:
            match inquiry:
                case StateRequested(operator=operator, key=key):
                    asker.set(packed(operator, self._subtask.chain.state(operator, pickling.loads(key))))
                case TailRequested(n=n):
                    asker.set(packed("", self._tail(n)))
                case _:
                    assert_never(inquiry)
        except Exception:
            asker.set_exception()

    def _tail(self, n: int) -> list[Any]:
        if self._tap is None or self._tap.off:
            self._tap = _Tap(self._subtask)
        return self._tap.last(n)


class _Tap:
    """Sees what leaves a subtask by its first output."""

    def __init__(self, subtask: Subtask) -> None:
        outputs: tuple[Exchange | SinkOutput, ...] = (*subtask.exchanges, *subtask.sinks)
        self.off = False
        self._output = outputs[0] if outputs else None
        self._now = subtask.meter.now
        self._asked_s = self._now()
        self._sampled_s = 0.0
        self._wanted = 0
        self._samples: deque[bytes] = deque()
        """Pickled lists of records, oldest first; each of as many as were wanted, or all of a batch."""
        if self._output is not None:
            self._output.taps = (*self._output.taps, self._see)

    def last(self, n: int) -> list[Any]:
        """Return the last `n` records that it has seen, oldest first."""
        self._asked_s = self._now()
        self._wanted = n
        seen = [record for sample in self._samples for record in pickling.loads(sample)]
        return seen[max(0, len(seen) - n) :]

    def _see(self, batch: Batch) -> None:
        now = self._now()
        if now - self._asked_s > _TAP_AFTER_S:
            self._come_off()
        elif now - self._sampled_s >= _SAMPLE_EVERY_S and self._wanted and len(batch):
            self._sampled_s = now
            records = _last_of(batch, self._wanted)
            if len(records) == self._wanted:
                self._samples.clear()
            elif len(self._samples) == self._wanted:
                self._samples.popleft()
            self._samples.append(_copied(records))

    def _come_off(self) -> None:
        self.off = True
        if self._output is not None:
            self._output.taps = tuple(tap for tap in self._output.taps if tap != self._see)


def _last_of(batch: Batch, n: int) -> list[Any]:
    if isinstance(batch, ColumnBatch):
        batch = to_objects(ColumnBatch(batch.columns.slice(max(0, len(batch) - n)), None))
    return batch.records[-n:]


def _copied(records: list[Any]) -> bytes:
    try:
        return pickling.dumps(records)
    except Exception:  # what cannot travel can be shown
        return pickling.dumps([as_text(record) for record in records])
