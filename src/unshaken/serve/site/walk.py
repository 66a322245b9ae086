"""`find_runs`: every run directory below a folder, with a mark that changes when its records do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unshaken.core.errors import RunError
from unshaken.report.gates.kept import NAME as GATES
from unshaken.serve.site.records import KINDS, SUMMARY
from unshaken.store.run_dir import RunDir

DEEPEST = 8
"""Folders between a root and a run."""
INSIDE = frozenset({"rows", "examples", "state", "journal", "cache"})
"""Folders of a run that hold no other run."""
_MARKED = (*KINDS, SUMMARY, GATES, "report.html")
_TIMES = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run directory that was found.

    Args:
        place: its path or address.
        name: its place below the root.
        record: the file that makes it a run.
        mark: changes when one of its records does.
        modified: when its records last changed, in seconds since 1970; 0 where the file system does not say.
    """

    place: str
    name: str
    record: str
    mark: str
    modified: float


def find_runs(root: str) -> Iterator[FoundRun]:
    """Every run directory below a folder, itself included; links to other folders are not followed.

    Args:
        root: a local folder or an fsspec address.

    Raises:
        RunError: the folder is absent or cannot be read.
    """
    top = RunDir(root)
    if not top.fs.isdir(top.root):
        raise RunError(f"{top}: there is no such folder; name one that holds runs")
    waiting = [("", 0)]
    while waiting:
        name, depth = waiting.pop()
        path = f"{top.root}/{name}" if name else top.root
        try:
            files, folders = _local(path) if top.local else _remote(top.fs, path)
        except OSError:  # it went away, or may not be read
            continue
        record = next((r for r in KINDS if r in files), None)
        if record is not None:
            marks = [(f, *files[f]) for f in _MARKED if f in files]
            mark = ";".join(f"{f}:{stamp}" for f, stamp, _ in marks)
            place = f"{root.rstrip('/')}/{name}" if name else root
            yield FoundRun(place, name or ".", record, mark, max(seconds for *_, seconds in marks))
        if depth < DEEPEST:
            inside = INSIDE if record is not None else frozenset()
            deeper = [f for f in folders if not f.startswith(".") and f not in inside]
            waiting += [(f"{name}/{f}" if name else f, depth + 1) for f in sorted(deeper, reverse=True)]


def _local(path: str) -> tuple[dict[str, tuple[str, float]], list[str]]:
    """The marked files of a folder with their stamps and times, and its folders."""
    files, folders = {}, []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.name in _MARKED and entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                files[entry.name] = f"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}", stat.st_mtime
    return files, folders


def _remote(fs: Any, path: str) -> tuple[dict[str, tuple[str, float]], list[str]]:
    files, folders = {}, []
    fs.invalidate_cache(path)
    for entry in fs.ls(path, detail=True):
        name = entry["name"].rstrip("/").rpartition("/")[2]
        if entry["type"] == "directory":
            folders.append(name)
        elif name in _MARKED:
            stamps = [entry[k] for k in _TIMES if entry.get(k) is not None]
            times = [float(s.timestamp()) for s in stamps if hasattr(s, "timestamp")]
            files[name] = f"{stamps[:1]}-{entry.get('size')}", times[0] if times else 0.0
    return files, folders
