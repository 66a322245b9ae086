"""`OnPool`: computes shards by the processes of a pool, each with a copy of the model and the data."""

from __future__ import annotations

from collections.abc import Callable

from unshaken.core.errors import RunError
from unshaken.core.progress import Task
from unshaken.run.executor import weight_left
from unshaken.run.pool import Pool
from unshaken.run.shard import Finished, Job, run_shard
from unshaken.run.worker import Unit, Work
from unshaken.store.config import RunConfig, check_same


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
