"""`InProcess`: computes shards in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from unshaken.core.progress import Task
from unshaken.run.shard import Finished, Job, run_shard


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
