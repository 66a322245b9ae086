"""`Processes`: computes shards in several processes of this machine, each with a copy of the model and the data."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

import torch

from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.progress import Task
from unshaken.run.executor import weight_left
from unshaken.run.shard import Finished, Job
from unshaken.run.worker import Worker

SECONDS = 5.0
"""That `wait` takes at most."""
MOST_DEATHS = 3
"""Processes that may end while they compute the same shard."""


class Processes:
    """See `Executor`. A process that ends is replaced, and its shard computed again.

    Args:
        job: the run; `job.remake` makes it anew in each process.
        count: of processes.
        progress: advanced shard by shard.
        context: that makes processes; None for those that start a new interpreter.
    """

    def __init__(self, job: Job, count: int, progress: Task, context: BaseContext | None = None) -> None:
        if job.run.path.startswith("memory://"):
            raise RunError(f"{job.run}: other processes cannot see this memory; choose another --out or --engine local")
        self._job, self._count, self._progress = job, count, progress
        self._context = context or multiprocessing.get_context("spawn")
        self._idle: list[_Process] = []
        self._busy: dict[Connection, tuple[_Process, int, Finished]] = {}
        self._deaths: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in [*self._idle, *(process for process, _, _ in self._busy.values())]:
            process.stop()

    def free(self) -> int:
        """Processes without a shard."""
        return self._count - len(self._busy)

    def begin(self, shard: int, finished: Finished) -> None:
        """Give a shard to a process."""
        process = self._idle.pop() if self._idle else _Process(self._job, self._count, self._context)
        process.pipe.send((shard, finished))
        self._busy[process.pipe] = process, shard, finished

    def wait(self) -> list[int]:
        """The shards that were finished.

        Raises:
            UnshakenError: what a process raised.
            RunError: a shard ended its process several times.
        """
        done = []
        for pipe in self._ready():
            process, shard, finished = self._busy.pop(pipe)
            try:
                answer = pipe.recv()
            except (EOFError, ConnectionError):
                process.stop()
                self._died(process, shard)
                self.begin(shard, finished)
                continue
            self._idle.append(process)
            if isinstance(answer, UnshakenError):
                raise answer
            if answer is not None:
                raise RuntimeError(f"shard {shard}: {answer}")
            self._progress.advance(weight_left(self._job, shard, finished))
            done.append(shard)
        return done

    def _ready(self) -> Iterable[Any]:
        return wait(list(self._busy), timeout=SECONDS)

    def _died(self, process: _Process, shard: int) -> None:
        self._deaths[shard] += 1
        if self._deaths[shard] >= MOST_DEATHS:
            raise RunError(
                f"{self._job.run}: {MOST_DEATHS} processes ended while they computed shard {shard} (the last with "
                f"{process.exit_code()}); if memory ran out, take fewer processes. What is finished is kept: run the "
                "same command with --resume"
            )


class _Process:
    """A process that waits for shards."""

    def __init__(self, job: Job, count: int, context: BaseContext) -> None:
        self.pipe, there = context.Pipe()
        self._process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(job.remake, job.config, os.getcwd(), sys.path, there, count), daemon=True
        )
        self._process.start()
        there.close()

    def exit_code(self) -> str:
        """How it ended, in words."""
        code = self._process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"code {code}"

    def stop(self) -> None:
        """End it, whatever it does."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()


def _work(remake: Any, config: Any, folder: str, path: list[str], pipe: Connection, count: int) -> None:
    """Compute the shards that come through a pipe, until it is closed or the process at its other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    worker = Worker(remake, config, folder, path)
    while True:
        try:
            shard, finished = pipe.recv()
        except EOFError:
            return
        try:
            worker.run(shard, finished)
            answer: UnshakenError | str | None = None
        except UnshakenError as error:
            answer = error
        except Exception:
            answer = traceback.format_exc()
        pipe.send(answer)


def _follow_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
