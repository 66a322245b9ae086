"""`ProcessPool`: several processes of this machine, which do units of a work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

import torch

from unshaken.core.consent import allow_code, words
from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.user_code import refuse_exit

SECONDS = 5.0
"""That `wait` takes at most."""
MOST_DEATHS = 3
"""Processes that may end over the same unit."""


class ProcessPool:
    """See `Pool`.

    Args:
        place: where the work writes, for messages.
        remake: makes the work in each process.
        count: of processes.
        context: that makes processes; None for those that start a new interpreter.
        devices: such as `cuda:0` and `cuda:1`; one is the current device of each process, in equal shares. None: all
            processes begin with the first.
        name_unit: names a unit in messages.
    """

    def __init__(
        self, place: str, remake: Callable[[], Work], count: int, context: BaseContext | None = None,
        devices: Sequence[str] = (), name_unit: Callable[[Unit], str] = str,
    ) -> None:  # fmt: skip
        self._place, self._remake, self._count, self._devices = place, remake, count, devices
        self._name_unit = name_unit
        self._context = context or multiprocessing.get_context("spawn")
        self._idle: list[_Process] = []
        self._busy: dict[Connection, tuple[_Process, Unit]] = {}
        self._deaths: Counter[Unit] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in [*self._idle, *(process for process, _ in self._busy.values())]:
            process.stop()

    def free(self) -> int:
        """Processes without a unit."""
        return self._count - len(self._busy)

    def begin(self, unit: Unit) -> None:
        """Give a unit to a process."""
        while True:
            process = self._idle.pop() if self._idle else self._new()
            try:
                process.pipe.send(unit)
            except ConnectionError:  # it has ended while it waited for work
                process.stop()
                self._count_death(process, unit)
            else:
                self._busy[process.pipe] = process, unit
                return

    def _new(self) -> _Process:
        used = Counter(process.device for process in [*self._idle, *(process for process, _ in self._busy.values())])
        device = min(self._devices, key=used.__getitem__) if self._devices else None
        return _Process(self._remake, self._count, self._context, device)

    def wait(self) -> list[Unit]:
        """The units that were finished.

        Raises:
            UnshakenError: what a process raised.
            RunError: a unit ended its process several times.
        """
        done = []
        ready = wait(list(self._busy), timeout=SECONDS)
        for pipe in [one for one in self._busy if one in ready]:
            process, unit = self._busy.pop(pipe)
            try:
                answer = process.pipe.recv()
            except (EOFError, ConnectionError):
                process.stop()
                self._count_death(process, unit)
                self.begin(unit)
                continue
            self._idle.append(process)
            if isinstance(answer, UnshakenError):
                raise answer
            if answer is not None:
                raise RuntimeError(f"{unit}: {answer}")
            done.append(unit)
        return done

    def _count_death(self, process: _Process, unit: Unit) -> None:
        self._deaths[unit] += 1
        if self._deaths[unit] >= MOST_DEATHS:
            raise RunError(
                f"{self._place}: {MOST_DEATHS} processes ended over {self._name_unit(unit)} (the last with "
                f"{process.exit_code()}): {process.advice()}. What is finished is kept: run the same command with "
                "--resume"
            )


class _Process:
    """A process that waits for units."""

    def __init__(self, remake: Callable[[], Work], count: int, context: BaseContext, device: str | None) -> None:
        self.device = device
        self.pipe, there = context.Pipe()
        self._process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(Worker(remake, os.getcwd(), sys.path, words()), there, count, device), daemon=True
        )
        self._process.start()
        there.close()

    def exit_code(self) -> str:
        """How it ended, in words."""
        code = self._process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"code {code}"

    def advice(self) -> str:
        """Say how its end can be avoided."""
        if self._process.exitcode == -9:  # SIGKILL, a name that Windows does not have
            return "if memory ran out, take fewer processes"
        if self._process.exitcode == 0:
            return "code of the model, the data set or a plug-in ended them, such as os._exit: remove that call"
        return (
            "what it says stands above; it must be able to import the model and the data by name, and a script that "
            "starts processes needs the line if __name__ == '__main__':"
        )

    def stop(self) -> None:
        """End it, whatever it does."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()


def _work(worker: Worker, pipe: Connection, count: int, device: str | None) -> None:
    """Do the units that come through a pipe, until it is closed or the process at its other end is gone."""
    if device is not None:
        torch.get_device_module(device).set_device(torch.device(device))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        try:
            worker.run(unit)
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


Unit = Hashable
"""A part of a work that can be done alone, and twice without harm: what it writes it writes whole."""
Work = Callable[[Unit], None]


class Worker:
    """A worker of the pool, in its own process: it makes its work once and does units one by one.

    Args:
        remake: makes the work.
        folder: that relative paths start from.
        path: where modules are found.
        words: the user's own words in the call under way, which say what code may run; None outside any call.
    """

    def __init__(
        self, remake: Callable[[], Work], folder: str, path: list[str], words: tuple[str, ...] | None = None
    ) -> None:
        self._remake, self._folder, self._path, self._words = remake, folder, path, words
        self._work: Work | None = None

    def run(self, unit: Unit) -> None:
        """Do one unit."""
        with refuse_exit(interrupts=True), nullcontext() if self._words is None else allow_code(*self._words):
            if self._work is None:
                if os.path.isdir(self._folder):  # another machine need not have it
                    os.chdir(self._folder)
                sys.path.extend(p for p in self._path if p not in sys.path)
                self._work = self._remake()
            self._work(unit)
