"""Panes: the pieces that windows of one size at regular starts are made of.

Windows that overlap share their pieces. A pane is as long as the greatest common divisor of size and slide, so that every window is a row of
whole panes; windows that do not overlap are one pane each. A record is added to one pane, however many windows it is in.

    slide 2, size 6     |----------- window -----------|
                                    |----------- window -----------|
    panes of 2          |   0   |   2   |   4   |   6   |   8   |

All times are in ms; a pane is known by its start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from actorflow.operators.windowing.window import Window
from actorflow.operators.windowing.windows import TimeWindows


@dataclass(frozen=True, slots=True)
class PaneShape:
    """How the windows of an assigner are cut.

    Attributes:
        size: length of a window.
        slide: from the start of a window to the start of the next.
        offset: a window starts here.
        length: of a pane.
        step: from the start of a pane to the start of the next; longer than a pane where windows leave gaps.
        lateness: how long a window is kept after its end.
    """

    size: int
    slide: int
    offset: int
    length: int
    step: int
    lateness: int = 0

    @classmethod
    def of(cls, windows: TimeWindows, lateness: int = 0) -> Self:
        """Return the panes of these windows."""
        size, slide = windows.size, windows.slide
        overlapping = slide < size
        length = math.gcd(size, slide) if overlapping else size
        return cls(size, slide, windows.offset, length, length if overlapping else slide, lateness)

    @property
    def overlapping(self) -> bool:
        """Whether a record can be in several windows."""
        return self.slide < self.size

    @property
    def gaps(self) -> bool:
        """Whether a record can be in no window."""
        return self.slide > self.size

    def pane(self, timestamp: int) -> int:
        """Return the pane of a time that is in no gap."""
        return timestamp - (timestamp - self.offset) % self.step

    def last_start(self, timestamp: int) -> int:
        """Return the start of the last window that starts at or before a time: the last one that holds it, if any does."""
        return timestamp - (timestamp - self.offset) % self.slide

    def first_start(self, timestamp: int) -> int:
        """Return the start of the first window that ends after a time: the first one that holds it, if any does."""
        return self.last_start(timestamp - self.size) + self.slide

    def in_gap(self, timestamp: int) -> bool:
        """Return whether a time is in no window."""
        return (timestamp - self.offset) % self.slide >= self.size

    def window(self, start: int) -> Window:
        """Return the window that starts here."""
        return Window(start, start + self.size)

    def first_after(self, watermark: int) -> int:
        """Return the start of the first window that has not ended at a watermark."""
        return self.first_start(watermark + 1)

    def kept_from(self, watermark: int) -> int:
        """Return the earliest time that is not late at a watermark for all its windows: the start of the first window that is kept.

        A window is kept until the watermark has passed its last millisecond by the allowed lateness.
        """
        return self.first_start(watermark - self.lateness + 1)
