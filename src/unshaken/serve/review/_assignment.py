"""Dividing the items of a review among readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import in_range
from unshaken.labels.review.protocol import ItemState
from unshaken.serve.review import _schema as t
from unshaken.serve.review._readers import Readers
from unshaken.serve.review._rows import find_reader, find_review


class Assignments(Readers):
    """The part of a store that knows which reader is to read which item."""

    def assign(self, review: str, readers: Sequence[str], *, per_item: int = 1, seed: int = 0) -> dict[str, int]:
        """Divide the items of a review among readers, in shares that differ by one item at most where all is new.

        What one of the readers has already stays. Items of others who have not read them go to the readers named: so
        call this again with those who are left, when a reader leaves. What others have read or skipped stays theirs.

        Args:
            review: name.
            readers: names, each once.
            per_item: number of readers of each item, 1 to the number of readers.
            seed: of the order in which items are divided.

        Returns:
            Reader to number of items assigned.

        Raises:
            ParameterError: there is no such review or reader, a reader comes twice, or per_item is out of range.
        """
        if not readers:
            raise ParameterError("there is no reader to assign items to: name some")
        if len(set(readers)) < len(readers):
            raise ParameterError("a reader comes twice among those to assign items to: give each once")
        in_range("per_item", per_item, 1, len(readers))
        a, r = t.assignment.c, t.reading.c
        with self._database.writing() as connection:
            key, found = find_review(connection, review)
            connection.execute(sa.select(t.review.c.id).where(t.review.c.id == key).with_for_update())
            numbers = {find_reader(connection, name)[0]: name for name in readers}
            handled = sa.exists().where(r.review == key, r.reader == a.reader, r.item == a.item, r.handled)
            connection.execute(t.assignment.delete().where(a.review == key, a.reader.not_in(list(numbers)), ~handled))
            holders: dict[int, set[int]] = {}
            for row in connection.execute(sa.select(a.item, a.reader).where(a.review == key)):
                holders.setdefault(row.item, set()).add(row.reader)
            load = Counter(reader for held in holders.values() for reader in held if reader in numbers)
            new = []
            rng = np.random.default_rng(seed)
            for item in (1 + rng.permutation(found.items)).tolist():
                held = holders.get(item, set())
                free = [number for number in numbers if number not in held]
                for reader in sorted(free, key=lambda n: load[n])[: max(0, per_item - len(held))]:
                    load[reader] += 1
                    new.append({"review": key, "reader": reader, "item": item})
            if new:
                connection.execute(t.assignment.insert(), new)
        return {name: load[number] for number, name in numbers.items()}


def left_of(connection: sa.Connection, key: int) -> dict[int, int]:
    """Number of each reader's assigned items that lack verdicts and that the reader has not answered nor skipped.

    Readers without assigned items are absent.

    Args:
        connection: to read with.
        key: number of the review.
    """
    a, r = t.assignment.c, t.reading.c
    handled = sa.exists().where(r.review == key, r.reader == a.reader, r.item == a.item, r.handled)
    undone = t.item.c.state.in_([t.STATES.index(state) for state in (ItemState.OPEN, ItemState.WAITING)])
    left = sa.func.sum(sa.case((undone & ~handled, 1), else_=0))
    query = sa.select(a.reader, left.label("left")).where(a.review == key).group_by(a.reader)
    query = query.join(t.item, sa.and_(t.item.c.review == a.review, t.item.c.id == a.item))
    return {row.reader: int(row.left) for row in connection.execute(query)}
