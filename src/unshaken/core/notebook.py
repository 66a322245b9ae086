"""Results and progress in a notebook: pieces of HTML that need nothing but themselves."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unshaken.core.progress import Event

_STYLE = (
    "<style>.unshaken{border:1px solid #8885;border-radius:8px;padding:.6rem 1rem;max-width:60rem;max-height:36rem;"
    "overflow:auto;overflow-wrap:anywhere;line-height:1.4}.unshaken h1{font-size:1.15rem;margin:.2rem 0}"
    ".unshaken p{margin:.3rem 0}.unshaken .bad{color:#b3361b;font-weight:600}.unshaken dl{margin:.4rem 0}"
    ".unshaken .facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}"
    ".unshaken dd{margin:0}.unshaken .soft,.unshaken .under,.unshaken caption,.unshaken dt{opacity:.75}"
    ".unshaken .tiles{display:flex;flex-wrap:wrap;gap:.5rem 2rem}.unshaken .big{font-size:1.4rem;font-weight:700}"
    ".unshaken table{border-collapse:collapse;margin:.4rem 0}.unshaken caption{text-align:left}"
    ".unshaken td,.unshaken th{padding:.15rem .6rem .15rem 0;text-align:left;background:none}"
    ".unshaken .num{text-align:right}.unshaken small{display:block;opacity:.75}.unshaken .hidden{display:none}</style>"
)
LONGEST_VALUE = 300
"""Characters of a fact that are shown."""
INTERVAL = 0.25
"""Seconds between two drawings of a progress bar."""


def card(inner: str) -> str:
    """A box around a piece of HTML, with the style that it needs; in a dark notebook it is dark.

    Args:
        inner: escaped already.
    """
    return f'{_STYLE}<div class="unshaken">{inner}</div>'


def facts_card(title: str, facts: Mapping[str, object], note: str = "") -> str:
    """A title and named values.

    >>> "<dt>a</dt><dd>&lt;b&gt;</dd>" in facts_card("Done", {"a": "<b>"})
    True
    """
    rows = "".join(f"<dt>{_shown(name)}</dt><dd>{_shown(value)}</dd>" for name, value in facts.items())
    more = f'<p class="soft">{_shown(note)}</p>' if note else ""
    return card(f'<h1>{_shown(title)}</h1><dl class="facts">{rows}</dl>{more}')


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return html.escape(text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "...")


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
    note = f" {_shown(event.note)}" if event.note else ""
    return f"<div>{_shown(event.name)} <progress{share}></progress> {done}{left}{note}</div>"


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
