"""Time to live: state that is forgotten a while after it was last used.

What is kept with a time to live has the time of its last use beside it, in ms: each value of a value state, each element of a list state, each
entry of a map state. The handles here wrap those of a backend, so they are the same for every backend; a backend may ask to be
told what was used (`Uses`), to find what has expired without reading everything.

    age = clock - last use;  age < ttl: alive;  age >= ttl: expired

The clock is processing time, or event time: that of the record in hand, so that a run over the same records sees the same state, however fast it
goes. In event time what has expired for one record is only hidden, because an earlier record may still come; it is forgotten when the
watermark says that none will. A record that comes all the same is late: for it, and where there is no record, it is the time of the watermark.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from actorflow.config.values import Duration, duration_ms
from actorflow.errors import PlanError
from actorflow.state.handles import ListHandle, MapHandle, ValueHandle

_NEVER: Final = object()

TtlUpdate = Literal["write", "read"]
TtlExpired = Literal["hide", "until_cleaned"]
TtlTime = Literal["processing", "event"]


@dataclass(frozen=True, slots=True)
class Ttl:
    """How long state lives.

    Attributes:
        after: how long after its last use it expires: `"1h"`, a `timedelta`, or ms.
        update: what counts as use: `write` (creating and writing), or `read` (these and reading).
        expired: `hide` never shows what has expired, `until_cleaned` shows it for as long as it is still there.
        time: the clock, `processing` or `event`.

    Raises:
        PlanError: if an option is not possible.
    """

    after: Duration
    update: TtlUpdate = "write"
    expired: TtlExpired = "hide"
    time: TtlTime = "processing"

    def __post_init__(self) -> None:
        if duration_ms(self.after, "ttl") < 1:
            raise PlanError(f"a ttl of {self.after!r} is over at once", hint="it is at least 1 ms")
        for name, choices in (
            ("update", ("write", "read")),
            ("expired", ("hide", "until_cleaned")),
            ("time", ("processing", "event")),
        ):
            if getattr(self, name) not in choices:
                raise PlanError(
                    f"{name} of a Ttl cannot be {getattr(self, name)!r}", hint=f"it is {' or '.join(map(repr, choices))}"
                )

    @property
    def after_ms(self) -> int:
        """How long after its last use state expires, in ms."""
        return round(duration_ms(self.after, "ttl"))

    @classmethod
    def of(cls, ttl: Ttl | Duration | None) -> Ttl | None:
        """Return what the `ttl` of a declared state stands for."""
        return ttl if ttl is None or isinstance(ttl, Ttl) else cls(ttl)


class Uses(Protocol):
    """Is told what is used, so that it can be found again when it has expired."""

    def used(self, entry: Any, at: int) -> None:
        """Note that the value of the current key (its entry, in a map) was written for the first time, or the state was used, at `at` (ms)."""
        ...


class Ages:
    """The clock and rule of one state.

    Args:
        ttl: the rule.
        clock: returns now, in ms.
        horizon: returns the time (ms) before which nothing comes any more: the watermark, or now.
        uses: told of every use.
    """

    __slots__ = ("_after_ms", "clock", "forgotten_by_reading", "horizon", "shows_expired", "touched_by_reading", "uses")

    def __init__(self, ttl: Ttl, clock: Callable[[], int], horizon: Callable[[], int], uses: Uses) -> None:
        self._after_ms = ttl.after_ms
        self.clock = clock
        self.horizon = horizon
        self.uses = uses
        self.shows_expired = ttl.expired == "until_cleaned"
        self.touched_by_reading = ttl.update == "read"
        self.forgotten_by_reading = ttl.time == "processing"

    def expired(self, last_use: int, now: int) -> bool:
        """Return whether what was last used then has expired."""
        return now - last_use >= self._after_ms


class TtlValue:
    """A value that expires. The wrapped handle holds `(value, last use)`."""

    __slots__ = ("_ages", "_default", "_inner")

    def __init__(self, inner: ValueHandle[tuple[Any, int] | None], ages: Ages, default: Any) -> None:
        self._inner = inner
        self._ages = ages
        self._default = default

    def get(self) -> Any:
        """Return the value of the current key, or the default if there is none, or it has expired."""
        held = self._inner.get()
        if held is None:
            return self._default
        ages, now = self._ages, self._ages.clock()
        if ages.expired(held[1], now):
            if ages.shows_expired:
                return held[0]
            if ages.forgotten_by_reading:
                self._inner.clear()
            return self._default
        if ages.touched_by_reading and held[1] < now:
            self._inner.set((held[0], now))
        return held[0]

    def set(self, value: Any) -> None:
        """Remember a value for the current key, from now on."""
        now = self._ages.clock()
        self._inner.set((value, now))
        self._ages.uses.used(None, now)

    def clear(self) -> None:
        """Forget the value of the current key."""
        self._inner.clear()


class TtlMap:
    """A mapping whose entries expire one by one. The wrapped handle maps to `(value, last use)`."""

    __slots__ = ("_ages", "_inner")

    def __init__(self, inner: MapHandle[Any, tuple[Any, int]], ages: Ages) -> None:
        self._inner = inner
        self._ages = ages

    def get(self, entry: Any, default: Any = None) -> Any:
        """Return what `entry` maps to, or `default`."""
        held = self._held(entry)
        return default if held is _NEVER else held

    def put(self, entry: Any, value: Any) -> None:
        """Map `entry` to `value`, from now on."""
        now = self._ages.clock()
        self._inner.put(entry, (value, now))
        self._ages.uses.used(entry, now)

    def contains(self, entry: Any) -> bool:
        """Return whether `entry` is mapped."""
        return self._held(entry) is not _NEVER

    def remove(self, entry: Any) -> None:
        """Forget `entry`, if it is there."""
        self._inner.remove(entry)

    def items(self) -> ItemsView[Any, Any]:
        """Return the entries of the current key that have not expired."""
        return {entry: held for entry in [*dict(self._inner.items())] if (held := self._held(entry)) is not _NEVER}.items()

    def clear(self) -> None:
        """Forget all entries of the current key."""
        self._inner.clear()

    def _held(self, entry: Any) -> Any:
        held = self._inner.get(entry)
        if held is None:
            return _NEVER
        ages, now = self._ages, self._ages.clock()
        if ages.expired(held[1], now):
            if ages.shows_expired:
                return held[0]
            if ages.forgotten_by_reading:
                self._inner.remove(entry)
            return _NEVER
        if ages.touched_by_reading and held[1] < now:
            self._inner.put(entry, (held[0], now))
        return held[0]


class TtlList:
    """A list whose elements expire one by one. The wrapped handle holds `(value, last use)` of each."""

    __slots__ = ("_ages", "_inner")

    def __init__(self, inner: ListHandle[tuple[Any, int]], ages: Ages) -> None:
        self._inner = inner
        self._ages = ages

    def add(self, value: Any) -> None:
        """Append a value, from now on."""
        now = self._ages.clock()
        self._inner.add((value, now))
        self._ages.uses.used(None, now)

    def get(self) -> list[Any]:
        """Return the values of the current key that have not expired, oldest first."""
        held = self._inner.get()
        ages, now = self._ages, self._ages.clock()
        alive = [element for element in held if not ages.expired(element[1], now)]
        kept = alive if ages.forgotten_by_reading and not ages.shows_expired else held
        if ages.touched_by_reading:
            kept = [(value, last if ages.expired(last, now) else max(last, now)) for value, last in kept]
        if len(kept) < len(held) or ages.touched_by_reading:
            self._inner.update(kept)
        return [value for value, _ in (held if ages.shows_expired else alive)]

    def update(self, values: Iterable[Any]) -> None:
        """Replace the values of the current key, from now on."""
        now = self._ages.clock()
        self._inner.update((value, now) for value in values)
        self._ages.uses.used(None, now)

    def clear(self) -> None:
        """Forget the values of the current key."""
        self._inner.clear()
