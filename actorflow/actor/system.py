"""The actor system: one node's actors, their tree, and the threads that run them. Nothing here is global; many live in one process."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actorflow.actor import arrivals, inspection, lifecycle, spawning, watching
from actorflow.actor.actor import Actor, LightActor
from actorflow.actor.asking import Asks
from actorflow.actor.cell import TURN_MESSAGES_MAX, Cell
from actorflow.actor.context import DispatcherName
from actorflow.actor.dead_letters import DeadLetter, DeadLetters
from actorflow.actor.dispatcher import ThreadDispatcher
from actorflow.actor.io import Io, SelectorIo
from actorflow.actor.keepsakes import kept
from actorflow.actor.looks import Looks, take_looks
from actorflow.actor.messages import LooksAnswered, LooksRequested
from actorflow.actor.pool import Pool, PoolDispatcher
from actorflow.actor.ref import ActorRef, AddressRef
from actorflow.actor.router import Router
from actorflow.actor.signals import End
from actorflow.actor.simulated import SimulatedDispatcher
from actorflow.actor.state import Recipe, State
from actorflow.clock import Clock, ManualClock, SystemClock
from actorflow.errors import ActorflowError, ErrorInfo, MailboxOverflow
from actorflow.ids import ActorPath, Address, NodeId, address, split_address
from actorflow.protocol.machine import Ending, Failed, Stopped

if TYPE_CHECKING:
    from actorflow.actor.inspection import TreeRow
    from actorflow.protocol.supervision import Supervise

logger = logging.getLogger("actorflow.actor")

_LOOK_AGAIN_S = 0.05
_THREAD_ENDED = ErrorInfo("ActorflowError", "the actor's own thread ended by an error of the engine")


class ActorSystem:
    """The actors of one node.

    Args:
        node: name of the node; the first part of every address.
        clock: time of timers and stories. A simulation needs a `ManualClock`.
        io: what the default dispatcher waits on; the system closes it at shutdown.
        inbox_messages_max: limit of each lane of each mailbox.
        story_events_max: how many events an actor's story keeps.
        pool_threads_max: most threads for work that blocks.
        ask_timeout_s: how long an answer from another node may take where the asker does not say.
        dispatcher: a `SimulatedDispatcher` to run everything deterministically on the calling thread.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        clock: Clock | None = None,
        io: Io | None = None,
        inbox_messages_max: int = 1_000_000,
        story_events_max: int = 64,
        pool_threads_max: int = 16,
        ask_timeout_s: float = 60.0,
        dispatcher: SimulatedDispatcher | None = None,
    ) -> None:
        assert node, "a node has a name"
        assert "/" not in node, f"a node's name ends where its first slash begins: {node!r}"
        self.node = node
        self.clock: Clock = clock or (SystemClock() if dispatcher is None else ManualClock())
        self.inbox_messages_max = inbox_messages_max
        self.story_events_max = story_events_max
        self.turn_messages_max = TURN_MESSAGES_MAX if dispatcher is None else 1
        self.simulated = dispatcher is not None
        self.router: Router | None = None
        self.dead_letters = DeadLetters()
        self.remote_watches = watching.RemoteWatches(self)
        self.dispatcher: ThreadDispatcher | SimulatedDispatcher
        if dispatcher is None:
            self.dispatcher = ThreadDispatcher(node, io or SelectorIo(), self.clock)
            self.luck: Callable[[], float] = random.random
        else:
            assert isinstance(self.clock, ManualClock), "a simulation runs on a clock that moves when it is told to"
            dispatcher.attach(self.clock)
            self.dispatcher = dispatcher
            self.luck = dispatcher.random.random
        self._pool = Pool(f"actorflow-{node}-pool", pool_threads_max)
        self.pool_dispatcher = PoolDispatcher(self._pool, self.dispatcher)
        self.asks = Asks(self, ask_timeout_s)
        self.looks = Looks(self)
        self.recipes: dict[type, Recipe[Any]] = {}
        self._pinned: list[ThreadDispatcher] = []
        self._pinned_lock = threading.Lock()
        self._ended = threading.Event()
        self.root: Cell = spawning.make_root(self)

    def __repr__(self) -> str:
        return f"<ActorSystem {self.node}>"

    # --- running ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the default dispatcher on a daemon thread until `shutdown`."""
        self._threaded().start(on_end=self._loop_ended)

    def run(self) -> None:
        """Run the default dispatcher on the calling thread until `shutdown`."""
        self._threaded().run(on_end=self._loop_ended)

    def run_until(self, predicate: Callable[[], bool]) -> None:
        """Run the default dispatcher on the calling thread until `predicate()` (looked at about once a millisecond) or `shutdown`."""
        if isinstance(self.dispatcher, SimulatedDispatcher):
            self.dispatcher.run_until(predicate)
        else:
            self.dispatcher.run(lambda: predicate() or self._ended.is_set())

    def shutdown(self, timeout_s: float = 10.0) -> bool:
        """Stop all actors, children first, youngest first; then the threads.

        On an actor's thread (or in a signal handler there) this only begins it, and `run` returns when it is done. Elsewhere it waits,
        running the dispatcher on the calling thread if nobody does.

        Returns:
            whether everything has stopped in time. If not, an actor has not returned from its message; the threads, which are daemons, go on
            stopping, and another call waits on.
        """
        self.root.post_control(End(Stopped()))
        if self.dispatcher.runs_here(self.root):
            return self._ended.is_set()
        deadline = time.monotonic() + timeout_s
        while not self._ended.is_set():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self.dispatcher.drive(self._ended.is_set, left_s)
            self._ended.wait(min(_LOOK_AGAIN_S, max(0.0, left_s)))
        for dispatcher in (*self._pinned_now(), self.dispatcher):
            dispatcher.join(max(0.0, deadline - time.monotonic()))
        self._release()
        self._pool.join(max(0.0, deadline - time.monotonic()))
        return True

    def _loop_ended(self) -> None:
        """The loop of the default dispatcher has ended: on shutdown, or by an error; then nobody may wait for its actors."""
        if self._threaded().broken and not self._ended.is_set():
            self._ended.set()
            self.dispatcher.halt()
            for cell in (*inspection.walk(self.root), self.root):
                if cell.dispatcher is self.dispatcher:
                    lifecycle.abandon(cell)
            self.asks.give_up()
        self._release()

    def _release(self) -> None:
        """Let go of what the threads used, once nobody runs the default dispatcher any more."""
        self._pool.close()
        self.dispatcher.close()

    @property
    def io(self) -> Io:
        """What the default dispatcher waits on. `watch` and `unwatch` are for the dispatcher's thread."""
        if isinstance(self.dispatcher, SimulatedDispatcher):
            raise ActorflowError(
                f"system '{self.node}' is simulated and waits for no file descriptor",
                hint="in virtual time there is nothing outside to wait for",
            )
        return self.dispatcher.io

    def add_idle_hook(self, hook: Callable[[], None]) -> None:
        """Run `hook` on the default dispatcher's thread whenever it would otherwise wait; new work is looked for afterwards."""
        self.dispatcher.add_idle_hook(hook)

    def remove_idle_hook(self, hook: Callable[[], None]) -> None:
        """Forget a hook."""
        self.dispatcher.remove_idle_hook(hook)

    def submit_work(self, function: Callable[[], None]) -> None:
        """Run `function` off the actors' threads; in a simulation, in some later step."""
        if isinstance(self.dispatcher, SimulatedDispatcher):
            self.dispatcher.submit(function)
        else:
            self._pool.submit(function)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run `function` on the default dispatcher's thread, between two turns. Thread-safe."""
        self.dispatcher.submit(function)

    def _threaded(self) -> ThreadDispatcher:
        if isinstance(self.dispatcher, SimulatedDispatcher):
            raise ActorflowError(
                f"system '{self.node}' is simulated and has no loop", hint="call run_until_idle() or run_for() on its dispatcher"
            )
        return self.dispatcher

    def cell_ended(self, cell: Cell) -> None:
        """Take notice that a cell has ended; with the root, the system has."""
        own = cell.dispatcher
        if cell is self.root:
            self._ended.set()
            self.dispatcher.halt()
        elif own is not self.dispatcher and isinstance(own, ThreadDispatcher):
            cell.dispatcher = self.dispatcher  # which buries what still arrives
            own.halt()

    def own_thread(self, path: str) -> ThreadDispatcher:
        """Start a dispatcher for one pinned actor. What is left in its queue when it ends goes to the default dispatcher."""
        dispatcher = ThreadDispatcher(f"{self.node}{path}", SelectorIo(), self.clock)

        def hand_over() -> None:
            if dispatcher.broken:
                for cell in inspection.walk(self.root):
                    if cell.dispatcher is dispatcher:
                        cell.dispatcher = self.dispatcher
                        cell.post_control(End(Failed(_THREAD_ENDED)))
            while dispatcher.ready:
                self.dispatcher.enqueue(dispatcher.ready.popleft())
            dispatcher.close()

        with self._pinned_lock:
            self._pinned = [*(other for other in self._pinned if not other.halted), dispatcher]
        dispatcher.start(on_end=hand_over)
        return dispatcher

    def _pinned_now(self) -> tuple[ThreadDispatcher, ...]:
        with self._pinned_lock:
            return tuple(self._pinned)

    # --- actors ------------------------------------------------------------------------------------------------------------

    def spawn(
        self,
        cls: type[Actor | LightActor],
        *args: Any,
        name: str,
        dispatcher: DispatcherName = "default",
        supervise: Supervise | None = None,
        **kwargs: Any,
    ) -> ActorRef:
        """Make an actor at the top of the tree. Thread-safe; works before `start`, too.

        Args:
            cls: its class.
            *args: for its `__init__`, again whenever it is restarted.
            **kwargs: likewise.
            name: last part of its path, unique among its siblings.
            dispatcher: "default" (the node's loop), "pinned" (a thread of its own) or "pool" (may block).
            supervise: what happens when it fails; without it, a failure stops it.

        Raises:
            ActorflowError: if the name is taken or malformed, or the system has shut down.
        """
        return self.spawn_under(self.root, cls, args, kwargs, name, dispatcher, supervise)

    def spawn_under(
        self,
        parent: Cell,
        cls: type[Actor | LightActor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str,
        dispatcher: DispatcherName,
        supervise: Supervise | None,
    ) -> ActorRef:
        """Make a child of `parent`; what `ctx.spawn` calls."""
        return spawning.spawn(parent, cls, args, kwargs, name, dispatcher, supervise)

    def find(self, path: ActorPath) -> Cell | None:
        """Return the living actor at `path` on this node."""
        cell: Cell | None = self.root
        for name in path.split("/"):
            if name:
                cell = cell.children.get(name) if cell is not None and cell.children else None
        return cell

    def is_local(self, target: Address) -> bool:
        """Return whether an address is on this node."""
        return target.startswith("/") or split_address(target)[0] == self.node

    def resolve(self, target: Address | ActorPath | str | ActorRef) -> ActorRef:
        """Return a reference to the actor at an address, or at a path on this node, or behind another reference.

        For a local address where nobody lives (yet), the reference looks again for each message.
        """
        if isinstance(target, ActorRef):
            target = target.address
        full = address(self.node, ActorPath(target)) if target.startswith("/") else Address(target)
        node, path = split_address(full)
        cell = self.find(path) if node == self.node else None
        return AddressRef(self, full) if cell is None else cell.ref

    # --- messages by address -----------------------------------------------------------------------------------------------

    def send(
        self, to: Address, message: object, *, control: bool = True, reply_to: Address | None = None, correlation: int | None = None
    ) -> None:
        """Send a message to an address, here or elsewhere. Never raises for an actor that is not there. Thread-safe."""
        node, path = split_address(to)
        if node == self.node:
            self.deliver(path, message, control=control, reply_to=reply_to, correlation=correlation, sender=node)
        elif self.router is None:
            self.dead_letter(to, message, "this node has no transport")
        else:
            self.router.send(to, message, control=control, reply_to=reply_to, correlation=correlation)

    def deliver(
        self,
        path: ActorPath,
        message: object,
        *,
        control: bool,
        reply_to: Address | None = None,
        correlation: int | None = None,
        sender: NodeId | None = None,
    ) -> None:
        """Take a message that arrived for `path`. Thread-safe; never raises for what a peer sent.

        Args:
            path: whom it is for.
            message: the message.
            control: whether it came on the control lane.
            reply_to: address that is to be answered.
            correlation: number of the question; without `reply_to`, the number of the question that this answers.
            sender: node that it came from, if the transport knows: only the node that was asked may answer.
        """
        if correlation is not None and reply_to is None:
            self.asks.answered(correlation, message, sender)
            return
        if isinstance(message, LooksRequested) and reply_to is not None:
            take_looks(self, message, reply_to)
            return
        if isinstance(message, LooksAnswered):
            self.looks.answered(message, sender)
            return
        cell = self.find(path)
        if cell is None or cell is self.root:
            arrivals.nobody_there(self, path, message, reply_to, correlation)
            return
        try:
            arrivals.hand_over(cell, message, control=control, reply_to=reply_to, correlation=correlation)
        except MailboxOverflow as error:
            logger.error("message dropped: %s", error)
            self.dead_letter(cell.address, message, "its mailbox is full")

    def dead_letter(self, target: Address, message: object, reason: str) -> None:
        """Count and keep a message that reached nobody. Thread-safe."""
        self.dead_letters.add(DeadLetter(target, kept(message), self.clock.now(), reason))

    # --- death watch across nodes --------------------------------------------------------------------------------------------

    def watched_lost(self, target: Address, ending: Ending) -> None:
        """Tell the watchers of a remote actor that it has ended. For the transport; thread-safe."""
        self.remote_watches.ended(target, ending)

    def node_lost(self, node: NodeId) -> None:
        """Tell the watchers of all actors on `node`, and who asked one, that they are lost. For the transport; thread-safe."""
        self.remote_watches.node_lost(node)
        self.asks.node_lost(node)

    def link_restored(self, node: NodeId) -> None:
        """Say again what must not be lost, after a connection broke and the node lives on. For the transport; thread-safe."""
        self.remote_watches.link_restored(node)

    # --- looking -------------------------------------------------------------------------------------------------------------

    def tree(self, *, observe: bool = False, timeout_s: float = 1.0) -> tuple[TreeRow, ...]:
        """Return one row for each actor, parents before children. Any thread may ask.

        Args:
            observe: ask each actor for its `observe()`, too (not on an actor's own thread).
            timeout_s: how long to wait for each of those answers.
        """
        rows = []
        for cell in inspection.walk(self.root):
            observation = None
            if observe and cell.state is not State.ENDED:
                try:
                    observation = cell.ref.observe(timeout=timeout_s)
                except Exception as error:
                    observation = error
            rows.append(inspection.row(cell, observation))
        return tuple(rows)
