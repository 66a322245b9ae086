"""Progress as events: code that works emits them, and a listener shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from unshaken.core.notebook import notebook_bars


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a running task.

    Args:
        task: a number of the piece of work; nested pieces have numbers of their own.
        name: what is done, as a person would say it.
        done: units done so far.
        total: units in all, or None when unknown.
        seconds: since the piece began.
        closed: True for its last event.
        note: a short live remark, such as the accuracy so far.
    """

    task: int
    name: str
    done: float
    total: float | None
    seconds: float
    closed: bool = False
    note: str = ""

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds to go at this rate, or None when unknown."""
        return None if self.total is None or self.rate == 0 else (self.total - self.done) / self.rate


Listener = Callable[[Event], None]
_listener: ContextVar[tuple[Listener | None] | None] = ContextVar("listener", default=None)
_count: ContextVar[int] = ContextVar("count", default=0)


class Task:
    """A running task; call `advance` as units are done."""

    def __init__(self, number: int, name: str, total: float | None, listener: Listener | None) -> None:
        self.number, self.name, self.total, self.done = number, name, total, 0.0
        self._began, self._listener = time.perf_counter(), listener
        self.note = ""

    def advance(self, units: float = 1, note: str = "") -> None:
        """Tell that further units are done."""
        self.done += units
        self.note = note or self.note
        self._tell(closed=False)

    def _tell(self, closed: bool) -> None:
        if self._listener is not None:
            seconds = time.perf_counter() - self._began
            self._listener(Event(self.number, self.name, self.done, self.total, seconds, closed, self.note))


@contextmanager
def track(name: str, total: float | None = None) -> Iterator[Task]:
    """Report the progress of a task to the active listener, or as bars in a notebook. Tasks nest."""
    chosen = _listener.get()
    if chosen is None:
        with listening(notebook_bars()), track(name, total) as task:
            yield task
        return
    number = _count.get() + 1
    token = _count.set(number)
    task = Task(number, name, total, chosen[0])
    task._tell(closed=False)
    try:
        yield task
    finally:
        task._tell(closed=True)
        _count.reset(token)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Send the progress events inside to a listener (None: discard them)."""
    token = _listener.set((listener,))
    try:
        yield
    finally:
        _listener.reset(token)
