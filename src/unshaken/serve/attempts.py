"""`Attempts`: how often somebody may try something in a minute."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_KEYS = 10_000
"""Addresses remembered; beyond these the one longest silent is forgotten."""


class Attempts:
    """A limit of attempts by key in a window of time.

    Args:
        most: attempts of one key in a window.
        seconds: length of the window.
        clock: seconds that never go back.

    >>> now = iter([0.0, 1.0, 2.0, 61.5])
    >>> attempts = Attempts(most=2, seconds=60, clock=lambda: next(now))
    >>> [attempts.wait("a") for _ in range(4)]
    [0.0, 0.0, 58.0, 0.0]
    """

    def __init__(self, *, most: int = 10, seconds: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.seconds, self.clock = most, seconds, clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Count an attempt, and return the seconds to wait before it is allowed: 0 where it is.

        Args:
            key: who tries, such as a network address.
        """
        with self._lock:
            now, times = self.clock(), self._times.setdefault(key, deque())
            self._times.move_to_end(key)
            while len(self._times) > MOST_KEYS:
                self._times.popitem(last=False)
            while times and times[0] <= now - self.seconds:
                times.popleft()
            if len(times) >= self.most:
                return times[0] + self.seconds - now
            times.append(now)
            return 0.0
