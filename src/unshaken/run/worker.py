"""`Worker`: one process of a pool, which does units of a work that it has made anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable
from contextlib import nullcontext

from unshaken.core.consent import allow_code

Unit = Hashable
"""A part of a work that can be done alone, and twice without harm: what it writes it writes whole."""
Work = Callable[[Unit], None]


class Worker:
    """See above.

    Args:
        remake: makes the work.
        folder: that relative paths start from.
        path: where modules are found.
        words: the user's own words in the call under way, which say what code may run; None outside any call.
    """

    def __init__(
        self, remake: Callable[[], Work], folder: str, path: list[str], words: tuple[str, ...] | None = None
    ) -> None:
        self._remake, self._folder, self._path, self._words = remake, folder, path, words
        self._work: Work | None = None

    def run(self, unit: Unit) -> None:
        """Do one unit."""
        with nullcontext() if self._words is None else allow_code(*self._words):
            if self._work is None:
                os.chdir(self._folder)
                sys.path.extend(p for p in self._path if p not in sys.path)
                self._work = self._remake()
            self._work(unit)
