"""Progress bars on stderr, from the events of whoever works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unshaken.cli.session import Session
from unshaken.cli.show import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from unshaken.core.progress import Event


@contextmanager
def progress(session: Session) -> Iterator[None]:
    """Show the progress of the work inside; quiet with `--quiet`, or where stderr is no terminal."""
    from unshaken.core.progress import listening

    if session.quiet or not sys.stderr.isatty():
        with listening(None):
            yield
        return
    with _bars() as bars, listening(Listener(bars)):
        yield


class Listener:
    """Shows a progress bar for every running task; nested tasks below each other.

    Args:
        bars: where they are drawn.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[int, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        known = self._tasks.get(event.task)
        if event.closed:
            if known is not None:
                self._bars.remove_task(self._tasks.pop(event.task))
            return
        name, note = printable(event.name), printable(event.note)
        rate = f"{_share(event)}  {_rate(event.rate)}".rstrip()
        if known is None:
            known = self._tasks[event.task] = self._bars.add_task(name, total=event.total, rate=rate, note=note)
        self._bars.update(known, description=name, total=event.total, completed=event.done, rate=rate, note=note)


def _share(event: Event) -> str:
    return f"{event.done:,.0f}" if event.total is None else f"{event.done / max(event.total, 1e-9):.0%}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s" if rate else ""


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
