"""Pages of items: each costs as much as its rows, whatever the number of items, for every order has an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.labels.review.protocol import DONE, ItemState, is_revealed, status_of
from unshaken.labels.review.verdict import Answer, RecordedVerdict
from unshaken.serve.review import _schema as t
from unshaken.serve.review._log import check_item, read_near, rows_of
from unshaken.serve.review.records import Dispute, Filters, ItemView, Page, Review

MOST_ITEMS = 500
"""Items of a page."""
_UNDONE = (ItemState.OPEN, ItemState.WAITING)


def page_of(
    connection: sa.Connection, key: int, review: Review, reader: tuple[int, str], filters: Filters,
    after: str | None, limit: int, other: int | None,
) -> Page:  # fmt: skip
    """The next items that fit the filters, in the order of their numbers, or of their scores.

    Args:
        connection: to read with.
        key: number of the review.
        review: its rules.
        reader: number and name of who looks.
        filters: which items.
        after: `next` of the page before.
        limit: most items.
        other: number of the reader that the filters name.
    """
    i = t.item.c
    where: list[Any] = [i.review == key]
    where += [i.given == filters.given] if filters.given is not None else []
    where += [i.suggested == filters.suggested] if filters.suggested is not None else []
    where += [i.score >= filters.score_from] if filters.score_from is not None else []
    where += [i.score <= filters.score_to] if filters.score_to is not None else []
    if (place := _place(after, by_score=filters.by_score)) is not None:
        score, number = place
        later = i.id > number if score is None else sa.tuple_(i.score, i.id) > sa.tuple_(score, number)
        where.append(later)
    split = filters.by_score or filters.given is not None or filters.suggested is not None
    order = [i.score, i.id] if filters.by_score else [i.id]
    if other is not None and split:
        where.append(_handled(key, other))
    elif other is not None:  # in the order of what the reader has handled, be it little or nearly all
        r = t.reading.c
        order = [r.item]
        where += [r.review == key, r.reader == other, r.item == i.id, r.handled]
        where += [r.item > place[1]] if place is not None else []
    if review.blind and (filters.suggested is not None or filters.by_score):
        where.append(_handled(key, reader[0], revealed=True))
    states = [filters.state] if filters.state else list(t.STATES) if split else []
    query = _merged([[*where, i.state == t.STATES.index(s)] for s in states] or [where], order, limit + 1)
    rows = connection.execute(query).all()
    shown = rows[:limit]
    views = _views(connection, key, review, reader, shown)
    if len(rows) <= limit:
        return Page(views, None)
    last = shown[-1]
    return Page(views, f"{last.score!r}@{last.id}" if filters.by_score else str(last.id))


def next_id(connection: sa.Connection, key: int, reader: int, after: int) -> int | None:
    """Number of the next item that lacks verdicts and that the reader has not handled, from the start after the end.

    First come items assigned to the reader, then the others.

    Args:
        connection: to read with.
        key: number of the review.
        reader: number.
        after: where to begin.
    """
    i, a = t.item.c, t.assignment.c
    mine = sa.exists().where(a.review == key, a.reader == reader, a.item == i.id)
    has_own = connection.execute(sa.select(a.item).where(a.review == key, a.reader == reader).limit(1)).first()
    turns: list[list[Any]] = [[]] if has_own is None else [[mine], []]
    for turn in turns:
        for where in (i.id > after, i.id <= after):
            ready = [where, ~_handled(key, reader), *turn]
            parts = [[i.review == key, i.state == t.STATES.index(s), *ready] for s in _UNDONE]
            found = connection.execute(_merged(parts, [i.id], 1)).first()
            if found is not None:
                return int(found.id)
    return None


def disputes_of(connection: sa.Connection, key: int, review: Review, after: int, limit: int) -> list[Dispute]:
    """Items on which readers disagree, with the verdicts that count.

    Args:
        connection: to read with.
        key: number of the review.
        review: its rules.
        after: number of the item after which to begin.
        limit: most items.
    """
    i = t.item.c
    where = [i.review == key, i.state == t.STATES.index(ItemState.DISPUTED), i.id > after]
    rows = connection.execute(sa.select(t.item).where(*where).order_by(i.id).limit(limit)).all()
    histories = _histories(connection, key, [row.id for row in rows])
    found = []
    for row in rows:
        standing = status_of(histories[row.id], row.given, review.readers_per_item).standing
        found.append(Dispute(_view(row, review, None, histories[row.id]), tuple(standing.values())))
    return found


def view_of(connection: sa.Connection, key: int, review: Review, reader: tuple[int, str], item: int) -> ItemView:
    """One item as a reader may see it.

    Args:
        connection: to read with.
        key: number of the review.
        review: its rules.
        reader: number and name of who looks.
        item: number.

    Raises:
        ParameterError: there is no such item.
    """
    check_item(review, item)
    row = connection.execute(sa.select(t.item).where(t.item.c.review == key, t.item.c.id == item)).one()
    return _views(connection, key, review, reader, [row])[0]


def _views(
    connection: sa.Connection, key: int, review: Review, reader: tuple[int, str], rows: Sequence[Any]
) -> tuple[ItemView, ...]:
    histories = _histories(connection, key, [row.id for row in rows])
    return tuple(_view(row, review, reader[1], histories.get(row.id, [])) for row in rows)


def _merged(parts: list[list[Any]], order: list[Any], limit: int) -> sa.Select[Any]:
    """The first rows of several conditions together; each is read in its index's order, no more than asked for."""
    if len(parts) == 1:
        return sa.select(t.item).where(*parts[0]).order_by(*order).limit(limit)
    queries = [sa.select(t.item).where(*part).order_by(*order).limit(limit).subquery() for part in parts]
    union = sa.union_all(*[sa.select(q) for q in queries]).subquery()
    return sa.select(union).order_by(*[union.c[column.name] for column in order]).limit(limit)


def _handled(key: int, reader: int, *, revealed: bool = False) -> Any:
    """Whether a reader has given a verdict on the item, or has skipped it; or may see its suggestion."""
    r = t.reading.c
    mark = r.revealed if revealed else r.handled
    return sa.exists().where(r.review == key, r.reader == reader, r.item == t.item.c.id, mark)


def _place(after: str | None, *, by_score: bool) -> tuple[float | None, int] | None:
    if after is None:
        return None
    score, at, number = after.rpartition("@")
    try:
        if bool(at) == by_score and number.isascii() and number.isdigit():
            return (float(score) if by_score else None), int(number[:12])
    except ValueError:
        pass
    raise ParameterError(f"after={shorten(after)} is not the end of a page with these filters: begin at the first page")


def _histories(connection: sa.Connection, key: int, items: list[int]) -> dict[int, list[RecordedVerdict]]:
    found: dict[int, list[RecordedVerdict]] = {}
    for row in rows_of(connection, key, t.verdict.c.item.in_(items)) if items else ():
        found.setdefault(row.item, []).append(row)
    return found


def _view(row: Any, review: Review, reader: str | None, history: list[RecordedVerdict]) -> ItemView:
    """A row of `item` as a reader may see it, or with nothing hidden."""
    revealed = reader is None or is_revealed(history, reader, blind=review.blind)
    own = status_of(history, row.given, review.readers_per_item).standing.get(reader or "")
    near_given, near_suggested, near_by = read_near(row.near)
    state = t.STATES[row.state]
    return ItemView(
        id=row.id, sample=row.sample, given=row.given, state=state, is_revealed=revealed,
        suggested=row.suggested if revealed else None, score=row.score if revealed else None,
        near_given=tuple(near_given), near_suggested=tuple(near_suggested) if revealed else (),
        near_by=near_by, own=None if own is None else own.verdict,
        answer=Answer.model_validate_json(row.answer) if row.answer and revealed and state in DONE else None,
    )  # fmt: skip
