"""`Jobs`: runs that were started from a form, each a process of its own, with its progress and an end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.texts import printable
from unshaken.run import RunDir, read_config

MOST_WAITING = 20
"""Jobs that may wait."""
MOST_KEPT = 200
"""Finished jobs that are remembered."""
PATIENCE = 10.0
"""Seconds that an interrupted job has to save its work before it is killed."""
SHOWN = 4000
"""Characters of a job's last messages."""


class JobState(StrEnum):
    """How far a job came."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
SUCCESS = (0, 1, 3)
"""Exit codes of a run that was made: gates held, a gate failed, some samples were bad."""


@dataclass(slots=True)
class Job:
    """A run that was started here.

    Args:
        id: of the job.
        title: what it does, in a few words.
        arguments: of the command line, without the program's name.
        reader: who started it.
        out: run directory.
        state: how far it came.
        code: exit code; None before the end.
    """

    id: str
    title: str
    arguments: tuple[str, ...]
    reader: str
    out: str
    state: JobState = JobState.WAITING
    code: int | None = None
    started: float = 0.0
    ended: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def ends(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended or time.time()) - self.started if self.started else 0.0

    def messages(self) -> str:
        """The last lines that it wrote."""
        try:
            with open(f"{self.out}.log", "rb") as file:
                file.seek(max(0, os.path.getsize(file.name) - SHOWN))
                text = file.read(SHOWN).decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(printable(line) for line in text.splitlines())

    def progress(self) -> float | None:
        """Share of the run that is finished, in [0, 1]; None where it cannot be said yet."""
        if self.state is JobState.DONE:
            return 1.0
        run = RunDir(self.out)
        try:
            if not run.exists("run.json"):
                return None
            config = read_config(run)
            planned = 1 + sum(len(step.conditions) for step in config.steps)
            return min(1.0, len(run.finished()) / max(1, planned * config.shards))
        except UnshakenError:
            return None


class Jobs:
    """Runs that are started here, one after the other.

    Args:
        folder: on this machine, where their run directories go.
        at_once: jobs that run at the same time.
        command: the program; tests put another in its place.
    """

    def __init__(self, folder: str | Path, *, at_once: int = 1, command: Sequence[str] = ()) -> None:
        self.folder, self.at_once = Path(folder), at_once
        self.command = tuple(command) or (sys.executable, "-m", "unshaken")
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def find(self, id: str) -> Job | None:
        """A job by its id; None where there is none."""
        return self._jobs.get(id)

    def start(self, title: str, arguments: Sequence[str], reader: str) -> Job:
        """Start a run, or let it wait until others have ended.

        Args:
            title: what it does.
            arguments: of the command line, without the program's name and `--out`.
            reader: who starts it.

        Raises:
            ParameterError: too many wait already, or nothing can be written in the folder.
        """
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        out = str(self.folder / f"{arguments[0]}-{id}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(f"nothing can be written where runs go: {error.strerror}") from None
        job = Job(id, title, (*arguments, "--out", out), reader, out)
        with self._lock:
            if self._closed or len(self._waiting) >= MOST_WAITING:
                raise ParameterError(f"{len(self._waiting)} runs wait already: start this one when some have ended")
            self._jobs[id] = job
            self._waiting.append(job)
            for old in [j for j in self._jobs.values() if j.ends][:-MOST_KEPT]:
                del self._jobs[old.id]
        self._fill()
        return job

    def cancel(self, job: Job) -> None:
        """End a job: one that runs saves what is finished first."""
        with self._lock:
            if job.ends:
                return
            if job in self._waiting:
                self._waiting.remove(job)
            job.state, job.ended = JobState.CANCELLED, time.time()
            process = job.process
        if process is not None:
            threading.Thread(target=_stop, args=(process,), daemon=True).start()
        self._fill()

    def close(self) -> None:
        """End all jobs, as when the server ends."""
        with self._lock:
            self._closed = True
            running = [job.process for job in self._jobs.values() if job.process is not None and not job.ends]
            self._waiting.clear()
        for process in running:
            _signal(process, signal.SIGINT)
        for process in running:
            _stop(process)

    def _fill(self) -> None:
        """Begin jobs that wait, as many as may run."""
        with self._lock:
            while self._waiting and not self._closed and self._running() < self.at_once:
                job = self._waiting.popleft()
                try:
                    with open(f"{job.out}.log", "wb") as log:
                        job.process = subprocess.Popen(
                            [*self.command, *job.arguments], stdin=subprocess.DEVNULL, stdout=log,
                            stderr=subprocess.STDOUT, start_new_session=True,
                        )  # fmt: skip
                except OSError:
                    job.state, job.ended = JobState.FAILED, time.time()
                    continue
                job.state, job.started = JobState.RUNNING, time.time()
                threading.Thread(target=self._wait, args=(job, job.process), daemon=True).start()

    def _running(self) -> int:
        return sum(job.process is not None and job.process.poll() is None for job in self._jobs.values())

    def _wait(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            job.code = code
            if not job.ends:
                job.state = JobState.DONE if code in SUCCESS else JobState.FAILED
                job.ended = time.time()
        self._fill()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process and all that it started, and kill them where they do not end."""
    _signal(process, signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
