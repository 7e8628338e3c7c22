"""A token bucket: how long whoever writes has to wait, so that all together stay below a rate.

    tokens flow in at `rate`, up to `burst`      take(n): there ──► at once        not there ──► a debt, paid by waiting; later ones wait behind it

A debt keeps order without a queue: each `take` waits until the tokens of all before it, and its own, have flowed in.
"""

from __future__ import annotations

from actorflow.protocol.machine import ensure


class TokenBucket:
    """Decides for one rate.

    Args:
        rate: tokens in a second.
        burst: tokens that are there after a pause, and at the beginning.
        now: the time, in seconds.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        assert rate > 0, "a rate of nothing is no rate"
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, tokens: float, now: float) -> float:
        """Take tokens; return for how many seconds to wait before they may be used."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        self._tokens -= tokens
        return max(0.0, -self._tokens / self._rate)

    def observe(self) -> float:
        """Return how many tokens there are; less than none is a debt."""
        return self._tokens

    def check(self) -> None:
        """State that no more is there than what may be saved up."""
        ensure(self._tokens <= self._burst, f"{self._tokens} tokens are there, {self._burst} may be")
