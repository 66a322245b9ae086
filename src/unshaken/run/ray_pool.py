"""`RayPool`: the workers of a Ray cluster, which do units of a work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from unshaken.core.consent import words
from unshaken.core.errors import RunError, UnshakenError
from unshaken.run.engine import load_ray
from unshaken.run.process_pool import Unit, Work, Worker

SECONDS = 5.0
"""That `wait` takes at most."""
MOST_DEATHS = 3
"""Times that Ray starts a worker again, and gives it the same unit again."""


class RayPool:
    """See `Pool`. One worker for each processor, or each GPU.

    The cluster is the one that `ray.init` finds: that of this process, of `RAY_ADDRESS`, or of this machine; otherwise
    one is started on this machine and stopped at the end. Workers must see the same files at the same paths.

    Args:
        place: where the work writes, for messages.
        remake: makes the work on each worker.
        gpu: whether each worker uses a GPU.
    """

    def __init__(self, place: str, remake: Callable[[], Work], *, gpu: bool = False) -> None:
        self._place, self._remake, self._gpu, self._ray = place, remake, gpu, load_ray()
        self._own = not self._ray.is_initialized()
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Unit]] = {}

    def __enter__(self) -> Self:
        if self._own:
            try:
                self._ray.init(log_to_driver=False, logging_level="error")
            except Exception as error:  # Ray raises plain ones where a node does not start
                self._ray.shutdown()
                raise self._failed("Ray could not be started", error) from None
        self._count = max(1, int(self._ray.cluster_resources().get("GPU" if self._gpu else "CPU", 1)))
        self._kind = self._ray.remote(Worker).options(
            num_cpus=1, num_gpus=int(self._gpu), max_restarts=MOST_DEATHS, max_task_retries=MOST_DEATHS
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            self._ray.kill(worker)
        if self._own:
            self._ray.shutdown()

    def free(self) -> int:
        """Workers without a unit."""
        return self._count - len(self._busy)

    def begin(self, unit: Unit) -> None:
        """Give a unit to a worker."""
        worker = self._idle.pop() if self._idle else self._kind.remote(self._remake, os.getcwd(), sys.path, words())
        self._busy[worker.run.remote(unit)] = worker, unit

    def wait(self) -> list[Unit]:
        """The units that were finished.

        Raises:
            UnshakenError: what a worker raised.
            RunError: a worker ended too often.
        """
        done = []
        ready, _ = self._ray.wait(list(self._busy), timeout=SECONDS)
        for future in ready:
            worker, unit = self._busy.pop(future)
            self._fetch(future)
            self._idle.append(worker)
            done.append(unit)
        return done

    def _fetch(self, future: Any) -> None:
        try:
            self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UnshakenError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise self._failed("a Ray worker failed", error) from None

    def _failed(self, what: str, error: Exception) -> RunError:
        why = " ".join(str(error).split())[:200]
        return RunError(f"{self._place}: {what} ({why}); what is finished is kept: run the same command with --resume")
