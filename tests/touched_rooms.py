"""A pytest plugin: of the tests marked `long`, those of the rooms that a change touches; without a change all.

    UNSHAKEN_SINCE=COMMIT python -m pytest -p tests.touched_rooms

A change is what differs from that commit. A room is the folder below `src/unshaken` or `tests` in which a file lies;
rows of papers belong to `papers`. Tests in `tests/devices` belong to the room that their file is named after.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALL_ROOMS = {path.name for path in (ROOT / "src" / "unshaken").iterdir() if path.is_dir()}
SHOWN_BY = {"scripts": {"report"}, "papers": {"harden"}, "serve": {"report"}}
"""Folder of tests to rooms, other than its own, whose changes its long tests are about."""
UNDER_ALL = {"core", "models", "devices"}
"""Rooms that decide what every method does on a device."""


def rooms_of(files: Iterable[str]) -> set[str]:
    """The rooms that files lie in, by their paths in the repository."""
    rooms = set[str]()
    for file in files:
        top, *folders = Path(file).parts
        if top == "src" and folders[0] == "unshaken_papers":
            rooms.add("papers")
        elif top == "src" and len(folders) > 2:
            rooms.add(folders[1])
        elif top in ("tests", "scripts"):
            rooms.add(top if top == "scripts" else folders[0].removesuffix(".py"))
    return rooms


def is_touched(test: str, rooms: set[str]) -> bool:
    """Whether a long test, by its file's path in the repository, is of one of the rooms of a change."""
    folder, *inner = Path(test).parts[1:]
    if folder == "devices":
        own = {word for word in Path(inner[-1]).stem.split("_") if word in ALL_ROOMS}
        return bool(rooms & (UNDER_ALL | own) if own else rooms)
    if folder.endswith(".py") or folder == "battery":  # of no room or of all
        return bool(rooms)
    return bool(rooms & {folder, *SHOWN_BY.get(folder, ())})


def touched_rooms() -> set[str] | None:
    """The rooms of what differs from the commit `UNSHAKEN_SINCE`; None where none is given, so that all count."""
    if not (since := os.environ.get("UNSHAKEN_SINCE")):
        return None
    command = ["git", "diff", "--name-only", since]
    return rooms_of(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def leave_out(config: pytest.Config, items: list[pytest.Item], others: Iterable[pytest.Item]) -> None:
    """Deselect tests."""
    gone = set(others)
    config.hook.pytest_deselected(items=list(gone))
    items[:] = [item for item in items if item not in gone]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests of other rooms."""
    if (rooms := touched_rooms()) is not None:
        long = (item for item in items if item.get_closest_marker("long"))
        leave_out(config, items, (i for i in long if not is_touched(i.path.relative_to(ROOT).as_posix(), rooms)))
