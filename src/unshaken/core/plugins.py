"""Entry points of installed packages, read once a process: looking through all of them takes milliseconds each time."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points


@cache
def plugins(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of installed packages under a group such as `unshaken.methods`."""
    return tuple(entry_points(group=group))
