"""Words and numbers that the pages of runs share."""

from __future__ import annotations

import time

from unshaken.serve.site.index import RefreshReport
from unshaken.serve.site.records import KINDS


def kinds_of() -> list[str]:
    """Every kind of run that a list may hold."""
    return sorted({*KINDS.values(), "attack", "certify", "detect"})


def show_time(seconds: float) -> str:
    """A time as text, in UTC; a dash where it is not known.

    >>> show_time(0), show_time(86400.0)
    ('–', '1970-01-02 00:00')
    """
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if 0 < seconds < 2**40 else "–"


def show_duration(seconds: float) -> str:
    """A duration as text.

    >>> show_duration(4.2), show_duration(125)
    ('4 s', '2 min 5 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def describe_refresh(last: RefreshReport) -> str:
    """What the last look at the directories found."""
    return " ".join((f"{last.found:,} runs found in the folders.", *(f"{line}." for line in last.troubles)))
