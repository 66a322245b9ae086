"""A lock against two writers in one run directory. A lock whose owner is gone is taken over.

On a local disk the lock is the operating system's (`flock` on the file `run.lock`), held for as long as the process
lives: it cannot be stale, and of two that want it one gets it. The stamp in the file says who holds it, for messages
and for other machines that see the same disk. Object stores have no such lock: there the stamp is all, and two that
start within the same second may both get in.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from unshaken.core.documents import parse_json
from unshaken.core.errors import RunError
from unshaken.run.address import check_writable
from unshaken.run.store import RunDir

if sys.platform != "win32":  # where there is no flock, the stamp is all
    import fcntl

NAME = "run.lock"
STALE_SECONDS = 600.0
"""A lock of another machine that has not been renewed for so long is stale."""

_tokens: set[str] = set()
"""Of the locks that this process holds."""


class Lock:
    """A held lock; call `renew` now and then.

    Args:
        run: what is locked.
        file: descriptor of the lock file, on a local disk.
    """

    def __init__(self, run: RunDir, file: int | None) -> None:
        self.run, self._file, self._last, self._token = run, file, 0.0, uuid.uuid4().hex
        self.stamp()
        _tokens.add(self._token)

    def renew(self) -> None:
        """Write a new time stamp, at most every 20 seconds."""
        if time.time() - self._last > 20:
            self.stamp()

    def stamp(self) -> None:
        """Write who holds the lock, and when that was true."""
        self._last = time.time()
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _start_of(os.getpid()),
            "time": self._last,
            "token": self._token,
        }
        data = json.dumps(owner).encode()
        if self._file is None:
            self.run.write(data, NAME)
            return
        with self.run.explained():
            os.pwrite(self._file, data, 0)
            os.ftruncate(self._file, len(data))

    def forget(self) -> None:
        """This process no longer holds the lock."""
        _tokens.discard(self._token)

    def is_own(self) -> bool:
        """Whether the stamp that is there is this lock's."""
        return _owner(self.run).get("token") == self._token


@contextmanager
def locked(run: RunDir) -> Iterator[Lock]:
    """Hold the run directory.

    Raises:
        RunError: another live process writes there, or nothing can be written there.
    """
    check_writable(run.fs, str(run))
    with _held_file(run) if run.local and sys.platform != "win32" else _held_stamp(run) as lock:
        yield lock


@contextmanager
def _held_file(run: RunDir) -> Iterator[Lock]:
    file = _open_exclusively(run)
    try:
        _check_stamp(run, _owner(run), by_system=True)
        lock = Lock(run, file)
        try:
            yield lock
        finally:
            lock.forget()
            run.remove(NAME)  # before the file is let go, so that nobody locks a file that is about to vanish
    finally:
        os.close(file)


@contextmanager
def _held_stamp(run: RunDir) -> Iterator[Lock]:
    _check_stamp(run, _owner(run), by_system=False)
    lock = Lock(run, None)
    if not lock.is_own():  # another wrote its stamp just after
        raise RunError(f"{run}: another process began to write here just now; choose another --out")
    try:
        yield lock
    finally:
        lock.forget()
        if lock.is_own():
            run.remove(NAME)


def _open_exclusively(run: RunDir) -> int:
    """A descriptor of the lock file, which holds the operating system's lock on it."""
    path = run.at(NAME)
    while True:
        with run.explained():
            os.makedirs(run.root, exist_ok=True)
            file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
        except BlockingIOError:
            if _is_at(file, path):
                os.close(file)
                raise _busy(run, _owner(run)) from None
        except OSError:  # a file system without locks: the stamp has to do
            return file
        os.close(file)  # its holder removed it while this process opened it: try the new one


def _is_at(file: int, path: str) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _owner(run: RunDir) -> dict[str, object]:
    try:
        owner = parse_json(run.read(NAME), NAME, RunError)
    except RunError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _check_stamp(run: RunDir, owner: dict[str, object], *, by_system: bool) -> None:
    """Refuse where the stamp is of a writer that lives.

    Args:
        run: what is to be locked.
        owner: the stamp.
        by_system: whether the operating system's lock is held already: then a stamp of this machine with a token is
            of a process that has ended, whatever has its number now.

    Raises:
        RunError: it is.
    """
    pid, stamp = owner.get("pid"), owner.get("time")
    if owner.get("host") == socket.gethostname() and isinstance(pid, int):
        if not (by_system and "token" in owner) and _is_running(pid, owner):
            raise _busy(run, owner)
    elif isinstance(stamp, int | float) and time.time() - stamp < STALE_SECONDS:
        raise _busy(run, owner)


def _busy(run: RunDir, owner: dict[str, object]) -> RunError:
    who = f"process {owner['pid']} on {owner.get('host')}" if "pid" in owner else "another process"
    return RunError(f"{run}: {who} is writing here; wait for it, or choose another --out")


def _is_running(pid: int, owner: dict[str, object]) -> bool:
    """Whether the process lives that wrote a stamp, and not another one that has its number now."""
    if pid == os.getpid():
        return owner.get("token") in _tokens
    started = owner.get("started")
    if started is not None and started != _start_of(pid):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _start_of(pid: int) -> int | None:
    """When a process of this machine started, in ticks since the machine did; None where nothing tells."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
