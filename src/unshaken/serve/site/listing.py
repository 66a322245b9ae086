"""`list_runs`: a page of the list, with filters, in an order, from where the page before ended."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.serve.site import _schema as t
from unshaken.serve.site.cost import Cost, KnownCost
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.records import State

LIMIT = 50
"""Runs of a page."""
MOST_PARTS = 50
"""Runs inside another that are shown with it."""


class Order(StrEnum):
    """Orders of the list."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    CLEAN = "clean"
    WORST = "worst"
    SAMPLES = "samples"


COLUMNS = {
    Order.NEWEST: ("modified", True),
    Order.OLDEST: ("modified", False),
    Order.NAME: ("name", False),
    Order.CLEAN: ("clean", True),
    Order.WORST: ("worst", True),
    Order.SAMPLES: ("samples", True),
}
"""Column of each order, and whether its largest values come first."""


@dataclass(frozen=True, slots=True)
class RunFilters:
    """Filters of the list of runs; empty texts filter nothing.

    Args:
        search: words that must all stand in a run's line.
        kind: of the command that made it.
        state: how far it came.
        tag: that it has.
        like: a run that it can be compared with.
        model: name of its model, as a whole.
        archived: whether it is in the archive; None for both.
        evaluation: only runs that measure a model: audits, attacks, certifications, detections and cells of a matrix.
    """

    search: str = ""
    kind: str = ""
    state: str = ""
    tag: str = ""
    like: ListedRun | None = None
    model: str = ""
    archived: bool | None = None
    evaluation: bool = False


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run of the list.

    Args:
        id: its number, by which pages know it.
        values: the columns of `run` by name.
        tags: in order.
        note: of readers.
        parts: runs that it keeps inside, such as those on abnormal images, by name; the first `MOST_PARTS`.
    """

    id: int
    values: dict[str, Any]
    tags: tuple[str, ...] = ()
    note: str = ""
    parts: tuple[ListedRun, ...] = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the list.

    Args:
        runs: in order.
        next: where the next page begins; empty on the last one.
        total: runs that fit the filters.
    """

    runs: tuple[ListedRun, ...] = ()
    next: str = ""
    total: int = 0


def list_runs(
    index: RunIndex, asked: RunFilters, *, order: Order = Order.NEWEST, after: str = "", limit: int = LIMIT
) -> RunPage:
    """List a page of runs that fit the filters.

    Args:
        index: of the runs.
        asked: filters.
        order: of the list.
        after: where the page before ended (its `next`); empty for the first.
        limit: runs of a page.

    Raises:
        ParameterError: `after` is no end of a page in this order.
    """
    fits = _conditions(index, asked)
    name, down = COLUMNS[order]
    column = t.run.c[name]
    query = sa.select(t.run).where(*fits)
    if after:
        value, number = _read_place(after, column.type.python_type)
        beyond = column < value if down else column > value
        query = query.where(sa.or_(beyond, sa.and_(column == value, t.run.c.id > number)))
    query = query.order_by(column.desc() if down else column, t.run.c.id).limit(limit + 1)
    with index.connect() as connection:
        rows = connection.execute(query).mappings().all()
        total = connection.execute(sa.select(sa.func.count()).select_from(t.run).where(*fits)).scalar_one()
        found = _with_parts(connection, _with_tags(connection, rows[:limit]))
    following = ""
    if len(rows) > limit:
        place = json.dumps([found[-1].values[name], found[-1].id]).encode()
        following = base64.urlsafe_b64encode(place).decode().rstrip("=")
    return RunPage(tuple(found), following, int(total))


_COMPARABLE = (
    t.run.c.record == "run.json",
    t.run.c.state == State.FINISHED.value,
    t.run.c.data_key != "",
    sa.or_(t.run.c.clean >= 0, t.run.c.task != "classification"),
)
"""A run that can be compared with another of the same data and task: it is finished, and its data has labels."""


def comparable(index: RunIndex, runs: Sequence[ListedRun]) -> frozenset[int]:
    """The numbers of those runs that another run of the list can be compared with."""
    keys = (t.run.c.data_key, t.run.c.task)
    known = t.run.c.data_key.in_({run.data_key for run in runs})
    query = sa.select(*keys).where(index.mine(), *_COMPARABLE, known).group_by(*keys).having(sa.func.count() > 1)
    mine = sa.select(t.run.c.id).where(*_COMPARABLE, t.run.c.id.in_([run.id for run in runs]))
    with index.connect() as connection:
        shared = {tuple(row) for row in connection.execute(query)}
        able = set(connection.execute(mine).scalars())
    return frozenset(run.id for run in runs if run.id in able and (run.data_key, run.task) in shared)


def makes_board(index: RunIndex) -> bool:
    """Whether finished runs of two models may share a column of a board: they have the same data, plan and task."""
    c = t.run.c
    fits = _conditions(index, RunFilters(state=State.FINISHED, evaluation=True, archived=False))
    query = sa.select(c.data_key).where(*fits, c.data_key != "").group_by(c.data_key, c.plan, c.task)
    with index.connect() as connection:
        several = query.having(sa.func.count(sa.distinct(c.model)) > 1).limit(1)
        return connection.execute(several).first() is not None


def run_of(index: RunIndex, number: int) -> ListedRun:
    """A run by its number.

    Raises:
        ParameterError: the list has none.
    """
    with index.connect() as connection:
        row = connection.execute(sa.select(t.run).where(index.mine(), t.run.c.id == number)).mappings().one_or_none()
        if row is None:
            raise ParameterError(f"the list has no run {number}: it may have been deleted")
        return _with_parts(connection, _with_tags(connection, [row]))[0]


def is_archived(index: RunIndex, run: ListedRun) -> bool:
    """Whether a run is in the archive."""
    query = sa.select(t.archived.c.place).where(t.archived.c.place == run.place)
    with index.connect() as connection:
        return connection.execute(query).first() is not None


def all_tags(index: RunIndex) -> list[str]:
    """Every tag that a listed run has."""
    query = sa.select(t.tag.c.tag).distinct().where(t.tag.c.place.in_(sa.select(t.run.c.place).where(index.mine())))
    with index.connect() as connection:
        return sorted(connection.execute(query).scalars())


def all_specs(index: RunIndex) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The SPECs of the models, and those of the data, of all listed runs that can be read, each with its task."""
    with index.connect() as connection:
        found = [
            connection.execute(
                sa.select(column, t.run.c.task)
                .distinct()
                .where(index.mine(), column != "", t.run.c.record == "run.json")
                .limit(1000)
            ).all()
            for column in (t.run.c.model_spec, t.run.c.data)
        ]
        return sorted(map(tuple, found[0])), sorted(map(tuple, found[1]))


def known_pairs(index: RunIndex) -> list[tuple[str, str, str]]:
    """Models and data that were run together, by SPEC, each with the digest of the model's classes."""
    c = t.run.c
    query = sa.select(c.model_spec, c.data, c.classes).distinct().where(
        index.mine(), c.model_spec != "", c.data != "", c.record == "run.json", c.state == State.FINISHED.value
    )  # fmt: skip
    with index.connect() as connection:
        return sorted((model, data, classes) for model, data, classes in connection.execute(query.limit(5000)))


def known_costs(index: RunIndex) -> list[KnownCost]:
    """The costs of the newest runs that kept theirs."""
    c = t.run.c
    query = sa.select(c.model_spec, c.work, c.units, c.seconds, c.passes).where(index.mine(), c.work != "")
    with index.connect() as connection:
        rows = connection.execute(query.order_by(c.modified.desc()).limit(2000))
        return [KnownCost(model, Cost(*cost)) for model, *cost in rows]


def _conditions(index: RunIndex, asked: RunFilters) -> list[sa.ColumnElement[bool]]:
    fits = [index.mine(), t.run.c.state != State.PART.value]
    for word in asked.search.casefold().split()[:10]:
        fits.append(t.run.c.search.contains(word, autoescape=True))
    for column, wanted in (
        (t.run.c.kind, asked.kind),
        (t.run.c.state, asked.state),
        (t.run.c.model, asked.model),
    ):
        if wanted:
            fits.append(column == wanted)
    if asked.like is not None:
        fits += [*_COMPARABLE, t.run.c.data_key == asked.like.data_key, t.run.c.task == asked.like.task]
    if asked.archived is not None:
        inside = t.run.c.place.in_(sa.select(t.archived.c.place))
        fits.append(inside if asked.archived else sa.not_(inside))
    if asked.evaluation:
        fits.append(t.run.c.record == "run.json")
    if asked.tag:
        fits.append(t.run.c.place.in_(sa.select(t.tag.c.place).where(t.tag.c.tag == asked.tag)))
    return fits


def _with_tags(connection: sa.Connection, rows: Any) -> list[ListedRun]:
    places = [row["place"] for row in rows]
    tags: dict[str, list[str]] = {}
    notes: dict[str, str] = {}
    if places:
        written = sa.select(t.note.c.place, t.note.c.text).where(t.note.c.place.in_(places))
        notes = {row.place: row.text for row in connection.execute(written)}
        query = sa.select(t.tag.c.place, t.tag.c.tag).where(t.tag.c.place.in_(places)).order_by(t.tag.c.tag)
        for place, tag in connection.execute(query):
            tags.setdefault(place, []).append(tag)
    return [
        ListedRun(row["id"], dict(row), tuple(tags.get(row["place"], ())), notes.get(row["place"], "")) for row in rows
    ]


def _with_parts(connection: sa.Connection, runs: list[ListedRun]) -> list[ListedRun]:
    query = sa.select(t.run).where(t.run.c.parent.in_([run.place for run in runs])).order_by(t.run.c.name)
    inside: dict[str, list[ListedRun]] = {}
    for row in connection.execute(query).mappings():
        inside.setdefault(row["parent"], []).append(ListedRun(row["id"], dict(row)))
    return [replace(run, parts=tuple(inside.get(run.place, ())[:MOST_PARTS])) for run in runs]


def _read_place(text: str, kind: type) -> tuple[Any, int]:
    """The end of a page: a value and the number of a run."""
    try:
        value, number = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        wanted = (int, float) if kind is float else kind
        fine = isinstance(value, wanted) and isinstance(number, int) and bool not in (type(value), type(number))
        if fine and 0 <= number < 2**31 and (isinstance(value, str) or (math.isfinite(value) and abs(value) < 2**53)):
            return value, number
    except (ValueError, TypeError):
        pass
    raise ParameterError(f"{shorten(text)} is no place in this list: begin with its first page")
