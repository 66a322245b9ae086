"""`RunIndex`: the list of runs in a database, kept up to date with their directories."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from unshaken.core.errors import ParameterError, RunError, UnshakenError
from unshaken.core.texts import first_line
from unshaken.serve.database import Database, writes
from unshaken.serve.site import _schema as t
from unshaken.serve.site.records import RunRecord, clip, read_record
from unshaken.serve.site.walk import FoundRun, find_runs
from unshaken.store.run_dir import RunDir

TOGETHER = 200
"""Runs that are entered in one transaction, so that a list grows while it is read."""
LONGEST_TAG = 40
MOST_TAGS = 20
LONGEST_NOTE = 2000
MOST_SAVED = 50
"""Filters of the list, and selections of a run, that are kept under a name."""


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """The changes of the list that a refresh found.

    Args:
        found: runs that are there.
        read: runs whose records were read, because they are new or changed.
        gone: runs that were taken from the list.
        troubles: folders that could not be read, in a line each.
    """

    found: int
    read: int
    gone: int
    troubles: tuple[str, ...] = ()


class RunIndex:
    """The list of the runs below some folders. All methods may be called from several threads at once.

    Args:
        url: of the database, as for `Database`.
        roots: folders or fsspec addresses that hold runs.

    Raises:
        ParameterError: the address of the database is of another form.
        RunError: the database cannot be opened.
    """

    def __init__(self, url: str | Path, roots: Sequence[str]) -> None:
        self.roots = tuple(dict.fromkeys(_whole(root) for root in roots))
        self.last = RefreshReport(0, 0, 0)
        self._database = Database(url, what="the list of runs", prepare=_make_tables)
        self._refreshing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()

    def refresh(self) -> RefreshReport:
        """Look at the directories: read what is new or changed, and forget what is gone."""
        with self._refreshing:
            parts = [self._refresh_root(root) for root in self.roots]
            troubles = tuple(line for part in parts for line in part.troubles)
            found, read, gone = (sum(getattr(p, k) for p in parts) for k in ("found", "read", "gone"))
            self.last = RefreshReport(found, read, gone, troubles)
            return self.last

    def connect(self) -> Any:
        """Begin a transaction that reads."""
        return self._database.reading()

    def writing(self) -> Any:
        """A transaction that is committed whole at the end, or not at all."""
        return self._database.writing()

    def mine(self) -> sa.ColumnElement[bool]:
        """The condition under which a row of `run` belongs to these folders."""
        return t.run.c.root.in_(self.roots)

    def tag(self, place: str, tag: str) -> None:
        """Put a tag on a run.

        Args:
            place: of the run.
            tag: 1 to 40 printable characters.

        Raises:
            ParameterError: it is no tag, or the run has too many.
        """
        tag = _label(tag, "a tag")
        with self._database.writing() as connection:
            there = list(connection.execute(sa.select(t.tag.c.tag).where(t.tag.c.place == place)).scalars())
            if tag in there:
                return
            if len(there) >= MOST_TAGS:
                raise ParameterError(f"the run has {MOST_TAGS} tags already: remove one first")
            connection.execute(t.tag.insert().values(place=place, tag=tag))

    def untag(self, place: str, tag: str) -> None:
        """Take a tag off a run, if it has it."""
        with self._database.writing() as connection:
            connection.execute(t.tag.delete().where(t.tag.c.place == place, t.tag.c.tag == tag))

    def write_note(self, place: str, text: str, reader: str) -> None:
        """Put a note on a run in the place of the one before; an empty one takes it off.

        Args:
            place: of the run.
            text: at most `LONGEST_NOTE` characters.
            reader: who writes it.

        Raises:
            ParameterError: it is too long.
        """
        text = text.replace("\r\n", "\n").strip()
        if len(text) > LONGEST_NOTE:
            raise ParameterError(f"a note has at most {LONGEST_NOTE:,} characters; this one has {len(text):,}")
        with self._database.writing() as connection:
            connection.execute(t.note.delete().where(t.note.c.place == place))
            if text:
                values = {"place": place, "text": text, "reader": reader, "changed": time.time()}
                connection.execute(t.note.insert().values(values))

    def save_filters(self, name: str, query: str) -> None:
        """Keep filters of the list under a name, in the place of those that had it; an empty query forgets them.

        Args:
            name: 1 to 40 printable characters.
            query: of the address of the list.

        Raises:
            ParameterError: it is no name, or too many are kept.
        """
        name = _label(name, "the name of a filter")
        c = t.saved.c.name
        with self._database.writing() as connection:
            connection.execute(t.saved.delete().where(c == name))
            if query and connection.execute(sa.select(sa.func.count(c))).scalar_one() >= MOST_SAVED:
                raise ParameterError(f"{MOST_SAVED} filters are kept already: remove one first")
            if query:
                connection.execute(t.saved.insert().values(name=name, query=query))

    def saved_filters(self) -> list[tuple[str, str]]:
        """The names of kept filters, each with its query."""
        with self._database.reading() as connection:
            return sorted(
                (name, query) for name, query in connection.execute(sa.select(t.saved.c.name, t.saved.c.query))
            )

    def save_selection(self, place: str, name: str, inside: Sequence[int], outside: Sequence[int] = ()) -> str:
        """Keep chosen samples of a run under a name, in the place of those that had it; none forgets them.

        Args:
            place: of the run.
            name: 1 to 40 printable characters.
            inside: numbers of the chosen samples.
            outside: those of the samples that could have been chosen and were not.

        Returns:
            The name as it is kept.

        Raises:
            ParameterError: it is no name, or too many are kept of this run.
        """
        name, c = _label(name, "the name of a selection"), t.selection.c
        with self._database.writing() as connection:
            connection.execute(t.selection.delete().where(c.place == place, c.name == name))
            kept = connection.execute(sa.select(sa.func.count(c.name)).where(c.place == place)).scalar_one()
            if inside and kept >= MOST_SAVED:
                raise ParameterError(f"{MOST_SAVED} selections of this run are kept already: remove one first")
            if inside:
                values = {"inside": json.dumps(list(inside)), "outside": json.dumps(list(outside))}
                connection.execute(t.selection.insert().values(place=place, name=name, **values))
        return name

    def selections(self, place: str) -> list[str]:
        """The names of the kept selections of a run."""
        with self._database.reading() as connection:
            names = connection.execute(sa.select(t.selection.c.name).where(t.selection.c.place == place))
            return sorted(names.scalars())

    def selection(self, place: str, name: str) -> tuple[list[int], list[int]]:
        """The numbers of the samples inside and outside of a kept selection.

        Raises:
            ParameterError: the run has none of this name.
        """
        c = t.selection.c
        with self._database.reading() as connection:
            found = connection.execute(sa.select(c.inside, c.outside).where(c.place == place, c.name == name)).first()
        if found is None:
            raise ParameterError(f"the run has no selection {name!r}: choose another one, or save it on the map")
        return json.loads(found.inside), json.loads(found.outside)

    def archive(self, place: str, *, archived: bool) -> None:
        """Put a run into the archive, or take it out; its directory stays as it is."""
        with self._database.writing() as connection:
            connection.execute(t.archived.delete().where(t.archived.c.place == place))
            if archived:
                connection.execute(t.archived.insert().values(place=place))

    def _refresh_root(self, root: str) -> RefreshReport:
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(t.run.c.place, t.run.c.mark).where(t.run.c.root == root))
            known = {row.place: row.mark for row in rows}
        places, read, waiting, unnamed = set[str](), 0, list[dict[str, Any]](), 0
        try:
            for found in find_runs(root):
                if not _is_storable(found.place):
                    unnamed += 1
                    continue
                places.add(found.place)
                if known.get(found.place) != found.mark:
                    waiting.append(_row(root, found, read_record(RunDir(found.place), found.record)))
                    read += 1
                if len(waiting) == TOGETHER:
                    self._enter(waiting)
                    waiting = []
        except RunError as error:
            return RefreshReport(len(known), 0, 0, (clip(first_line(error)),))
        except (UnshakenError, OSError) as error:
            return RefreshReport(len(known), read, 0, (clip(first_line(error)),))
        self._enter(waiting)
        gone = sorted(known.keys() - places)
        for start in range(0, len(gone), TOGETHER):
            with self._database.writing() as connection:
                some = gone[start : start + TOGETHER]
                connection.execute(t.run.delete().where(t.run.c.root == root, t.run.c.place.in_(some)))
        troubles = (f"{unnamed:,} runs are not listed: the names of their folders are not UTF-8",) if unnamed else ()
        return RefreshReport(len(places), read, len(gone), troubles)

    def _enter(self, rows: list[dict[str, Any]]) -> None:
        """Enter rows; a run that is there already keeps its number."""
        if not rows:
            return
        with self._database.writing() as connection:
            places = [row["place"] for row in rows]
            there = set(connection.execute(sa.select(t.run.c.place).where(t.run.c.place.in_(places))).scalars())
            for row in rows:
                if row["place"] in there:
                    connection.execute(t.run.update().where(t.run.c.place == row["place"]).values(**row))
            if new := [row for row in rows if row["place"] not in there]:
                connection.execute(t.run.insert(), new)


def _label(text: str, what: str) -> str:
    found = " ".join(text.split())
    if not found or len(found) > LONGEST_TAG or not found.isprintable():
        raise ParameterError(f"{what} has 1 to {LONGEST_TAG} printable characters")
    return found


def _is_storable(place: str) -> bool:
    """Whether a database takes a path."""
    try:
        return "\0" not in place and bool(place.encode())
    except UnicodeEncodeError:
        return False


def _whole(root: str) -> str:
    """A folder as the list knows it, whatever the working directory: a whole path, or an address."""
    run = RunDir(root)
    return run.root if run.local else root.rstrip("/")


def _row(root: str, found: FoundRun, record: RunRecord) -> dict[str, Any]:
    values = asdict(record)
    values |= values.pop("cost")
    values["settings"] = json.dumps(record.settings)
    del values["words"], values["above"]
    for name in ("clean", "worst"):
        values[name] = t.ABSENT if values[name] is None else values[name]
    values["state"] = record.state.value
    name = clip(found.name)
    return {
        "root": root,
        "place": found.place,
        "parent": found.place.rsplit("/", record.above)[0] if record.above else "",
        "name": name,
        "record": found.record,
        "mark": found.mark,
        "modified": found.modified,
        "search": f"{name.casefold()} {record.search}",
        **values,
    }


def _make_tables(engine: sa.Engine, name: str) -> None:
    with engine.connect() as connection, writes(connection):
        if engine.dialect.name != "sqlite":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(7_042_119)))
        t.metadata.create_all(connection)
