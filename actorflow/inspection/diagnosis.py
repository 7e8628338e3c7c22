"""Why is this job slow? A pure function of what its subtasks say of themselves.

Three questions, each a walk over "who waits for whom":

- the culprit: a back-pressured subtask waits for the consumers whose channels are full, one that aligns barriers for the producers that owe theirs.
  Where these paths end is who holds up the job: it is busy, or waits for something outside, or does not answer at all. Observations are not
  taken at one instant, so paths may run in circles; then the busiest of the circle is named. If nobody waits, the busiest is the limit, and
  if nobody is busy, the sources have nothing to read.
- the watermark: from the last operators back along the channel that is furthest behind, to who made it.
- the barrier: of the subtasks that have not taken the snapshot, those whose producers all have; and from there as above.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actorflow.ids import SubtaskId
from actorflow.plan.topology import Topology
from actorflow.runtime.subtasks.subtask_contract import SubtaskView
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP

_MUCH_MS = 500
"""A share of a second, in ms, from which a subtask counts as busy or back-pressured whatever it does at the moment."""

Views = Mapping[SubtaskId, SubtaskView | None]
"""What each subtask shows; None if it did not answer."""


@dataclass(frozen=True, slots=True)
class Waits:
    """`waiter` waits for `awaited`."""

    waiter: SubtaskId
    awaited: SubtaskId
    why: str


@dataclass(frozen=True, slots=True)
class Blamed:
    """A subtask that holds something up, and how that is known."""

    subtask: SubtaskId
    why: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Who holds up a job.

    Attributes:
        culprits: who holds up the data.
        waits: who waits for whom, along the channels.
        watermark: who holds back event time, if anybody is behind others.
        barriers: who holds up the oldest checkpoint under way, with its number; 0 if there is none.
    """

    culprits: tuple[Blamed, ...]
    waits: tuple[Waits, ...]
    watermark: Blamed | None
    barriers: tuple[int, tuple[Blamed, ...]]


def diagnose(topology: Topology, views: Views, waiting_for: Mapping[int, Sequence[SubtaskId]]) -> Diagnosis:
    """Return who holds up a job.

    Args:
        topology: its shape.
        views: of all its subtasks.
        waiting_for: for each checkpoint under way the subtasks that have not stored their parts.
    """
    channels = _Channels(topology, views)
    waits = tuple(channels.waits())
    graph = _graph(waits)
    silent = [subtask for subtask, view in views.items() if view is None]
    ends = [*silent, *(end for end in _ends(graph, graph, views) if end not in silent)]
    culprits = tuple(Blamed(end, reason(views[end])) for end in ends) or _without_waits(topology, views)
    return Diagnosis(culprits, waits, _holds_watermark(channels), _hold_barrier(channels, waiting_for, graph))


def reason(view: SubtaskView | None) -> str:
    """Return what a subtask does that others wait for."""
    if view is None:
        return "does not answer: its worker stands in user code, or is gone; stack() tells where"
    busy = view.metrics.busy_ms_per_second
    if view.activity == "busy" or busy >= _MUCH_MS:
        return f"is busy {busy / 10:.0f} % of the time, and cannot go faster"
    return f"waits for {view.waits_for}" if view.waits_for else f"is {view.activity}"


def back_pressured(view: SubtaskView) -> bool:
    """Return whether a subtask is held up by its outputs, now or most of the time."""
    return view.activity == "back_pressured" or view.metrics.back_pressured_ms_per_second >= _MUCH_MS


# --- who waits for whom ----------------------------------------------------------------------------------------------------


class _Channels:
    """The channels of a job with what both ends say of them."""

    def __init__(self, topology: Topology, views: Views) -> None:
        self.topology = topology
        self.views = views
        self.ends = topology.channels()

    def waits(self) -> Iterable[Waits]:
        """Give who waits for whom, in the order of subtasks and channels."""
        for subtask, view in self.views.items():
            if view is not None:
                yield from self._pressed(subtask, view)
                yield from self._aligning(subtask, view)

    def _pressed(self, subtask: SubtaskId, view: SubtaskView) -> Iterable[Waits]:
        if not back_pressured(view):
            return
        full = [output for output in view.outputs if output.exhausted] or [output for output in view.outputs if output.waiting]
        for output in full:
            yield Waits(subtask, self.ends[output.channel][1], f"its channel is full: {output.waiting} buffers wait for credit")

    def _aligning(self, subtask: SubtaskId, view: SubtaskView) -> Iterable[Waits]:
        """A subtask that still has input it may take is not held up by barriers."""
        if not any(channel.blocked for channel in view.inputs) or any(c.queued and not c.blocked for c in view.inputs):
            return
        for channel in view.inputs:
            if channel.owes_barrier and not channel.blocked:
                yield Waits(subtask, self.ends[channel.channel][0], f"it owes the barrier of checkpoint {channel.owes_barrier}")

    def producers(self) -> dict[SubtaskId, list[SubtaskId]]:
        """Return who feeds each subtask."""
        found: dict[SubtaskId, list[SubtaskId]] = {}
        for producer, consumer in self.ends:
            found.setdefault(consumer, []).append(producer)
        return found


def _graph(waits: Iterable[Waits]) -> dict[SubtaskId, list[SubtaskId]]:
    graph: dict[SubtaskId, list[SubtaskId]] = {}
    for wait in waits:
        graph.setdefault(wait.waiter, []).append(wait.awaited)
    return graph


def _ends(starts: Iterable[SubtaskId], graph: Mapping[SubtaskId, Sequence[SubtaskId]], views: Views) -> list[SubtaskId]:
    """Return where the paths from `starts` end, in the order in which they are reached; of those that only run in circles the busiest."""
    reached: dict[SubtaskId, None] = {}
    waiting = deque(starts)
    while waiting:
        subtask = waiting.popleft()
        if subtask not in reached:
            reached[subtask] = None
            waiting.extend(graph.get(subtask, ()))
    ends = [subtask for subtask in reached if subtask not in graph]
    circling = _cannot_reach(ends, reached, graph)
    return [*ends, max(circling, key=lambda subtask: _busy_ms(views[subtask]))] if circling else ends


def _cannot_reach(
    ends: Sequence[SubtaskId], reached: Iterable[SubtaskId], graph: Mapping[SubtaskId, Sequence[SubtaskId]]
) -> list[SubtaskId]:
    backwards: dict[SubtaskId, list[SubtaskId]] = {}
    for waiter, awaited in graph.items():
        for subtask in awaited:
            backwards.setdefault(subtask, []).append(waiter)
    reaching: dict[SubtaskId, None] = {}
    waiting = deque(ends)
    while waiting:
        subtask = waiting.popleft()
        if subtask not in reaching:
            reaching[subtask] = None
            waiting.extend(backwards.get(subtask, ()))
    return [subtask for subtask in reached if subtask not in reaching]


def _busy_ms(view: SubtaskView | None) -> int:
    return 1000 if view is None else view.metrics.busy_ms_per_second


def _without_waits(topology: Topology, views: Views) -> tuple[Blamed, ...]:
    """Return who limits a job in which nobody waits for room or for a barrier."""
    busy = [(subtask, view) for subtask, view in views.items() if view is not None and _busy_ms(view) >= _MUCH_MS]
    if busy:
        most = max(busy, key=lambda entry: _busy_ms(entry[1]))
        return (Blamed(most[0], reason(most[1])),)
    sources = {vertex.id for vertex in topology.vertices if vertex.source}
    return tuple(
        Blamed(subtask, reason(view))
        for subtask, view in views.items()
        if view is not None and subtask.vertex in sources and view.waits_for and not view.waits_for.startswith("nothing")
    )


# --- event time, barriers --------------------------------------------------------------------------------------------------


def _holds_watermark(channels: _Channels) -> Blamed | None:
    """Return who is furthest behind in event time, if others that make watermarks are further."""
    topology, views = channels.topology, channels.views
    fed_from = {edge.source for edge in topology.edges}
    last = [(subtask, view) for subtask, view in views.items() if view is not None and subtask.vertex not in fed_from]
    if not last:
        return None
    subtask, view = min(last, key=lambda entry: entry[1].watermark)
    holder: SubtaskView | None = view
    while holder is not None and holder.inputs and not holder.own_time:
        counting = [channel for channel in holder.inputs if channel.status == "counting"]
        if not counting:
            break
        slowest = min(counting, key=lambda channel: channel.watermark)
        producer = channels.ends[slowest.channel][0]
        sent = views[producer]
        if sent is not None and sent.watermark > slowest.watermark and slowest.queued:
            break  # the next one has been sent, and waits behind data that this subtask has to take first
        subtask, holder = producer, sent
    furthest = max((view.watermark for view in views.values() if view is not None), default=MIN_TIMESTAMP)
    behind = MIN_TIMESTAMP if holder is None else holder.watermark
    if furthest == MIN_TIMESTAMP or behind >= furthest:
        return None
    if behind == MIN_TIMESTAMP:
        return Blamed(subtask, "has made no watermark yet")
    lag = "the end" if furthest == MAX_TIMESTAMP else f"{(furthest - behind) / 1000:g} s more"
    return Blamed(subtask, f"is at watermark {behind}, where others have reached {lag}")


def _hold_barrier(
    channels: _Channels, waiting_for: Mapping[int, Sequence[SubtaskId]], graph: Mapping[SubtaskId, Sequence[SubtaskId]]
) -> tuple[int, tuple[Blamed, ...]]:
    if not waiting_for:
        return 0, ()
    number = min(waiting_for)
    missing = dict.fromkeys(waiting_for[number])
    producers = channels.producers()
    first = [subtask for subtask in missing if not any(producer in missing for producer in producers.get(subtask, ()))]
    ends = _ends(first, graph, channels.views)
    return number, tuple(Blamed(end, _barrier_reason(channels.views.get(end), number)) for end in ends)


def _barrier_reason(view: SubtaskView | None, number: int) -> str:
    if view is not None and view.checkpoint >= number:
        return "has taken its snapshot, and is storing it"
    return reason(view)
