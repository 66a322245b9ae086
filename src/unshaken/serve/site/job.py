"""`Job`: a run that was started from a form, its messages, its progress, and the command that goes on with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from enum import StrEnum

from unshaken.core.errors import UnshakenError
from unshaken.core.texts import printable
from unshaken.serve.site.records import KINDS, State, read_record
from unshaken.store.config import read_config
from unshaken.store.lease import read_file
from unshaken.store.lock import NAME as LOCK
from unshaken.store.owner import is_here, is_recent, is_running, read_stamp
from unshaken.store.run_dir import RunDir

SHOWN = 4000
"""Characters of a job's last messages."""


class JobState(StrEnum):
    """How far a job came."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED})


@dataclass(slots=True)
class Job:
    """A run that was started from a form.

    Args:
        id: of the job; ids are in the order in which jobs were asked for.
        title: what it does, in a few words.
        arguments: of the command line, without the program's name.
        reader: who started it.
        out: run directory.
        state: how far it came.
        code: exit code; None before the end, and where nobody waited for it.
        started: seconds since 1970; 0 before it runs.
        ended: seconds since 1970; 0 before its end.
        process: of this server; None where it waits, or is of an earlier server.
        here: this server started it, and can end it.
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
    here: bool = True

    @property
    def ends(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return max(0.0, (self.ended or time.time()) - self.started) if self.started else 0.0

    @property
    def can_go_on(self) -> bool:
        """Whether it was interrupted or cancelled, so that what is finished is kept and the rest can be run."""
        return self.state in (JobState.INTERRUPTED, JobState.CANCELLED)

    @property
    def resume_arguments(self) -> tuple[str, ...]:
        """The arguments that go on with it: with `--resume` where its run directory holds a run already."""
        given = tuple(one for one in self.arguments if one != "--resume")
        return (*given, *(("--resume",) if _record_of(self.out) else ()))

    @property
    def resume_command(self) -> str:
        """The command that goes on with a job that was interrupted or cancelled, for a shell; empty for others."""
        return shlex.join(("unshaken", *self.resume_arguments)) if self.can_go_on else ""

    def messages(self) -> str:
        """The last lines that it wrote."""
        return self.messages_after(0)[0].rstrip("\n")

    def messages_after(self, place: int) -> tuple[str, int]:
        """The lines that it wrote after a place in its log, and the place where they end.

        Args:
            place: in bytes; of more than `SHOWN` only the end is given.
        """
        try:
            with open(f"{self.out}.log", "rb") as file:
                size = os.path.getsize(file.name)
                file.seek(max(0, size - SHOWN, place if place <= size else 0))
                data = file.read(SHOWN)
                end = file.tell()
        except OSError:
            return "", 0
        if not self.ends and len(data) < SHOWN:  # a line that is being written comes whole, later
            whole = 1 + max(data.rfind(b"\n"), data.rfind(b"\r"))
            data, end = data[:whole], end - len(data) + whole
        return "".join(f"{printable(line)}\n" for line in data.decode("utf-8", "replace").splitlines()), end

    def progress(self) -> float | None:
        """Share of the run that is finished, in [0, 1]; None where it is not known yet."""
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

    def update_state(self, server: bytes) -> None:
        """Find out what became of a job of another server, which may have ended without a word.

        Args:
            server: stamp of the process that started it; see `make_stamp`.
        """
        starter = read_stamp(server)
        if self.ends or (is_here(starter) and is_running(starter)):
            return
        run = RunDir(self.out)
        owner = read_stamp(read_file(run, (LOCK,)))
        if is_running(owner) if is_here(owner) else is_recent(owner):
            self.state = JobState.RUNNING
            return
        name = _record_of(self.out)
        done = name is not None and read_record(run, name).state is State.FINISHED
        self.state = JobState.DONE if done else JobState.INTERRUPTED
        try:
            self.ended = os.path.getmtime(f"{self.out}.log")
        except OSError:
            self.ended = self.started


def _record_of(out: str) -> str | None:
    """The record that makes a folder a run; None before the run has written it."""
    return next((name for name in KINDS if os.path.isfile(os.path.join(out, name))), None)
