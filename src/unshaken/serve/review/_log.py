"""Appending to the log of a review, and reading it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from unshaken.core.documents import parse_json
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.numbers import shorten
from unshaken.core.version import __version__
from unshaken.labels.review.protocol import ItemState, ItemStatus, is_revealed, status_of, valid_rows
from unshaken.labels.review.verdict import LONGEST_TOKEN, Action, RecordedVerdict, ReviewContext, Verdict
from unshaken.serve.review import _schema as t
from unshaken.serve.review.records import Review

STATE, READER = "state", "reader"
"""Kinds of tallies: items by state, and items answered by reader."""


@dataclass(frozen=True, slots=True)
class Act:
    """An act of a reader on a review.

    Args:
        reader: number and name.
        action: a verdict, a settlement or a withdrawal.
        token: the client's own name of the act.
        item: number; None for a withdrawal.
        verdict: None for a withdrawal.
    """

    reader: tuple[int, str]
    action: Action
    token: str
    item: int | None = None
    verdict: Verdict | None = None


def now() -> int:
    """The time now, in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def as_time(microseconds: int) -> datetime:
    """Convert microseconds since 1970, as columns hold them, to a time in UTC."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def append(connection: sa.Connection, key: int, review: Review, act: Act) -> RecordedVerdict:
    """Append an act to the log, with all that follows from it, in the transaction of the connection.

    The first statement locks the review: numbers have no gap and follow the order of the commits, so that a point in
    the log stays what it is.

    Args:
        connection: in a transaction that writes.
        key: number of the review.
        review: its rules.
        act: what is done.

    Raises:
        ParameterError: the token is none or was used for something else, there is nothing to withdraw, the item is
            absent or not disputed, or the verdict names a class that is none.
    """
    _check(review, act)
    last = connection.execute(sa.select(t.review.c.log).where(t.review.c.id == key).with_for_update()).scalar_one()
    reader, name = act.reader
    if there := rows_of(connection, key, t.verdict.c.reader == reader, t.verdict.c.token == act.token):
        return _same(there[0], act)
    withdrawn = _last_valid(connection, key, reader) if act.action is Action.WITHDRAW else None
    item = withdrawn.item if withdrawn is not None else act.item
    item = check_item(review, item)
    stored = connection.execute(sa.select(t.item).where(t.item.c.review == key, t.item.c.id == item)).one()
    history = rows_of(connection, key, t.verdict.c.item == item)
    before = status_of(history, stored.given, review.readers_per_item)
    if act.action is Action.SETTLE and before.state not in (ItemState.DISPUTED, ItemState.SETTLED):
        raise ParameterError(f"item {item} is {before.state.value}: only what readers disagree on is settled")
    revealed = act.action is Action.SETTLE or is_revealed(history, name, blind=review.blind)
    near_given, near_suggested, _ = read_near(stored.near)
    shown = ReviewContext(
        suggestion=revealed and stored.suggested is not None,
        labels=review.labels,
        neighbours=tuple(near_given + (near_suggested if revealed else [])),
    )
    row = RecordedVerdict(
        number=last + 1, item=item, reader=name, time=as_time(now()), software=__version__, action=act.action,
        verdict=act.verdict, shown=shown, token=act.token,
        withdraws=None if withdrawn is None else withdrawn.number,
    )  # fmt: skip
    connection.execute(t.verdict.insert(), _columns(row, key, reader))
    connection.execute(t.review.update().where(t.review.c.id == key).values(log=row.number))
    after = status_of([*history, row], stored.given, review.readers_per_item)
    _keep(connection, key, item, before, after)
    reading = {  # whether the reader may see the suggestion, and has answered or skipped the item
        "revealed": is_revealed([*history, row], name, blind=True),
        "handled": any(r.reader == name and r.action is Action.VERDICT for r in valid_rows([*history, row])),
    }
    _upsert(connection, t.reading, {"review": key, "reader": reader, "item": item}, reading, reading)
    if (change := (name in after.standing) - (name in before.standing)) != 0:
        _count(connection, key, READER, reader, change)
    return row


def check_item(review: Review, item: int | None) -> int:
    """The number of an item, if the review has it.

    Raises:
        ParameterError: it has not.
    """
    if item is None or not 1 <= item <= review.items:
        raise ParameterError(f"review {review.name!r} has no item {shorten(item)}: its items are 1 to {review.items:,}")
    return item


def _check(review: Review, act: Act) -> None:
    token, classes = act.token, () if act.verdict is None else act.verdict.classes
    if not 1 <= len(token) <= LONGEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise ParameterError(f"token {shorten(token)} must be 1 to {LONGEST_TOKEN} printable ASCII characters")
    if unknown := [c for c in classes if c >= len(review.classes)]:
        raise ParameterError(f"there is no class {unknown[0]}: the review has classes 0 to {len(review.classes) - 1}")


def rows_of(connection: sa.Connection, key: int, *conditions: Any, limit: int | None = None) -> list[RecordedVerdict]:
    """Rows of a log in the order of their numbers.

    Args:
        connection: to read with.
        key: number of the review.
        conditions: which rows, on the columns of `verdict`.
        limit: most rows.
    """
    columns = [*t.verdict.c, t.reader.c.name]
    query = sa.select(*columns).join(t.reader, t.reader.c.id == t.verdict.c.reader)
    query = query.where(t.verdict.c.review == key, *conditions).order_by(t.verdict.c.number).limit(limit)
    return [row_of(row, row.name) for row in connection.execute(query)]


def row_of(row: Any, reader: str) -> RecordedVerdict:
    """The record of a row of `verdict`.

    Args:
        row: of the database.
        reader: name.
    """
    return RecordedVerdict(
        number=row.number, item=row.item, reader=reader, time=as_time(row.time), software=row.software,
        action=Action(row.action), verdict=None if row.verdict is None else Verdict.model_validate_json(row.verdict),
        shown=ReviewContext.model_validate_json(row.shown), withdraws=row.withdraws, token=row.token,
    )  # fmt: skip


def _columns(row: RecordedVerdict, key: int, reader: int) -> dict[str, Any]:
    return {
        "review": key, "number": row.number, "item": row.item, "reader": reader,
        "time": round(row.time.timestamp() * 1e6), "software": row.software, "action": row.action.value,
        "verdict": None if row.verdict is None else row.verdict.model_dump_json(exclude_defaults=True),
        "shown": row.shown.model_dump_json(), "withdraws": row.withdraws, "token": row.token,
    }  # fmt: skip


def _same(there: RecordedVerdict, act: Act) -> RecordedVerdict:
    """The row that an earlier act with the same token left."""
    same_item = act.action is Action.WITHDRAW or there.item == act.item
    if there.action is act.action and same_item and there.verdict == act.verdict:
        return there
    raise ParameterError(f"token {shorten(act.token)} was used for another verdict: make a new one for each")


def _last_valid(connection: sa.Connection, key: int, reader: int) -> RecordedVerdict:
    """The last row of a reader that can be withdrawn."""
    other = t.verdict.alias()
    withdrawn = sa.exists().where(other.c.review == key, other.c.withdraws == t.verdict.c.number)
    mine = sa.select(t.verdict.c.number).where(
        t.verdict.c.review == key, t.verdict.c.reader == reader, t.verdict.c.action != Action.WITHDRAW.value, ~withdrawn
    )
    number = connection.execute(mine.order_by(t.verdict.c.number.desc()).limit(1)).scalar()
    if number is None:
        raise ParameterError("there is no verdict to undo")
    return rows_of(connection, key, t.verdict.c.number == number)[0]


def _keep(connection: sa.Connection, key: int, item: int, before: ItemStatus, after: ItemStatus) -> None:
    """Write the state of an item where it changed."""
    if (before.state, before.answer) == (after.state, after.answer):
        return
    answer = None if after.answer is None else after.answer.model_dump_json()
    change = t.item.update().where(t.item.c.review == key, t.item.c.id == item)
    connection.execute(change.values(state=t.STATES.index(after.state), answer=answer))
    if before.state is not after.state:
        _count(connection, key, STATE, t.STATES.index(before.state), -1)
        _count(connection, key, STATE, t.STATES.index(after.state), 1)


def _count(connection: sa.Connection, key: int, kind: str, number: int, change: int) -> None:
    added = {"count": t.tally.c.count + change}
    _upsert(connection, t.tally, {"review": key, "kind": kind, "key": number}, {"count": change}, added)


def _upsert(
    connection: sa.Connection, table: sa.Table, where: dict[str, Any], values: dict[str, Any], changes: dict[str, Any]
) -> None:
    insert = (sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert)(table)
    row = insert.values(**where, **values)
    connection.execute(row.on_conflict_do_update(index_elements=list(where), set_=changes))


def read_near(text: str) -> tuple[list[str], list[str], str]:
    """Read the reference pictures of an item, as the database has them.

    Args:
        text: JSON.

    Returns:
        Samples of the given class, of the suggested one, and how they were found; empty in reviews of earlier versions.

    Raises:
        RunError: the text is damaged.
    """
    value = parse_json(text, "the reference pictures of an item", RunError)
    if not isinstance(value, list) or len(value) not in (2, 3) or not all(isinstance(ids, list) for ids in value[:2]):
        raise RunError(f"the reference pictures of an item are damaged: {shorten(text)}")
    return value[0], value[1], str(value[2]) if len(value) == 3 else ""
