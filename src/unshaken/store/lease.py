"""`take`: a lease, a file in a run directory that one process in the world holds at most.

The store must be able to write a file only where there is none, as a local disk (by a link), S3 (by `If-None-Match`),
Google Cloud and Azure are: of two that want a free lease one gets it. Elsewhere the stamp is read again, which leaves
a moment in which two may get in. Of a lease whose holder is gone, one other may take over: the one
that can write the file of the take-over, which is named after the old stamp, and then still finds that stamp. A thread
renews the stamp for as long as the lease is held; a holder that was held up for too long must stop: see `Lease.renew`.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable

from unshaken.core.errors import RunError
from unshaken.store.owner import STALE_SECONDS, forget, hold, is_here, is_recent, is_running, make_stamp, read_stamp
from unshaken.store.run_dir import RunDir

RENEW_SECONDS = 20.0

Clock = Callable[[], float]


def _now() -> float:
    return time.time()


class LeaseLost(RunError):
    """The lease was not renewed in time, and another process may hold it."""


class Lease:
    """A held lease; call `keep`, then `renew` now and then, to hear whether it was lost, and `release` at the end.

    Args:
        run: the run directory.
        file: of the lease, as the parts of its path.
        clock: seconds since the epoch.
    """

    def __init__(self, run: RunDir, file: tuple[str, ...], clock: Clock = _now) -> None:
        self.run, self.file, self.clock, self.token = run, file, clock, uuid.uuid4().hex
        self._renewed = clock()
        self._writing, self._over = threading.Lock(), threading.Event()
        self._lost: LeaseLost | None = None

    def keep(self) -> None:
        """Renew it from now on, by a thread, until it is released or lost."""
        threading.Thread(target=self._beat, name=f"lease {self.file[-1]}", daemon=True).start()

    def _beat(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                self.renew()
            except LeaseLost:
                return  # the holder hears it at its next `renew`
            except RunError:
                continue  # the store may answer next time; for how long it may not, `renew` decides

    @property
    def stamp(self) -> bytes:
        """The stamp that is written into the file now."""
        return make_stamp(self.token, self.clock())

    def renew(self) -> None:
        """Say that the holder lives, at most every 20 seconds.

        Raises:
            LeaseLost: this was due so long ago that others may have taken over, or they have.
        """
        with self._writing:
            idle = self.clock() - self._renewed
            if self._lost is None and not self._over.is_set() and idle > RENEW_SECONDS:
                if idle > STALE_SECONDS / 2 or not self.is_own():
                    self._lost = LeaseLost(
                        f"{self.run}: this process was held up for {idle:.0f} seconds, and another may have taken "
                        "over its work; run the same command with --resume"
                    )
                else:
                    self.run.write(self.stamp, *self.file)
                    self._renewed = self.clock()
            if self._lost is not None:
                raise self._lost

    def is_own(self) -> bool:
        """Whether the stamp that is there is this holder's."""
        return read_stamp(read_file(self.run, self.file)).get("token") == self.token

    def release(self) -> None:
        """Give it back."""
        self._over.set()
        with self._writing:  # not while the thread writes: the file would be there again
            forget(self.token)
            if self.is_own():
                self.run.remove(*self.file)


def take(run: RunDir, *file: str, clock: Clock = _now) -> Lease | None:
    """A lease; None where another holds it.

    Args:
        run: the run directory.
        file: of the lease, as the parts of its path.
        clock: seconds since the epoch; those of all machines agree to some minutes.
    """
    lease = Lease(run, file, clock)
    hold(lease.token)  # before anybody can read it
    if (run.create(lease.stamp, *file) and lease.is_own()) or _take_over(lease):
        return lease
    forget(lease.token)
    return None


def _take_over(lease: Lease) -> bool:
    """Take a lease over whose holder is gone; returns whether it was."""
    run, file, now = lease.run, lease.file, lease.clock()
    old = read_file(run, file)
    if old is None or _is_held(old, now):
        return False
    over = (*file[:-1], f"{file[-1]}.{hashlib.sha256(old).hexdigest()[:32]}")
    if not run.create(lease.stamp, *over):
        if (other := read_file(run, over)) is not None and not _is_held(other, now):
            run.remove(*over)  # who began to take it over is gone too: the next attempt may
        return False
    try:
        if read_file(run, file) != old:
            return False  # another took it over just before
        run.write(lease.stamp, *file)
        return lease.is_own()
    finally:
        run.remove(*over)


def read_file(run: RunDir, file: tuple[str, ...]) -> bytes | None:
    """The bytes of a lease's file; None where there is none."""
    try:
        return run.read(*file)
    except RunError:
        return None


def _is_held(stamp: bytes, now: float) -> bool:
    owner = read_stamp(stamp)
    return is_recent(owner, now) and (not is_here(owner) or is_running(owner))
