"""`Jobs`: runs that were started from a form, each a process; `JobRecords` keeps them for the next server."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.serve.site import _schema as t
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.job import Job, JobState
from unshaken.store.owner import make_stamp

MOST_KEPT = 200
"""Jobs of a folder that are kept, the newest."""


class JobRecords:
    """The records of jobs, in the database of the list of runs.

    Args:
        index: the list of runs.
        folder: where the run directories of the jobs are.
    """

    def __init__(self, index: RunIndex, folder: str) -> None:
        self._index, self.folder = index, folder
        self._server = make_stamp("").decode()

    def save(self, job: Job) -> None:
        """Keep a job as it is now, in the place of what was kept of it; the oldest ones of many are forgotten.

        Raises:
            RunError: the database fails.
        """
        c = t.job.c
        stored = sa.select(c.id).where(c.folder == self.folder).order_by(c.id.desc()).limit(MOST_KEPT)
        with self._index.writing() as connection:
            connection.execute(t.job.delete().where(c.id == job.id))
            connection.execute(t.job.insert().values({**_columns(job), "folder": self.folder, "server": self._server}))
            newest = connection.execute(stored).scalars().all()
            connection.execute(t.job.delete().where(c.folder == self.folder, c.id < min(newest)))

    def load(self) -> list[Job]:
        """The jobs of the folder, the newest first; those of servers that have ended as they are found.

        Raises:
            RunError: the database fails.
        """
        query = sa.select(t.job).where(t.job.c.folder == self.folder).order_by(t.job.c.id.desc()).limit(MOST_KEPT)
        with self._index.connect() as connection:
            rows = connection.execute(query).all()
        return [_job(row) for row in rows]

    def find(self, id: str) -> Job | None:
        """A job of the folder; None where there is none.

        Raises:
            RunError: the database fails.
        """
        if "\0" in id:
            return None
        query = sa.select(t.job).where(t.job.c.folder == self.folder, t.job.c.id == id)
        with self._index.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _job(row)


def _columns(job: Job) -> dict[str, Any]:
    same = {name: getattr(job, name) for name in ("id", "title", "reader", "out", "code", "started", "ended")}
    return {**same, "arguments": json.dumps(job.arguments), "state": job.state.value}


def _job(row: Any) -> Job:
    job = Job(
        row.id, row.title, tuple(json.loads(row.arguments)), row.reader, row.out, JobState(row.state), row.code,
        row.started, row.ended, here=False,
    )  # fmt: skip
    job.update_state(row.server.encode())
    return job


MOST_WAITING = 20
"""Jobs that may wait."""
PATIENCE = 10.0
"""Seconds that an interrupted job has to save its work before it is killed."""


SUCCESS = (0, 1, 3)
"""Exit codes of a run that was made: gates held, a gate failed, some samples were bad."""
log = logging.getLogger(__name__)


class Jobs:
    """Runs that are started here, one after the other.

    Args:
        folder: on this machine, where their run directories go.
        at_once: jobs that run at the same time.
        command: the program; tests put another in its place.
        records: where jobs are kept for the next server; None for nowhere.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        at_once: int = 1,
        command: Sequence[str] = (),
        records: JobRecords | None = None,
    ) -> None:
        self.folder, self.at_once, self.records = Path(folder), at_once, records
        self.command = tuple(command) or (sys.executable, "-m", "unshaken")
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._waiters: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False
        self.streams = 0  # of events, that are sent now

    def all(self) -> list[Job]:
        """All jobs, the newest first: those of this server, and those that were kept of earlier and other ones."""
        stored = [] if self.records is None else self.records.load()
        with self._lock:
            found = {job.id: job for job in stored} | self._jobs
        return [found[id] for id in sorted(found, reverse=True)]

    def find(self, id: str) -> Job | None:
        """A job by its id; None where there is none."""
        own = self._jobs.get(id)
        return own if own is not None or self.records is None else self.records.find(id)

    def start(self, title: str, arguments: Sequence[str], reader: str) -> Job:
        """Start a run, or let it wait until others have ended.

        Args:
            title: what it does.
            arguments: of the command line, without the program's name and `--out`.
            reader: who starts it.

        Raises:
            ParameterError: too many wait already, or nothing can be written in the folder.
        """
        now = time.time_ns()
        second = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9))
        id = f"{second}-{now % 10**9 // 1000:06d}{secrets.token_hex(2)}"
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
        self._save(job)
        self._fill()
        return job

    def go_on(self, job: Job) -> None:
        """Start a job again that was interrupted or cancelled: what it has finished is kept.

        Raises:
            ParameterError: it is in another state, its process has not ended yet, or too many wait already.
        """
        with self._lock:
            job = self._jobs.get(job.id, job)
            if not job.can_go_on:
                raise ParameterError(f"this run is {job.state}: only one that was cancelled or interrupted goes on")
            if job.process is not None and job.process.poll() is None:
                raise ParameterError("this run still saves what is finished: try again in some seconds")
            if self._closed or len(self._waiting) >= MOST_WAITING:
                raise ParameterError(
                    f"{len(self._waiting)} runs wait already: go on with this one when some have ended"
                )
            job.arguments, job.state = job.resume_arguments, JobState.WAITING
            job.code, job.process, job.started, job.ended, job.here = None, None, 0.0, 0.0, True
            self._jobs[job.id] = job
            self._waiting.append(job)
        self._save(job)
        self._fill()

    def cancel(self, job: Job) -> None:
        """End a job: one that runs saves what is finished first.

        Raises:
            ParameterError: it is at work outside of this server.
        """
        if not job.here and not job.ends:
            raise ParameterError("this run is at work outside of this server: end it where it was started")
        with self._lock:
            if job.ends:
                return
            if job in self._waiting:
                self._waiting.remove(job)
            job.state, job.ended = JobState.CANCELLED, time.time()
            process = job.process
        self._save(job)
        if process is not None:
            threading.Thread(target=_stop, args=(process,), daemon=True).start()
        self._fill()

    def close(self) -> None:
        """End all jobs, as when the server ends; they are kept as interrupted."""
        with self._lock:
            self._closed = True
            left = [job for job in self._jobs.values() if not job.ends]
            running = [job.process for job in left if job.process is not None]
            for job in left:
                job.state, job.ended = JobState.INTERRUPTED, time.time()
            self._waiting.clear()
        for job in left:
            self._save(job)
        for process in running:
            _interrupt(process)
        for process in running:
            _stop(process)
        for waiter in self._waiters:  # it may be keeping a job whose process has ended just now
            waiter.join(2 * PATIENCE)

    def _fill(self) -> None:
        """Begin jobs that wait, as many as may run."""
        with self._lock:
            while self._waiting and not self._closed:
                running = [job.process for job in self._jobs.values() if job.process is not None]
                if sum(process.poll() is None for process in running) >= self.at_once:
                    return
                job = self._waiting.popleft()
                try:
                    with open(f"{job.out}.log", "ab") as log:  # it may have lines of before
                        job.process = subprocess.Popen(
                            [*self.command, *job.arguments], stdin=subprocess.DEVNULL, stdout=log,
                            stderr=subprocess.STDOUT, start_new_session=True,
                        )  # fmt: skip
                except OSError:
                    job.state, job.ended = JobState.FAILED, time.time()
                    self._save(job)
                    continue
                job.state, job.started = JobState.RUNNING, time.time()
                self._save(job)
                waiter = threading.Thread(target=self._wait, args=(job, job.process), daemon=True)
                waiter.start()
                self._waiters = [*filter(threading.Thread.is_alive, self._waiters), waiter]

    def _wait(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            if job.process is not process:  # it goes on in another one
                return
            job.code = code
            if not job.ends:
                job.state = JobState.DONE if code in SUCCESS else JobState.FAILED
                job.ended = time.time()
        if not self._closed:
            self._save(job)
        self._fill()

    def _save(self, job: Job) -> None:
        """Keep a job; where that fails it runs all the same."""
        try:
            if self.records is not None:
                self.records.save(job)
        except UnshakenError as error:
            log.warning("the job %s is not kept: %s", job.id, error)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process and all that it started, and kill them where they do not end."""
    _interrupt(process)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        _interrupt(process, kill=True)
        process.wait()


def _interrupt(process: subprocess.Popen[bytes], kill: bool = False) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":  # without process groups and interrupts: it ends at once, and it alone
                process.terminate()
            else:
                os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGINT)
