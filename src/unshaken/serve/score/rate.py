"""`Rate`: how many passes a second the model is making, from the batches of late."""

from __future__ import annotations

import math

MEMORY = 0.9
"""Weight of what was known before, at each batch."""
LONGEST_WAIT = 3600
"""Seconds that a client is asked to wait at most."""


class Rate:
    """Passes a second, as a mean that forgets.

    >>> rate = Rate()
    >>> rate.add(64, 0.5)
    >>> rate.per_second, rate.wait(320)
    (128.0, 3)
    """

    def __init__(self) -> None:
        self._passes = self._seconds = 0.0

    def add(self, passes: int, seconds: float) -> None:
        """One batch."""
        self._passes = MEMORY * self._passes + passes
        self._seconds = MEMORY * self._seconds + max(seconds, 1e-9)

    @property
    def per_second(self) -> float:
        """Passes a second; 0 before the first batch."""
        return self._passes / self._seconds if self._seconds else 0.0

    def seconds(self, passes: int) -> float:
        """Seconds in which a number of passes is made; 0 before the first batch."""
        return passes / self.per_second if self._seconds else 0.0

    def wait(self, passes: int) -> int:
        """Whole seconds in which a number of passes is made, at least 1."""
        return min(LONGEST_WAIT, max(1, math.ceil(self.seconds(passes))))
