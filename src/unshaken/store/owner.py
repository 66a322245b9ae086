"""The holder of a lock or a lease: the stamp in its file, and whether the process that wrote it still lives."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping

from unshaken.core.documents import parse_json
from unshaken.core.errors import Busy, RunError

STALE_SECONDS = 600.0
"""A stamp that has not been renewed for so long is of nobody any more."""

_tokens: set[str] = set()
"""Tokens of the locks that this process holds."""

Owner = Mapping[str, object]
"""A stamp that was read: `host`, `pid`, `started`, `time`, `token`; empty where it cannot be read."""


def make_stamp(token: str, now: float | None = None) -> bytes:
    """A stamp of this process.

    Args:
        token: of what it holds; see `hold`.
        now: seconds since the epoch; None for the system's clock.
    """
    pid = os.getpid()
    owner = {"host": socket.gethostname(), "pid": pid, "started": _start_of(pid)}
    return json.dumps({**owner, "time": time.time() if now is None else now, "token": token}).encode()


def read_stamp(data: bytes | None) -> Owner:
    """The owner that a stamp names."""
    try:
        found = parse_json(data or b"", "stamp", RunError)
    except RunError:
        return {}
    return found if isinstance(found, dict) else {}


def hold(token: str) -> None:
    """Remember that this process holds what has this token."""
    _tokens.add(token)


def forget(token: str) -> None:
    """This process no longer holds it."""
    _tokens.discard(token)


def is_here(owner: Owner) -> bool:
    """Whether the owner is a process of this machine."""
    return owner.get("host") == socket.gethostname() and isinstance(owner.get("pid"), int)


def is_recent(owner: Owner, now: float | None = None) -> bool:
    """Whether a stamp was renewed not long ago."""
    written = owner.get("time")
    now = time.time() if now is None else now
    return isinstance(written, int | float) and now - written < STALE_SECONDS


def is_running(owner: Owner) -> bool:
    """Whether a process of this machine lives that wrote a stamp, and not another one that has its number now."""
    pid = owner.get("pid")
    if not isinstance(pid, int):
        return False
    if pid == os.getpid():
        return owner.get("token") in _tokens
    started = owner.get("started")
    if started is not None and started != _start_of(pid):
        return False
    if sys.platform == "win32":  # there os.kill would interrupt the process
        return is_recent(owner)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def busy(run: object, owner: Owner) -> Busy:
    """The error that tells of another holder.

    Args:
        run: the directory.
        owner: who holds it.
    """
    return Busy(f"{run}: {name_of(owner)} is writing here; wait for it, or choose another --out")


def name_of(owner: Owner) -> str:
    """An owner in words, for messages."""
    return f"process {owner['pid']} on {owner.get('host')}" if "pid" in owner else "another process"


def _start_of(pid: int) -> int | None:
    """When a process of this machine started, in ticks since the machine did; None where nothing tells.

    None too of one that has ended and whose parent has not asked for its exit code yet: it still takes signals.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
