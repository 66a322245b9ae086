"""`compute`: all shards of a run, by an executor: this process, several of this machine, or a Ray cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from unshaken.core.errors import RunError
from unshaken.core.numbers import shorten
from unshaken.core.progress import Task
from unshaken.run.pool import Pool
from unshaken.run.process_pool import Unit, Work
from unshaken.run.shard import Finished, Job, run_shard
from unshaken.store.config import RunConfig, check_same
from unshaken.store.lease import Lease, take

LEASES = "leases"
"""Folder of the shards' leases, where a run is shared."""
POLL_SECONDS = 5.0
"""Between two looks at shards that other processes hold."""


class Executor(Protocol):
    """Where shards are computed."""

    def free(self) -> int:
        """The number of shards that it could begin now."""

    def begin(self, shard: int, finished: Finished) -> None:
        """Begin with a shard.

        Args:
            shard: its number.
            finished: conditions whose rows are there.
        """

    def wait(self) -> list[int]:
        """The shards that have been finished, after some seconds at most.

        Raises:
            UnshakenError: what computing a shard raised, or it could not be computed.
        """


def compute(
    job: Job,
    executor: Executor,
    finished: Finished,
    progress: Task,
    leases: dict[int, Lease],
    alive: Callable[[], None],
) -> None:
    """Compute every shard of the run, or of its part, that is not finished.

    Args:
        job: the run. Where it is shared with other processes, each shard is done under a lease of its own.
        executor: what computes shards.
        finished: all conditions and shards whose rows are there.
        progress: advanced for shards that are finished already; the executor does it for the others.
        leases: filled with those that are held.
        alive: called now and then, to renew locks and leases.
    """
    wanted, waiting = job.weights(), deque(job.config.own_shards)
    of: dict[int, Finished] = {}
    for condition, shard in finished:
        of.setdefault(shard, set()).add((condition, shard))
    running = set[int]()
    while waiting or running:
        held_by_others = 0
        while executor.free() and held_by_others < len(waiting):
            shard, done = waiting.popleft(), None
            if not job.shared or _is_whole(job, shard, of.get(shard, set())):
                done = of.get(shard, set())
            elif (lease := take(job.run, LEASES, f"shard-{shard:05d}")) is None:
                waiting.append(shard)
                held_by_others += 1
                continue
            else:  # another may have finished it just before
                lease.keep()
                leases[shard], done = lease, job.finished_of(shard)
            if _is_whole(job, shard, done):
                progress.advance(sum(wanted.values()) * len(job.config.shard_ids(shard)))
                _release(leases, shard)
                continue
            executor.begin(shard, done)
            running.add(shard)
        if running:
            for shard in executor.wait():
                running.discard(shard)
                _release(leases, shard)
        elif waiting:
            time.sleep(POLL_SECONDS)
        alive()


def weight_left(job: Job, shard: int, finished: Finished) -> float:
    """The progress that a shard still brings, without what is finished of it."""
    done = {condition for condition, _ in finished}
    return len(job.config.shard_ids(shard)) * sum(w for c, w in job.weights().items() if c not in done)


def _is_whole(job: Job, shard: int, finished: Finished) -> bool:
    return job.weights().keys() <= {condition for condition, _ in finished}


def _release(leases: dict[int, Lease], shard: int) -> None:
    if (lease := leases.pop(shard, None)) is not None:
        lease.release()


class InProcess:
    """See `Executor`.

    Args:
        job: the run.
        progress: advanced condition by condition.
        alive: called now and then while a shard is computed.
    """

    def __init__(self, job: Job, progress: Task, alive: Callable[[], None]) -> None:
        self._job, self._progress, self._alive = job, progress, alive
        self._done: list[int] = []

    def free(self) -> int:
        """One, unless a finished shard was not fetched yet."""
        return 0 if self._done else 1

    def begin(self, shard: int, finished: Finished) -> None:
        """Compute a shard."""
        run_shard(self._job, shard, finished, self._progress, self._alive)
        self._done.append(shard)

    def wait(self) -> list[int]:
        """The shard that was computed."""
        done, self._done = self._done, []
        return done


class OnPool:
    """See `Executor`.

    Args:
        job: the run.
        pool: made with `shards_of`.
        progress: advanced shard by shard.
    """

    def __init__(self, job: Job, pool: Pool, progress: Task) -> None:
        self._job, self._pool, self._progress = job, pool, progress
        self._finished: dict[int, Finished] = {}

    def free(self) -> int:
        """Processes without a shard."""
        return self._pool.free()

    def begin(self, shard: int, finished: Finished) -> None:
        """Give a shard to a process."""
        self._finished[shard] = finished
        self._progress.advance(weight_left(self._job, shard, set()) - weight_left(self._job, shard, finished))
        self._pool.begin((shard, frozenset(finished)))

    def wait(self) -> list[int]:
        """The shards that were finished."""
        done = [unit[0] for unit in self._pool.wait() if isinstance(unit, tuple)]
        for shard in done:
            self._progress.advance(weight_left(self._job, shard, self._finished.pop(shard)))
        return done


def name_shard(job: Job, unit: Unit) -> str:
    """A unit of `shards_of` in words: its shard, counted as its files are, and the samples of it.

    Args:
        job: the run.
        unit: of its work.
    """
    shard = unit[0] if isinstance(unit, tuple) else 0
    ids = job.config.shard_ids(shard)
    return f"shard {shard} ({len(ids):,} samples, {shorten(ids[0])} to {shorten(ids[-1])})"


def shards_of(remake: Callable[[], Job], config: RunConfig) -> Work:
    """A run made anew in another process: a function that computes a shard.

    Args:
        remake: makes the job.
        config: what must decide the rows here too.

    Raises:
        RunError: the run made here has other settings, such as another version of the data.
    """
    job = remake()
    check_same(job.run, config, job.config)

    def compute(unit: Unit) -> None:
        if not isinstance(unit, tuple):
            raise RunError(f"{job.run}: {unit!r} is no shard")
        shard, finished = unit
        run_shard(job, shard, set(finished))

    return compute
