"""`OnRay`: computes shards on the workers of a Ray cluster, each with a copy of the model and the data."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Self

from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.progress import Task
from unshaken.run.executor import weight_left
from unshaken.run.ray_package import load_ray
from unshaken.run.shard import Finished, Job
from unshaken.run.worker import Worker

SECONDS = 5.0
"""That `wait` takes at most."""
MOST_DEATHS = 3
"""Times that Ray starts a worker again, and gives it the same shard again."""


class OnRay:
    """See `Executor`. One worker for each processor, or GPU, where the run uses one; Ray replaces one that ends.

    The cluster is the one that `ray.init` finds: that of this process, of `RAY_ADDRESS`, or of this machine; otherwise
    one is started on this machine and stopped at the end. Workers must see the same files at the same paths.

    Args:
        job: the run; `job.remake` makes it anew on a worker.
        progress: advanced shard by shard.
    """

    def __init__(self, job: Job, progress: Task) -> None:
        self._job, self._progress, self._ray = job, progress, load_ray()
        self._own = not self._ray.is_initialized()
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int, Finished]] = {}

    def __enter__(self) -> Self:
        if self._own:
            self._ray.init(log_to_driver=False, logging_level="error")
        gpu = self._job.config.device.startswith("cuda")
        self._count = max(1, int(self._ray.cluster_resources().get("GPU" if gpu else "CPU", 1)))
        self._kind = self._ray.remote(Worker).options(
            num_cpus=1, num_gpus=1 if gpu else 0, max_restarts=MOST_DEATHS, max_task_retries=MOST_DEATHS
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *(worker for worker, _, _ in self._busy.values())]:
            self._ray.kill(worker)
        if self._own:
            self._ray.shutdown()

    def free(self) -> int:
        """Workers without a shard."""
        return self._count - len(self._busy)

    def begin(self, shard: int, finished: Finished) -> None:
        """Give a shard to a worker."""
        job = self._job
        worker = self._idle.pop() if self._idle else self._kind.remote(job.remake, job.config, os.getcwd(), sys.path)
        self._busy[worker.run.remote(shard, finished)] = worker, shard, finished

    def wait(self) -> list[int]:
        """The shards that were finished.

        Raises:
            UnshakenError: what a worker raised.
            RunError: a worker ended too often.
        """
        done = []
        ready, _ = self._ray.wait(list(self._busy), timeout=SECONDS)
        for future in ready:
            worker, shard, finished = self._busy.pop(future)
            self._fetch(future)
            self._idle.append(worker)
            self._progress.advance(weight_left(self._job, shard, finished))
            done.append(shard)
        return done

    def _fetch(self, future: Any) -> None:
        try:
            self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UnshakenError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            text = " ".join(str(error).split())[:200]
            raise RunError(
                f"{self._job.run}: a Ray worker failed ({text}); what is finished is kept: run the same command with "
                "--resume"
            ) from None
