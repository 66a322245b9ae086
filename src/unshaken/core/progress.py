"""Progress as events: code that works emits them, and a listener shows them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from unshaken.core.notebook import shown

INTERVAL = 0.25
"""Seconds between two drawings of a bar in a notebook."""


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


class NotebookBars:
    """Shows a progress bar below the cell for every running task; each vanishes when its task has ended.

    Args:
        display: the module `IPython.display`.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handles: dict[int, Any] = {}
        self._drawn: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        """Draw one event, unless the last drawing was a moment ago."""
        handle = self._handles.get(event.task)
        if event.closed:
            if handle is not None:
                del self._handles[event.task]
                handle.update(self._display.HTML(""))
            return
        now = time.monotonic()
        if handle is not None and now - self._drawn[event.task] < INTERVAL:
            return
        self._drawn[event.task] = now
        drawn = self._display.HTML(bar(event))
        if handle is None:
            self._handles[event.task] = self._display.display(drawn, display_id=True)
        else:
            handle.update(drawn)


def bar(event: Event) -> str:
    """A progress bar with its rate and the time to go."""
    share = "" if event.total is None else f' value="{event.done:g}" max="{max(event.total, 1e-9):g}"'
    done = f"{event.done:,.0f}" if event.total is None else f"{event.done / max(event.total, 1e-9):.0%}"
    left = "" if event.eta is None else f", about {_duration(event.eta)} to go"
    note = f" {shown(event.note)}" if event.note else ""
    return f"<div>{shown(event.name)} <progress{share}></progress> {done}{left}{note}</div>"


def notebook_bars() -> NotebookBars | None:
    """Show the progress of this process: bars in a notebook, nothing elsewhere."""
    python = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython import display  # type: ignore[import-not-found, unused-ignore]

    return NotebookBars(display)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
