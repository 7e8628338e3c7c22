"""Watermark alignment: sources of one job that must not run ahead of each other in event time.

The *members* of a group are the readers of its sources, known from the plan. Each reports its watermark every now and then, and is
answered how far it may go: as far as the slowest member that counts, and the drift that it allows itself. What is further ahead it
does not read; so what a slow source's records will be joined with need not be kept for ever.

    member:  unheard ──reported──► counting ◄──reported──► idle (counts not)
                └───────────────────┴──────────ended──────────┘──► ended (counts not, for ever)

- A member that was not heard of yet counts as being at the start of time: nobody goes far before all are there. It may read itself, since it has
  no watermark yet.
- When none counts, there is no limit.
- Reports are repeated, so lost ones do no harm, and answers are given for each. Where waiting for the next report would hold the
  others up for nothing, they are told at once: when a member is heard of for the first time, falls idle or comes back, or ends.

Late rule: a report that is not newer than the member's last, of one that has ended, or of no member is dropped. Attempts are fenced by the job:
each run has an alignment of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from actorflow.ids import Address, SubtaskId
from actorflow.protocol.machine import Effect, Send, ensure
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP
from actorflow.wire.message import Message


class WatermarkReported(Message, frozen=True):
    """How far a reader is in event time.

    Attributes:
        subtask: which.
        attempt: number of the deployment.
        operator: name of the operator that makes its watermarks.
        number: 1 for the first report of an attempt, and one more for each next.
        watermark: the smallest of its active splits, in ms; `MIN_TIMESTAMP` while it has none.
        idle: whether it holds back nobody now.
        max_drift_ms: how far ahead of the slowest it may be.
        reply_to: where it runs.
    """

    subtask: SubtaskId
    attempt: int
    operator: str
    number: int
    watermark: int
    idle: bool
    max_drift_ms: int
    reply_to: Address


class WatermarkAllowed(Message, frozen=True):
    """How far a reader may go. `number` is that of the last report that was taken into account, and rises with every answer's knowledge.

    Attributes:
        subtask: for whom.
        attempt: number of the deployment.
        operator: name of its operator.
        number: counts the answers to this member.
        watermark: splits up to here may be read, in ms.
        lead_ms: how far the member is ahead of the slowest, as far as is known; None if that is not known.
    """

    subtask: SubtaskId
    attempt: int
    operator: str
    number: int
    watermark: int
    lead_ms: int | None


@dataclass(frozen=True, slots=True)
class Member:
    """One reader of an aligned source.

    Attributes:
        subtask: which.
        operator: name of the operator that makes its watermarks.
        group: whom it is aligned with.
    """

    subtask: SubtaskId
    operator: str
    group: str


@dataclass(frozen=True, slots=True)
class ReaderFinished:
    """A subtask has read everything."""

    subtask: SubtaskId


@dataclass(slots=True)
class _Place:
    member: Member
    report: WatermarkReported | None = None
    ended: bool = False
    answers: int = 0

    @property
    def counts(self) -> bool:
        """Whether the others wait for it."""
        return not self.ended and (self.report is None or not self.report.idle)

    @property
    def watermark(self) -> int:
        return MIN_TIMESTAMP if self.report is None else self.report.watermark


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group: the watermark of the slowest that counts (None if none does), and of each member (None while it has none)."""

    slowest: int | None
    members: Mapping[str, int | None] = field(default_factory=dict)


class WatermarkAlignment:
    """Decides how far the sources of one run may go.

    Args:
        members: all readers of aligned sources.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._places = {(member.subtask, member.operator): _Place(member) for member in members}
        self._groups: dict[str, list[_Place]] = {}
        for place in self._places.values():
            self._groups.setdefault(place.member.group, []).append(place)

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - alignment does not depend on time
        """Take a report or an end; answer it, and tell others if it matters to them at once."""
        match event:
            case WatermarkReported():
                return self._reported(event)
            case ReaderFinished(subtask):
                return self._finished(subtask)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _reported(self, report: WatermarkReported) -> list[Effect]:
        place = self._places.get((report.subtask, report.operator))
        if place is None or place.ended:
            return []
        last = place.report
        if last is not None and report.number <= last.number:
            return []
        place.report = report
        started = place.watermark > MIN_TIMESTAMP and (last is None or last.watermark == MIN_TIMESTAMP)
        turned = last is not None and last.idle != report.idle
        if started or turned or (last is None and report.idle):
            return self._tell_all(place.member.group)
        return self._tell(place)

    def _finished(self, subtask: SubtaskId) -> list[Effect]:
        effects: list[Effect] = []
        for place in self._places.values():
            if place.member.subtask == subtask and not place.ended:
                place.ended = True
                effects += self._tell_all(place.member.group)
        return effects

    def _tell_all(self, group: str) -> list[Effect]:
        return [effect for place in self._groups[group] for effect in self._tell(place)]

    def _tell(self, place: _Place) -> list[Effect]:
        """Answer a member with what is known now, if it was heard of and reads on."""
        report = place.report
        if report is None or place.ended:
            return []
        slowest = self._slowest(place.member.group)
        allowed = MAX_TIMESTAMP if slowest is None else min(MAX_TIMESTAMP, slowest + report.max_drift_ms)
        known = slowest is not None and slowest > MIN_TIMESTAMP and report.watermark > MIN_TIMESTAMP
        lead_ms = report.watermark - slowest if known and slowest is not None else None
        place.answers += 1
        answer = WatermarkAllowed(report.subtask, report.attempt, report.operator, place.answers, allowed, lead_ms)
        return [Send(report.reply_to, answer)]

    def _slowest(self, group: str) -> int | None:
        """Return the watermark of the slowest member that counts, or None if none does."""
        return min((place.watermark for place in self._groups[group] if place.counts), default=None)

    def observe(self) -> Mapping[str, GroupView]:
        """Return the groups as values, by name."""
        return {
            group: GroupView(
                self._slowest(group),
                {
                    f"{place.member.subtask} {place.member.operator}": None if place.watermark == MIN_TIMESTAMP else place.watermark
                    for place in places
                },
            )
            for group, places in self._groups.items()
        }

    def check(self) -> None:
        """State that nobody who counts is behind the slowest, and that answers follow reports."""
        for group, places in self._groups.items():
            slowest = self._slowest(group)
            for place in places:
                ensure(
                    not place.counts or (slowest is not None and slowest <= place.watermark), f"{place.member} is behind {slowest}"
                )
                ensure(place.report is not None or not place.answers, f"{place.member} was answered and never reported")
