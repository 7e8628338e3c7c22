"""Credit-based flow control: who may send a buffer, and where the floating buffers go.

A receiver owns buffers. Each open channel has `exclusive` of its own; `floating` more are shared. A buffer is always in one of
three places, and that is the whole idea:

    free (floating only) ──granted──► credit at the sender ──received──► held at the receiver ──consumed──► granted again, or free

The sender attaches its *backlog* (buffers still waiting behind the one it sends). A channel with a backlog wants `backlog + exclusive`
credits; what its own buffers do not cover is taken from the floating ones, evenly: the next goes to the channel that wants one and
has the fewest. A floating buffer that was consumed goes back to be shared anew, so a channel whose backlog falls gives its share up.

At least one exclusive buffer a channel makes this free of deadlock: a channel that holds nothing always has credit.

Late rule: what arrives for a closed channel is dropped (`received` and `consumed` give no grants and count nothing).

The subtask calls the direct methods once a batch; `handle` only dispatches to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actorflow.errors import MailboxOverflow
from actorflow.ids import ChannelId
from actorflow.protocol.machine import Effect, Report, ensure
from actorflow.wire.message import Message


class CreditGranted(Message, frozen=True):
    """Receiver to sender: `credit` more buffers may be sent in `channel`."""

    channel: ChannelId
    credit: int


@dataclass(frozen=True, slots=True)
class BacklogChanged:
    """At the sender: `backlog` buffers wait for credit now."""

    backlog: int


@dataclass(frozen=True, slots=True)
class BufferSent:
    """At the sender: a buffer left, and `backlog` wait behind it."""

    backlog: int


@dataclass(frozen=True, slots=True)
class BufferReceived:
    """At the receiver: a buffer of `channel` came in; its sender has `backlog` more."""

    channel: ChannelId
    backlog: int


@dataclass(frozen=True, slots=True)
class BufferConsumed:
    """At the receiver: a buffer of `channel` has been processed and is free again."""

    channel: ChannelId


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """At the receiver: `channel` has ended or is given up."""

    channel: ChannelId


@dataclass(frozen=True, slots=True)
class SenderCredit:
    """What `SenderLedger.observe` shows."""

    available: int
    backlog: int
    overdraft: int
    granted_total: int
    sent_total: int


class SenderLedger:
    """Credit and waiting buffers of one channel, at its sender.

    The output takes what a chain emits without blocking, so a burst (a flat_map, a giant record) may leave more buffers waiting
    than `waiting_max`: the *overdraft*. An exhausted output gets no more input; one that overran its overdraft should also get
    smaller input batches.

    Args:
        initial_credit: credit known from the start.
        waiting_max: buffers that may wait for credit before the output counts as exhausted.
        overdraft_max: buffers that a burst may add on top.
    """

    __slots__ = ("_backlog", "_granted_total", "_overdraft_max", "_sent_total", "_waiting_max", "available")

    def __init__(self, initial_credit: int = 0, *, waiting_max: int = 2, overdraft_max: int = 5) -> None:
        assert initial_credit >= 0, "credit is not negative"
        self.available = initial_credit
        """Buffers that may be sent now."""
        self._backlog = 0
        self._waiting_max = waiting_max
        self._overdraft_max = overdraft_max
        self._granted_total = initial_credit
        self._sent_total = 0

    @property
    def exhausted(self) -> bool:
        """Whether the output should be given nothing more until a buffer leaves."""
        return self._backlog >= self._waiting_max

    @property
    def overdraft(self) -> int:
        """Buffers that wait beyond `waiting_max`."""
        return max(0, self._backlog - self._waiting_max)

    @property
    def overdrawn(self) -> bool:
        """Whether a burst overran the overdraft as well: the chain should be fed smaller batches."""
        return self.overdraft > self._overdraft_max

    def granted(self, credit: int) -> None:
        """Note `credit` more buffers that may be sent."""
        assert credit > 0, "a grant is of one buffer at least"
        self.available += credit
        self._granted_total += credit

    def waiting(self, backlog: int) -> None:
        """Note that `backlog` finished buffers wait now."""
        self._backlog = backlog

    def sent(self, backlog: int) -> None:
        """Note that a buffer left, and that `backlog` wait behind it (the number that travels with it)."""
        assert self.available > 0, "a buffer was sent without credit"
        self.available -= 1
        self._sent_total += 1
        self._backlog = backlog

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - credit does not depend on time
        """Take `CreditGranted`, `BacklogChanged` or `BufferSent`. The answers are the properties; there are no effects."""
        match event:
            case CreditGranted(credit=credit):
                self.granted(credit)
            case BacklogChanged(backlog):
                self.waiting(backlog)
            case BufferSent(backlog):
                self.sent(backlog)
            case _:
                raise AssertionError(f"unknown event {event!r}")
        return []

    def observe(self) -> SenderCredit:
        """Return the ledger as a value."""
        return SenderCredit(self.available, self._backlog, self.overdraft, self._granted_total, self._sent_total)

    def check(self) -> None:
        """State that credit is what was granted and not used, and never negative."""
        ensure(self.available >= 0, f"credit is negative: {self.available}")
        ensure(
            self.available == self._granted_total - self._sent_total,
            f"credit {self.available} is not granted {self._granted_total} less sent {self._sent_total}",
        )
        ensure(self._backlog >= 0, f"backlog is negative: {self._backlog}")


@dataclass(frozen=True, slots=True)
class ChannelCredit:
    """One channel in `ReceiverLedger.observe`.

    Attributes:
        channel: which one.
        credit: granted and, as far as the receiver knows, not used.
        held: buffers received and not consumed.
        floating: how many of `credit + held` are floating buffers.
        backlog: last told by the sender.
        closed: whether it has ended.
    """

    channel: ChannelId
    credit: int
    held: int
    floating: int
    backlog: int
    closed: bool


@dataclass(frozen=True, slots=True)
class ReceiverCredit:
    """What `ReceiverLedger.observe` shows."""

    free: int
    channels: tuple[ChannelCredit, ...]


class _Account:
    """One channel's buffers at the receiver."""

    __slots__ = ("backlog", "closed", "credit", "floating", "held")

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self.held = 0
        self.floating = 0
        self.backlog = 0
        self.closed = False


Grants = list[tuple[ChannelId, int]]


class ReceiverLedger:
    """The buffers of one input gate, and which channel may fill them.

    Args:
        channels: the gate's channels.
        exclusive: buffers that each channel has for itself, at least 1.
        floating: buffers shared by all channels.
        per_channel_max: most buffers one channel may have, exclusive and floating.
    """

    def __init__(self, channels: Iterable[ChannelId], *, exclusive: int = 2, floating: int = 8, per_channel_max: int = 10) -> None:
        assert exclusive >= 1, "a channel without an exclusive buffer could wait for ever"
        assert per_channel_max >= exclusive, "the exclusive buffers are part of the channel's maximum"
        self._exclusive = exclusive
        self._floating_total = floating
        self._floating_per_channel = per_channel_max - exclusive
        self._free = floating
        self._accounts = {channel: _Account(exclusive) for channel in channels}
        self._wanting: dict[ChannelId, None] = {}

    def opening_grants(self) -> Grants:
        """Return the first grant of each channel: its exclusive buffers. To be sent once."""
        return [(channel, self._exclusive) for channel in self._accounts]

    def received(self, channel: ChannelId, backlog: int) -> Grants:
        """Note a buffer of `channel` and what its sender has waiting; return what to grant, and to whom.

        Raises:
            MailboxOverflow: if the sender had no credit.
        """
        account = self._accounts[channel]
        if account.closed:
            return []
        if account.credit == 0:
            raise MailboxOverflow(f"channel {channel} got a buffer that it had granted no credit for")
        account.credit -= 1
        account.held += 1
        account.backlog = backlog
        self._note_want(channel, account)
        return self._share() if self._free and self._wanting else []

    def consumed(self, channel: ChannelId) -> Grants:
        """Note that a buffer of `channel` is free again; return what to grant, and to whom."""
        account = self._accounts[channel]
        if account.closed:
            account.held = max(0, account.held - 1)
            return self._reclaim(account)
        assert account.held > 0, "a buffer was consumed that had not been received"
        account.held -= 1
        if not account.floating:
            account.credit += 1
            return [(channel, 1)]
        account.floating -= 1
        self._free += 1
        self._note_want(channel, account)
        return self._share()

    def closed(self, channel: ChannelId) -> Grants:
        """Note that `channel` has ended; its floating buffers go to the others (those it holds, when consumed)."""
        account = self._accounts[channel]
        account.closed = True
        account.credit = account.backlog = 0
        self._wanting.pop(channel, None)
        return self._reclaim(account)

    def _reclaim(self, account: _Account) -> Grants:
        surplus = account.floating - account.held
        if surplus <= 0:
            return []
        account.floating -= surplus
        self._free += surplus
        return self._share()

    def _note_want(self, channel: ChannelId, account: _Account) -> None:
        backlog = account.backlog
        if backlog and account.credit < backlog + self._exclusive and account.floating < self._floating_per_channel:
            self._wanting[channel] = None
        else:
            self._wanting.pop(channel, None)

    def _share(self) -> Grants:
        """Give the free buffers out, each to the wanting channel that has the fewest; of equals, to the one that wants longest."""
        grants: dict[ChannelId, int] = {}
        accounts = self._accounts
        while self._free and self._wanting:
            channel = min(self._wanting, key=lambda wanting: accounts[wanting].floating)
            account = accounts[channel]
            self._free -= 1
            account.floating += 1
            account.credit += 1
            grants[channel] = grants.get(channel, 0) + 1
            self._note_want(channel, account)
        return list(grants.items())

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - credit does not depend on time
        """Take `BufferReceived`, `BufferConsumed` or `ChannelClosed`; report each grant as `CreditGranted`."""
        match event:
            case BufferReceived(channel, backlog):
                grants = self.received(channel, backlog)
            case BufferConsumed(channel):
                grants = self.consumed(channel)
            case ChannelClosed(channel):
                grants = self.closed(channel)
            case _:
                raise AssertionError(f"unknown event {event!r}")
        return [Report(CreditGranted(channel, credit)) for channel, credit in grants]

    def observe(self) -> ReceiverCredit:
        """Return the ledger as a value."""
        return ReceiverCredit(
            self._free,
            tuple(
                ChannelCredit(channel, account.credit, account.held, account.floating, account.backlog, account.closed)
                for channel, account in self._accounts.items()
            ),
        )

    def check(self) -> None:
        """State that no buffer is lost, doubled, or idle while it is wanted."""
        in_use = sum(account.floating for account in self._accounts.values())
        ensure(self._free >= 0, f"free floating buffers are negative: {self._free}")
        ensure(self._free + in_use == self._floating_total, f"{self._free} free + {in_use} in use is not {self._floating_total}")
        for channel, account in self._accounts.items():
            ensure(account.credit >= 0, f"channel {channel}: credit is negative")
            ensure(account.held >= 0, f"channel {channel}: held buffers are negative")
            if account.closed:
                ensure(account.credit == 0, f"channel {channel} is closed and has credit")
                ensure(account.floating <= account.held, f"channel {channel} is closed and keeps floating buffers it does not hold")
                continue
            owned = self._exclusive + account.floating
            ensure(account.credit + account.held == owned, f"channel {channel}: credit + held is not its {owned} buffers")
            ensure(account.floating <= self._floating_per_channel, f"channel {channel} has more than its maximum of buffers")
            wanted = min(account.backlog + self._exclusive - account.credit, self._floating_per_channel - account.floating)
            ensure(
                not (account.backlog and wanted > 0 and self._free),
                f"channel {channel} wants a floating buffer and {self._free} are idle",
            )
