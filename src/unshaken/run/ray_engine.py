"""The Ray executor: shards of a run on the workers of a Ray cluster, each with a copy of the model and the data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.extras import need
from unshaken.core.progress import Task
from unshaken.run.config import RunConfig, check_same
from unshaken.run.shard import Finished, Job, run_shard

SECONDS = 5.0
"""Between two renewals of the run's lock, at most."""


def load_ray() -> ModuleType:
    """The package ray, without its usage reports.

    Raises:
        MissingExtra: it is absent.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user says so
    return need("ray", "ray", "ray", "--engine ray")


def run_on_ray(job: Job, finished: Mapping[int, Finished], progress: Task, alive: Callable[[], None]) -> None:
    """Compute every shard that is not finished, one worker for each processor (or GPU, where the run uses one).

    The cluster is the one that `ray.init` finds: that of this process, of `RAY_ADDRESS`, or of this machine; otherwise
    one is started on this machine and stopped at the end. Workers must see the same files at the same paths.

    Args:
        job: the run; `job.remake` makes it anew on a worker.
        finished: for each shard, its conditions whose rows are there.
        progress: advanced as shards are finished.
        alive: called every few seconds, to renew the run's lock.

    Raises:
        UnshakenError: what a worker raised, or a worker has died.
    """
    wanted = job.weights()
    left = list[tuple[int, float]]()
    for shard in range(job.config.shards):
        done, samples = {c for c, _ in finished.get(shard, ())} & wanted.keys(), len(job.config.shard_ids(shard))
        progress.advance(samples * sum(wanted[c] for c in done))
        if done < wanted.keys():
            left.append((shard, samples * sum(w for c, w in wanted.items() if c not in done)))
    if not left:
        return
    ray = load_ray()
    own = not ray.is_initialized()
    if own:
        ray.init(log_to_driver=False, logging_level="error")
    try:
        _spread(ray, job, left, finished, progress, alive)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UnshakenError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())[:200]
        raise RunError(
            f"{job.run}: a Ray worker failed ({text}); what is finished is kept: run the same command with --resume"
        ) from None
    finally:
        if own:
            ray.shutdown()


def _spread(
    ray: Any,
    job: Job,
    left: list[tuple[int, float]],
    finished: Mapping[int, Finished],
    progress: Task,
    alive: Callable[[], None],
) -> None:
    """Give each free worker the next shard."""
    gpu = job.config.device.startswith("cuda")
    count = min(len(left), max(1, int(ray.cluster_resources().get("GPU" if gpu else "CPU", 1))))
    kind = ray.remote(Worker).options(num_cpus=1, num_gpus=1 if gpu else 0)
    workers = [kind.remote(job.remake, job.config, os.getcwd(), sys.path) for _ in range(count)]
    waiting, running = left[::-1], dict[Any, tuple[Any, float]]()
    while waiting or running:
        while workers and waiting:
            worker, (shard, weight) = workers.pop(), waiting.pop()
            running[worker.run.remote(shard, finished.get(shard, set()))] = worker, weight
        done, _ = ray.wait(list(running), timeout=SECONDS)
        alive()
        for future in done:
            worker, weight = running.pop(future)
            ray.get(future)
            progress.advance(weight)
            workers.append(worker)


class Worker:
    """One process of the cluster, with the run made anew.

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
        """Write the rows of one shard that are not there yet."""
        if self._job is None:
            os.chdir(self._folder)
            sys.path.extend(p for p in self._path if p not in sys.path)
            job = self._remake()
            check_same(job.run, self._config, job.config)
            self._job = job
        run_shard(self._job, shard, finished)
