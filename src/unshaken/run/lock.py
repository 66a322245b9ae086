"""A lock against two writers in one run directory. A lock whose owner is gone is taken over."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from unshaken.core.errors import RunError
from unshaken.run.store import RunDir

NAME = "run.lock"
STALE_SECONDS = 600.0
"""A lock of another machine that has not been renewed for so long is stale."""

_held: set[str] = set()
"""Places locked by this process: a lock with its number that is not among them is left from one that is gone."""


class Lock:
    """A held lock; call `renew` now and then."""

    def __init__(self, run: RunDir) -> None:
        self.run, self._last = run, 0.0

    def renew(self) -> None:
        """Write a new time stamp, at most every 20 seconds."""
        if time.time() - self._last > 20:
            self._last = time.time()
            self.run.write(_stamp(), NAME)


@contextmanager
def locked(run: RunDir) -> Iterator[Lock]:
    """Hold the run directory.

    Raises:
        RunError: another live process writes there.
    """
    if not _created(run):
        owner = _owner(run)
        if _alive(owner, run):
            raise RunError(
                f"{run}: process {owner.get('pid')} on {owner.get('host')} is writing here; wait for it, or choose "
                "another --out"
            )
        run.remove(NAME)
        if not _created(run):
            raise RunError(f"{run}: another process took over the stale lock just now; choose another --out")
    lock = Lock(run)
    _held.add(run.at(NAME))
    try:
        yield lock
    finally:
        _held.discard(run.at(NAME))
        run.remove(NAME)


def _created(run: RunDir) -> bool:
    """Whether this call made the lock file; exclusive on local disks, by look and write elsewhere."""
    if not run.local:
        if run.exists(NAME):
            return False
        run.write(_stamp(), NAME)
        return True
    with run._explained():
        os.makedirs(run.root, exist_ok=True)
        try:
            file = os.open(run.at(NAME), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        with os.fdopen(file, "wb") as handle:
            handle.write(_stamp())
    return True


def _stamp() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}).encode()


def _owner(run: RunDir) -> dict[str, object]:
    try:
        owner = json.loads(run.read(NAME))
    except (RunError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _alive(owner: dict[str, object], run: RunDir) -> bool:
    pid, stamp = owner.get("pid"), owner.get("time")
    if owner.get("host") == socket.gethostname() and isinstance(pid, int):
        if pid == os.getpid():
            return run.at(NAME) in _held
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    return isinstance(stamp, int | float) and time.time() - stamp < STALE_SECONDS
