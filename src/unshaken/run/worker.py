"""`Worker`: a run made anew in another process, which computes shards of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from unshaken.run.config import RunConfig, check_same
from unshaken.run.shard import Finished, Job, run_shard


class Worker:
    """One process of an executor, with the run made anew.

    Args:
        remake: makes the job.
        config: what must decide the rows here too.
        folder: that relative paths start from.
        path: where modules are found.
    """

    def __init__(self, remake: Callable[[], Job], config: RunConfig, folder: str, path: list[str]) -> None:
        self._remake, self._config, self._folder, self._path = remake, config, folder, path
        self._job: Job | None = None

    def run(self, shard: int, finished: Finished) -> None:
        """Write the rows of one shard that are not there yet.

        Raises:
            RunError: the run made here has other settings, such as another version of the data.
        """
        if self._job is None:
            os.chdir(self._folder)
            sys.path.extend(p for p in self._path if p not in sys.path)
            job = self._remake()
            check_same(job.run, self._config, job.config)
            self._job = job
        run_shard(self._job, shard, finished)
