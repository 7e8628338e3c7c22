"""The numbers of a job's runs. Each leader counts its own, behind those of all leaders before it: one that was deposed, and does not know it, meets none of them.

epoch 1: 1, 2, 3 …     epoch 2: 1,000,001, 1,000,002 …     epoch 3: 2,000,001 …
"""

from __future__ import annotations

from typing import Final

NUMBERS_OF_EPOCH: Final = 1_000_000
"""How many numbers an epoch has for the runs of a job, and for its checkpoints."""


def run_of_leader(number: int) -> int:
    """Return which run under its own leader a run is, as people count: 1 for the first, 0 for none."""
    return (number - 1) % NUMBERS_OF_EPOCH + 1 if number else 0
