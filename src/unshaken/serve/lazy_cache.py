"""`LazyCache`: what was made at some cost and may be asked for again; what was not used longest is forgotten."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class LazyCache(Generic[V]):
    """Values by key, made once each, also where several threads ask at once.

    Args:
        most: values that are kept, or the sum of their weights.
        weigh: weight of a value.

    >>> kept = LazyCache[int](2)
    >>> [kept.get(k, lambda: len(made)) for made in ["abc"] for k in "xxy"], len(kept)
    ([3, 3, 3], 2)
    """

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda value: 1) -> None:
        self.most, self.weigh = most, weigh
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made where there is none; what `make` raises is raised and not kept."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        try:
            with own:
                with self._lock:
                    if key in self._values:
                        self._values.move_to_end(key)
                        return self._values[key]
                value = make()
                with self._lock:
                    self._values[key] = value
                    while len(self._values) > 1 and sum(map(self.weigh, self._values.values())) > self.most:
                        self._values.popitem(last=False)
                return value
        finally:
            with self._lock:
                self._locks.pop(key, None)
