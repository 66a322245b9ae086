"""A lock against two writers in one run directory. A lock whose owner is gone is taken over.

On a local disk the lock is the operating system's (`flock` on the file `run.lock`), held for as long as the process
lives: it cannot be stale, and of two that want it one gets it. The stamp in the file says who holds it, for messages
and for other machines that see the same disk. Elsewhere, as on an object store, the file is a lease: see `lease.py`.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from unshaken.core.errors import RunError
from unshaken.store.address import check_writable
from unshaken.store.lease import RENEW_SECONDS, read_file, take
from unshaken.store.owner import (
    Owner,
    busy,
    forget,
    hold,
    is_here,
    is_recent,
    is_running,
    make_stamp,
    name_of,
    read_stamp,
)
from unshaken.store.run_dir import RunDir

if sys.platform != "win32":  # where there is no flock, the lease has to do
    import fcntl

NAME = "run.lock"


class Lock(Protocol):
    """A held lock."""

    def renew(self) -> None:
        """Say that the holder lives; call it now and then."""


class NoLock:
    """For a directory that several processes write to on purpose."""

    def renew(self) -> None:
        """Nothing is held."""


NO_LOCK = NoLock()


class FileLock:
    """A lock of the operating system.

    Args:
        file: descriptor of the lock file.
        run: what is locked.
    """

    def __init__(self, file: int, run: RunDir) -> None:
        self.run, self.token, self._file, self._last = run, uuid.uuid4().hex, file, 0.0
        self.renew()
        hold(self.token)

    def renew(self) -> None:
        """Write a new time stamp, at most every 20 seconds."""
        if time.time() - self._last <= RENEW_SECONDS:
            return
        self._last = time.time()
        data = make_stamp(self.token, self._last)
        with self.run.explained():
            os.pwrite(self._file, data, 0)
            os.ftruncate(self._file, len(data))


@contextmanager
def locked(run: RunDir) -> Iterator[Lock]:
    """Hold the run directory.

    Raises:
        RunError: another live process writes there, or nothing can be written there.
    """
    check_writable(run.fs, str(run))
    with _held_file(run) if run.local and sys.platform != "win32" else _held_lease(run) as lock:
        yield lock


def check_unlocked(run: RunDir) -> None:
    """Refuse a directory that a writer holds alone, for a process that shares it with others.

    Raises:
        RunError: a live process holds it.
    """
    owner = _owner(run)
    if owner and (is_running(owner) if is_here(owner) else is_recent(owner)):
        raise RunError(f"{run}: {name_of(owner)} is writing here without --share; wait for it, or choose another --out")


def check_unshared(run: RunDir, leases: str) -> None:
    """Refuse a directory that processes share, for a writer that holds it alone.

    Args:
        run: the directory.
        leases: folder of the leases in it.

    Raises:
        RunError: a live process holds a lease.
    """
    for file in run.names(leases):
        owner = read_stamp(read_file(run, (leases, file)))
        if is_recent(owner) and (not is_here(owner) or is_running(owner)):
            raise RunError(f"{run}: {name_of(owner)} works here with --share; add --share, or choose another --out")


@contextmanager
def _held_file(run: RunDir) -> Iterator[Lock]:
    file = _open_exclusively(run)
    try:
        owner = _owner(run)
        if _is_held(owner):
            raise busy(run, owner)
        lock = FileLock(file, run)
        try:
            yield lock
        finally:
            forget(lock.token)
            run.remove(NAME)  # before the file is let go, so that nobody locks a file that is about to vanish
    finally:
        os.close(file)


@contextmanager
def _held_lease(run: RunDir) -> Iterator[Lock]:
    lease = take(run, NAME)
    if lease is None:
        raise busy(run, _owner(run))
    lease.keep()
    try:
        yield lease
    finally:
        lease.release()


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
                raise busy(run, _owner(run)) from None
        except OSError:  # a file system without locks: the stamp has to do
            return file
        os.close(file)  # its holder removed it while this process opened it: try the new one


def _is_at(file: int, path: str) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _owner(run: RunDir) -> Owner:
    return read_stamp(read_file(run, (NAME,)))


def _is_held(owner: Owner) -> bool:
    """Whether the stamp is of a writer that lives, now that the operating system's lock is held.

    A stamp of this machine with a token is of a process that has ended, whatever has its number now.
    """
    if is_here(owner):
        return "token" not in owner and is_running(owner)
    return is_recent(owner)
