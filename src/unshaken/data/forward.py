"""Access by position to what can only be read forwards: the images of a huge row group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Forward(Generic[T]):
    """Items by position, read forwards and one at a time; going back starts again.

    In rising order every item is read once and one is held at a time. In random order an access costs a pass from the
    start: give positions sorted.

    Args:
        start: gives a fresh iterator over all items.
    """

    def __init__(self, start: Callable[[], Iterator[T]]) -> None:
        self._start = start
        self._items: Iterator[T] | None = None
        self._held: tuple[int, T] | None = None

    def at(self, position: int) -> T:
        """The item at a position.

        Raises:
            IndexError: there are fewer items.
        """
        if self._items is None or self._held is None or position < self._held[0]:
            self._items, self._held = self._start(), None
        while self._held is None or self._held[0] < position:
            following = 0 if self._held is None else self._held[0] + 1
            try:
                self._held = following, next(self._items)
            except StopIteration:
                raise IndexError(f"position {position} lies behind the last item, {following - 1}") from None
        return self._held[1]
