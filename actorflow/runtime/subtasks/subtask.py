"""The subtask actor: the data loop. Input gate (or source reader) → compiled chain → exchanges (or sink writer).

One *turn* handles one batch or one event, then lets the other actors of the node run. A subtask takes a turn when it has input and
its outputs have room; what makes one possible (input, credit, a finished asynchronous call) calls `wake`, which puts one token into the
data lane of its mailbox. Everything else (credit, inspection, commit, stop) travels on the control lane and is handled first. So a
back-pressured subtask takes no data, and still answers.

              wake                          no input: idle
    waiting ───────► turn ──► more input? ─────────────────► waiting
       ▲              │ outputs exhausted: back-pressured        │
       └──────────────┴──────────────────────────────────────────┘
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import ClassVar, assert_never

from actorflow.actor import Actor
from actorflow.errors import ErrorInfo, describe
from actorflow.operators.contract import Chain
from actorflow.protocol.machine import TimerFired
from actorflow.runtime.channels.exchange import Exchange
from actorflow.runtime.channels.lanes import Lane
from actorflow.runtime.channels.outputs import Outputs
from actorflow.runtime.channels.writing import SinkOutput
from actorflow.runtime.checkpoints.subtask_checkpoints import BARRIER_TIMERS, SubtaskCheckpoints
from actorflow.runtime.messages import Inquiry, UserMessage
from actorflow.runtime.subtasks.alarms import Alarm, Alarms
from actorflow.runtime.subtasks.event_time import EventTime
from actorflow.runtime.subtasks.inquiries import Inquiries
from actorflow.runtime.subtasks.meter import Activity, Meter
from actorflow.runtime.subtasks.subtask_contract import BEGIN, TURN, Feed, Owner, SubtaskView
from actorflow.runtime.subtasks.user_messages import hand_over, turn_away
from actorflow.runtime.subtasks.viewing import records_of, view_of
from actorflow.runtime.workers.closing import close_all
from actorflow.wire.batch import (
    Active,
    Barrier,
    Batch,
    ChannelEvent,
    EndOfInput,
    Idle,
    SavepointOrder,
    Watermark,
)


class Subtask(Actor):
    """Runs one chain.

    Args:
        name: what people call it.
        owner: told when it finishes or fails.
        on_made: given the actor itself: the worker that owns its subtasks assembles them.
        meter: measures where its time goes.
    """

    messages_per_turn: ClassVar[int] = 1  # one batch, then the others: batches stay few, and in the cache

    def __init__(self, name: str, owner: Owner, on_made: Callable[[Subtask], None], *, meter: Meter) -> None:
        super().__init__()
        on_made(self)
        self.ref = self.ctx.ref
        self.name = name
        self.meter = meter
        self.thread: int | None = None  # the thread that it runs on, once it has begun
        self.checkpoints: SubtaskCheckpoints | None = None
        self.exchanges: tuple[Exchange, ...] = ()
        self.sinks: tuple[SinkOutput, ...] = ()
        self._owner = owner
        self._token_out = False
        self._flush_armed = False
        self._assembled = False
        self._begun = False
        self._ending = False
        self.over = False
        self._draining: Barrier | None = None
        self._held = False
        self._postponed: list[Callable[[], None]] = []
        self._alarms = Alarms(self._arm)
        self._inquiries = Inquiries(self)

    def assemble(self, feed: Feed, chain: Chain, exchanges: tuple[Exchange, ...], sinks: tuple[SinkOutput, ...]) -> None:
        """Give it its parts, which need the actor to exist before they do. Called once, before any message."""
        self._assembled = True
        self.feed = feed
        self.chain = chain
        self.exchanges = exchanges
        self.sinks = sinks
        self.outputs = Outputs(exchanges, sinks)
        self.event_time = EventTime(chain, self.outputs)
        self.meter.count = lambda: records_of(self)

    # --- being told ------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Ask for a turn. May be called from any thread."""
        if not self._token_out:
            self._token_out = True
            self.ref.tell(TURN)

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` on this actor's thread, between two batches. May be called from any thread."""
        self.ref.tell_control(callback)

    def post_work(self, callback: Callable[[], None]) -> None:
        """Run what brings it something to do, like `post`; not while it is held."""
        self.post(lambda: self._postponed.append(callback) if self._held else callback())

    def on_receive(self, message: object) -> object:
        """Handle one message; a failure of anything in it is the end of this subtask, and is reported to its owner."""
        if self.over and not isinstance(message, Inquiry):
            if isinstance(message, UserMessage):
                turn_away(message, self.name, self.ctx)
            return None
        try:
            return self._handle(message)
        except BaseException as error:
            self.fail(describe(error))
            return None

    def _handle(self, message: object) -> object:
        if message is TURN:
            self._token_out = False
            self._turn()
        elif message is BEGIN:
            self.thread = threading.get_ident()
            self.chain.open()
            self._begun = True
            self._owner.subtask_started(self)
            self.ctx.unstash_all()
            if self.checkpoints is not None:
                self.checkpoints.begin()
            self.feed.begin()
            self.wake()
        elif isinstance(message, TimerFired):
            self._timer(message)
        elif isinstance(message, Inquiry):
            self._inquiries.answer(message)
        elif isinstance(message, UserMessage):
            self._hand_over(message)
        elif callable(message):
            message()
            if self._begun and not self.over:
                self._after_work()
                if self._draining is not None:
                    self.wake()
        return None

    def _timer(self, timer: TimerFired) -> None:
        if timer.name == "flush":
            self._flush_timer()
        elif timer.name in BARRIER_TIMERS:
            if self.checkpoints is not None:
                self.checkpoints.overdue(timer)
                self._after_work()
        else:
            if timer.name == "alarm":
                self._alarms.awake(self.processing_time())
            self.wake()

    def _hand_over(self, message: UserMessage) -> None:
        """Give an operator a message, unless the chain is closing."""
        if not self._begun:
            self.ctx.stash()
        elif self._ending or self._held:
            turn_away(message, self.name, self.ctx)
        else:
            hand_over(message, self.chain, self.ctx)
            self._after_work()

    # --- the data loop -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        if not self._begun:
            return
        if self._ending:
            self._end_when_sent()
            return
        if self._held:
            self.meter.switch(Activity.IDLE)
            return
        if self.outputs.exhausted:
            self.meter.switch(Activity.BACK_PRESSURED)
            return
        self.meter.switch(Activity.BUSY)
        if self.chain.blocked:
            self._go_on_with_watermark()
            return
        if self._draining is not None:
            self._drain_on(self._draining)
            return
        if self._alarms.due(self.processing_time()):
            self._alarms.ring(self.processing_time())
            self._after_work()
            self.wake()
            return
        more = self.feed.advance()
        self._after_work()
        if self.feed.ended:
            self._try_to_finish()
        elif more:
            self.wake()
        else:
            self.meter.switch(Activity.IDLE)

    def _go_on_with_watermark(self) -> None:
        """Let an operator that is busy with a watermark do another part of it. One that waits for something else wakes the subtask later."""
        self.event_time.go_on()
        self._after_work()
        if not self.chain.blocked:
            self.wake()
        elif not self._token_out:
            self.meter.switch(Activity.BACK_PRESSURED)

    def granted(self, lane: Lane, credit: int, records_max: int) -> None:
        """Take credit for one of its lanes, and send what that allows. What cannot be sent is a failure of this subtask."""
        self.guarded(lambda: self._granted(lane, credit, records_max))
        self.relieved()

    def _granted(self, lane: Lane, credit: int, records_max: int) -> None:
        lane.granted(credit, records_max)
        if self.checkpoints is not None:
            self.checkpoints.sent()

    def guarded(self, action: Callable[[], None]) -> None:
        """Do something that this subtask is told outside of its messages: there, too, it fails and nobody else does."""
        if self.over:
            return
        try:
            action()
        except BaseException as error:
            self.fail(describe(error))

    def relieved(self) -> None:
        """Note that an output has room again."""
        if self.meter.activity is Activity.BACK_PRESSURED:
            self.wake()

    def rest(self, seconds: float = math.inf) -> None:
        """Have no input for so long, unless woken; take a turn then, or when an operator wants to be asked again."""
        within_ms = self.chain.nothing_from(None)
        if within_ms is not None:
            seconds = min(seconds, within_ms / 1000)
        if seconds < math.inf:
            self.ctx.set_timer("resume", seconds)

    def processing_time(self) -> int:
        """Return the wall clock, in ms."""
        return self.ctx.system.clock.wall_ms()

    def call_at(self, timestamp: int, callback: Callable[[], None]) -> Alarm:
        """Run a callback in a turn of its own, once processing time has reached `timestamp` (ms)."""
        return self._alarms.set(timestamp, callback)

    def _arm(self, timestamp: int) -> None:
        self.ctx.set_timer("alarm", max(0, timestamp - self.processing_time()) / 1000)

    def take(self, batch: Batch, port: int) -> None:
        """Process one batch."""
        self.chain.process(batch, port)

    def _after_work(self) -> None:
        """Pass on what was held back of event time, and arm the flush timer, if a buffer stands open and it is not armed."""
        self.event_time.catch_up()
        if self._flush_armed:
            return
        deadline = self.outputs.deadline_s
        if deadline is not None:
            self._flush_armed = True
            self.ctx.set_timer_at("flush", deadline)

    def _flush_timer(self) -> None:
        self._flush_armed = False
        self.outputs.flush_due(self.ctx.now())
        self._after_work()

    def flush_idle(self) -> None:
        """Send what stands open, because the node has nothing better to do."""
        if self._begun:
            self.guarded(self.outputs.flush_idle)

    # --- events --------------------------------------------------------------------------------------------------------------

    def event(self, event: ChannelEvent) -> None:
        """Handle an event that holds for the whole subtask, and pass it on behind everything before it."""
        match event:
            case Watermark(timestamp):
                self.event_time.reach(timestamp)
            case Idle() | Active():
                if not self.chain.own_time:
                    self.event_time.tell_idleness(idle=isinstance(event, Idle))
            case Barrier(savepoint=SavepointOrder(then="drain")):
                self._draining = event
                self.wake()
            case Barrier() if self.checkpoints is not None:
                self.checkpoints.snapshot(event)
            case Barrier():
                self.outputs.event(event)
            case EndOfInput():
                pass  # the end is announced once the chain has drained
            case _:
                assert_never(event)

    # --- stopping with a savepoint -------------------------------------------------------------------------------------------

    def _drain_on(self, barrier: Barrier) -> None:
        """Take the snapshot once all that the last watermark brings about has left."""
        self.event_time.go_on()
        self._after_work()
        if not self.chain.in_flight:
            self._draining = None
            assert self.checkpoints is not None, "savepoints are taken of subtasks that can"
            self.checkpoints.snapshot(barrier)

    def hold(self) -> None:
        """Process nothing until `go_on` or `stop_here`: what would come now, the savepoint does not hold."""
        self._held = True

    def go_on(self) -> None:
        """Take up the work again: the savepoint that the job was to stop with has failed."""
        self._held = False
        self._draining = None
        postponed, self._postponed = self._postponed, []
        for callback in postponed:
            callback()
        self.wake()

    def stop_here(self) -> None:
        """End as it is: a savepoint holds the rest. Nothing fires, and nothing in flight is waited for."""
        self.outputs.finish()
        self.feed.close()
        self._ending = True
        self._end_when_sent()

    # --- the end -------------------------------------------------------------------------------------------------------------

    def _try_to_finish(self) -> None:
        self.event_time.go_on()
        if not self.chain.finish():
            self.meter.switch(Activity.IDLE)
            return
        self.outputs.finish()
        if self.checkpoints is not None:
            self.checkpoints.leave()
        self.feed.close()
        self.outputs.event(EndOfInput())
        self._ending = True
        self._end_when_sent()

    def _end_when_sent(self) -> None:
        """Finish, unless some output still waits for credit, or a part is being stored: what has not left can still fail, and reads its state."""
        if self.outputs.sending or (self.checkpoints is not None and self.checkpoints.uploads.busy):
            self.meter.switch(Activity.BACK_PRESSURED)
            return
        self.chain.close()
        self.over = True
        self._alarms.clear()
        self.meter.switch(Activity.IDLE)
        self._owner.subtask_finished(self)

    def fail(self, error: ErrorInfo) -> None:
        """End with an error."""
        if not self.over:
            self.close()
            self.abort()
            self._owner.subtask_failed(self, error)

    def abort(self) -> None:
        """Remove what its sinks have prepared. Errors on this way are logged: what could not be removed stays hidden."""
        close_all(self.name, [sink.abort for sink in self.sinks])

    def close(self) -> None:
        """Free everything, at once, whatever the state. Errors of user code on this way are logged: the first error counts."""
        if self.over:
            return
        self.over = True
        self._alarms.clear()
        parts = [*(exchange.close for exchange in self.exchanges), *(sink.close for sink in self.sinks)]
        if self._assembled:
            parts.insert(0, self.feed.close)
        if self._begun:
            parts.insert(0, self.chain.close)
        close_all(self.name, parts)

    def on_stop(self) -> None:
        """Close on the way out."""
        self.close()

    # --- being looked at -------------------------------------------------------------------------------------------------------

    def observe(self) -> SubtaskView:
        """Return its state as a value."""
        return view_of(self)
