"""The bin: runs that were deleted, kept in the folder `.bin` of their root until somebody removes them by hand."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from unshaken.core.errors import ParameterError
from unshaken.serve.site import _schema as t
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.listing import ListedRun
from unshaken.serve.site.records import State
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir

FOLDER = ".bin"
"""Folder of a root with its deleted runs: the list looks into no folder whose name begins with a dot."""


@dataclass(frozen=True, slots=True)
class DeletedRun:
    """A run in the bin.

    Args:
        id: of it in the bin.
        name: that it had in the list.
        place: where it was.
        kept: where it is now.
        reader: who deleted it.
        deleted: seconds since 1970.
    """

    id: str
    name: str
    place: str
    kept: str
    reader: str
    deleted: float


def delete_run(index: RunIndex, run: ListedRun, reader: str) -> DeletedRun:
    """Move the directory of a run into the bin, with the runs that are parts of it.

    Args:
        index: of the runs.
        run: to delete.
        reader: who does so.

    Raises:
        ParameterError: it is not on this machine, is a root, holds other runs, or cannot be moved.
        Busy: it is at work.
    """
    folder = RunDir(run.place)
    if not folder.local:
        raise ParameterError("this run is not on this machine: delete it where it is")
    if os.path.realpath(run.place) == os.path.realpath(run.root):
        raise ParameterError("this run is the folder that was given to the server, which is not deleted")
    inside = sa.select(t.run.c.name).where(t.run.c.place.startswith(f"{run.place}/", autoescape=True))
    with index.connect() as connection:
        found = connection.execute(inside.where(t.run.c.state != State.PART.value)).scalars().first()
    if found is not None:
        raise ParameterError(f"this run holds others, such as {found}: delete these first")
    with locked(folder):  # refused while it is at work
        pass
    now = time.time()
    id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"
    done = DeletedRun(id, run.name, run.place, str(Path(run.root) / FOLDER / id), reader, now)
    _move(done.place, done.kept)
    with index.writing() as connection:
        connection.execute(t.deleted.insert().values(root=run.root, **_columns(done)))
    index.refresh()
    return done


def deleted_runs(index: RunIndex) -> list[DeletedRun]:
    """The runs in the bin that are still there, the newest first."""
    c = t.deleted.c
    query = sa.select(c.id, c.name, c.place, c.kept, c.reader, c.deleted).where(c.root.in_(index.roots))
    with index.connect() as connection:
        rows = connection.execute(query.order_by(c.id.desc()).limit(500)).all()
    return [found for row in rows if os.path.isdir((found := DeletedRun(*row)).kept)]


def restore_run(index: RunIndex, id: str) -> DeletedRun:
    """Move a run from the bin to where it was.

    Args:
        index: of the runs.
        id: of it in the bin.

    Raises:
        ParameterError: the bin has none of this id, something else stands in its place, or it cannot be moved.
    """
    found = next((one for one in deleted_runs(index) if one.id == id), None)
    if found is None:
        raise ParameterError("the bin has no such run: it may have been restored already, or removed by hand")
    if os.path.lexists(found.place):
        raise ParameterError(f"something else is at {found.place} now: move it away first")
    _move(found.kept, found.place)
    with index.writing() as connection:
        connection.execute(t.deleted.delete().where(t.deleted.c.id == id))
    index.refresh()
    return found


def _columns(run: DeletedRun) -> dict[str, object]:
    return {name: getattr(run, name) for name in ("id", "name", "place", "kept", "reader", "deleted")}


def _move(source: str, target: str) -> None:
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
    except OSError as error:
        raise ParameterError(f"the run cannot be moved: {error.strerror}") from None
