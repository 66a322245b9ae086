"""`JobRecords`: what is kept of the jobs of a folder, so that a server that starts again can list them."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

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
        kept = sa.select(c.id).where(c.folder == self.folder).order_by(c.id.desc()).limit(MOST_KEPT)
        with self._index.writing() as connection:
            connection.execute(t.job.delete().where(c.id == job.id))
            connection.execute(t.job.insert().values({**_columns(job), "folder": self.folder, "server": self._server}))
            newest = connection.execute(kept).scalars().all()
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
    job.look(row.server.encode())
    return job
