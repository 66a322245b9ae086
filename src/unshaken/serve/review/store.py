"""`ReviewStore`: reviews of labels in a database, by any number of readers at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import MAX_CLASSES, in_range
from unshaken.labels.review.verdict import Action, RecordedVerdict, Verdict, VerdictKind, storable
from unshaken.serve.forms import checked_name
from unshaken.serve.review import _schema as t
from unshaken.serve.review._assignment import left_of
from unshaken.serve.review._log import READER, STATE, Act, append, now, rows_of
from unshaken.serve.review._pages import MOST_ITEMS, disputes_of, next_id, page_of, view_of
from unshaken.serve.review._readers import new_token
from unshaken.serve.review._rows import as_review, find_item, find_reader, find_review, insert_items
from unshaken.serve.review._schema import open_database
from unshaken.serve.review._versions import Versions
from unshaken.serve.review.records import Dispute, Filters, ItemView, NewItem, Page, Progress, Review

MOST_READERS = 100
"""Readers of one item."""


class ReviewStore(Versions):
    """Reviews in one database: their items, their readers, and the log of verdicts, which is only appended to.

    Use `ReviewStore.open`. All methods may be called from several threads and processes at once. What a method says of
    a review, an item or a reader that is absent is a `ParameterError`; of a database that fails, a `RunError`.
    """

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """Open a store; its tables are made or brought up to date.

        Args:
            url: a path or `sqlite:///PATH`; or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.

        Raises:
            ParameterError: the address is of another form.
            RunError: the database cannot be opened.
            MissingExtra: a package of the extra `serve` is absent.
        """
        return cls(open_database(url))

    @property
    def address(self) -> str:
        """Where the reviews are kept, without a password."""
        return self._database.name

    def create(
        self, name: str, *, classes: Sequence[str], items: Iterable[NewItem], blind: bool = True,
        readers_per_item: int = 2, data: str = "", labels: str = "given", strata: Sequence[int] = (),
    ) -> Review:  # fmt: skip
        """Begin a review.

        Args:
            name: 1 to 64 letters, digits, spaces and `_ . @ + -`; not yet in the store.
            classes: names in label order.
            items: in the order in which they are reviewed; each sample once.
            blind: whether the model's suggestion is hidden until a reader's first verdict.
            readers_per_item: how many readers must answer each item, 1 to 100.
            data: SPEC of the data.
            labels: name of the version of the labels that is reviewed.
            strata: where the items are a stratified random sample in a random order, the number of samples in each
                stratum; else empty.
        """
        checked_name(name, "review")
        in_range("readers_per_item", readers_per_item, 1, MOST_READERS)
        in_range("the number of classes", len(classes), 2, MAX_CLASSES)
        try:
            names = [storable(str(c), "the name of a class") for c in classes]
            data, labels = storable(data, "the SPEC of the data"), storable(labels, "the name of the labels")
        except ValueError as error:
            raise ParameterError(str(error)) from None
        with self._database.writing() as connection:
            if connection.execute(sa.select(t.review.c.id).where(t.review.c.name == name)).scalar() is not None:
                raise ParameterError(f"there is a review {name!r} already: choose another name")
            row = t.review.insert().values(
                name=name, classes=json.dumps(names), data=data, labels=labels, blind=blind, items=0, log=0,
                readers_per_item=readers_per_item, created=now(), strata=json.dumps(list(strata)) if strata else None,
            )  # fmt: skip
            key = int(connection.execute(row.returning(t.review.c.id)).scalar_one())
            total = insert_items(connection, key, items, len(names), strata)
            connection.execute(t.review.update().where(t.review.c.id == key).values(items=total))
            counts = [
                {"review": key, "kind": STATE, "key": i, "count": 0 if i else total} for i in range(len(t.STATES))
            ]
            connection.execute(t.tally.insert(), counts)
        return self.review(name)

    def reviews(self) -> list[Review]:
        """All reviews, in the order in which they were begun."""
        with self._database.reading() as connection:
            return [as_review(row) for row in connection.execute(sa.select(t.review).order_by(t.review.c.id))]

    def review(self, name: str) -> Review:
        """Find a review by its name."""
        with self._database.reading() as connection:
            return find_review(connection, name)[1]

    def page(
        self, review: str, *, reader: str, filters: Filters | None = None, after: str | None = None, limit: int = 50
    ) -> Page:
        """Some items as a reader may see them, in the order of their numbers, or of scores where these are filtered.

        Args:
            review: name.
            reader: name of who looks.
            filters: which items; None for all.
            after: `next` of the page before; None for the first page.
            limit: most items, 1 to 500.
        """
        in_range("limit", limit, 1, MOST_ITEMS)
        filters = filters or Filters()
        with self._database.reading() as connection:
            key, found = find_review(connection, review)
            who = find_reader(connection, reader)
            other = None if filters.reader is None else find_reader(connection, filters.reader)[0]
            return page_of(connection, key, found, who, filters, after, limit, other)

    def item(self, review: str, item_id: int, reader: str) -> ItemView:
        """One item as a reader may see it."""
        with self._database.reading() as connection:
            key, found = find_review(connection, review)
            who = find_reader(connection, reader)
            return view_of(connection, key, found, who, item_id)

    def next_item(self, review: str, reader: str, after: int | None = None) -> ItemView | None:
        """The next item that lacks verdicts and that the reader has neither answered nor skipped; None at the end.

        Where items are assigned (`assign`) the reader's own come first, then the others.

        Args:
            review: name.
            reader: name.
            after: number of an item; None goes on after the reader's last verdict. After the last item comes the first.
        """
        with self._database.reading() as connection:
            key, found = find_review(connection, review)
            who = find_reader(connection, reader)
            v = t.verdict.c
            if after is None:
                last = sa.select(v.item).where(v.review == key, v.reader == who[0]).order_by(v.number.desc()).limit(1)
                after = connection.execute(last).scalar() or 0
            number = next_id(connection, key, who[0], after)
            return None if number is None else view_of(connection, key, found, who, number)

    def record(self, review: str, item_id: int, reader: str, verdict: Verdict, *, token: str) -> RecordedVerdict:
        """Append a reader's verdict. It is on the disk when this returns.

        Args:
            review: name.
            item_id: number of the item.
            reader: name.
            verdict: on the item's label.
            token: the client's own name of this act, 1 to 100 characters: sent again, it adds no second row.

        Returns:
            The row of the log; of a token that came before, the row that it left.
        """
        return self._append(review, reader, Action.VERDICT, token, item_id, verdict)

    def record_all(self, review: str, verdicts: Iterable[tuple[str, str, Verdict, str]]) -> int:
        """Append verdicts that were given elsewhere, all of them or none.

        Args:
            review: name.
            verdicts: sample, reader, verdict and token of each; as for `record`, a token that came before adds no row.

        Returns:
            The number of rows added.

        Raises:
            ParameterError: a sample is none of the review, or a verdict is not allowed.
        """
        with self._database.writing() as connection:
            key, found = find_review(connection, review)
            readers: dict[str, tuple[int, str]] = {}
            for sample, reader, verdict, token in verdicts:
                if reader not in readers:
                    readers[reader] = find_reader(connection, reader)
                item = find_item(connection, key, sample)
                append(connection, key, found, Act(readers[reader], Action.VERDICT, token, item, verdict))
            return find_review(connection, review)[1].log - found.log

    def settle(self, review: str, item_id: int, reader: str, verdict: Verdict, *, token: str) -> RecordedVerdict:
        """Append a verdict that decides what readers disagree on; the arguments are those of `record`."""
        if verdict.kind is VerdictKind.SKIP:
            raise ParameterError("skip settles nothing: leave the item in the queue instead")
        return self._append(review, reader, Action.SETTLE, token, item_id, verdict)

    def undo(self, review: str, reader: str, *, token: str | None = None) -> RecordedVerdict:
        """Append the withdrawal of a reader's last verdict or settlement; once more, that of the one before it.

        Args:
            review: name.
            reader: name.
            token: as for `record`; None for a new one.
        """
        return self._append(review, reader, Action.WITHDRAW, token or new_token(), None, None)

    def progress(self, review: str) -> Progress:
        """How many items are in which state, how many each reader has answered, and how many assigned ones are left."""
        with self._database.reading() as connection:
            key, found = find_review(connection, review)
            c = t.tally.c
            rows = connection.execute(sa.select(c.kind, c.key, c["count"]).where(c.review == key)).all()
            names = {row.id: row.name for row in connection.execute(sa.select(t.reader.c.id, t.reader.c.name))}
            left = {names[number]: n for number, n in left_of(connection, key).items()}
        states = {t.STATES[key]: number for kind, key, number in rows if kind == STATE}
        readers = {names[key]: number for kind, key, number in rows if kind == READER}
        return Progress(found.items, states, dict(sorted(readers.items())), dict(sorted(left.items())))

    def disagreements(self, review: str, after: int = 0, limit: int = 50) -> list[Dispute]:
        """The queue to settle: items on which readers disagree, with their verdicts.

        Args:
            review: name.
            after: number of the item after which to begin.
            limit: most items, 1 to 500.
        """
        in_range("limit", limit, 1, MOST_ITEMS)
        with self._database.reading() as connection:
            return disputes_of(connection, *find_review(connection, review), after, limit)

    def history(self, review: str, item_id: int) -> list[RecordedVerdict]:
        """The rows of one item's log."""
        with self._database.reading() as connection:
            return rows_of(connection, find_review(connection, review)[0], t.verdict.c.item == item_id)

    def verdicts(self, review: str, after: int = 0, limit: int | None = None) -> list[RecordedVerdict]:
        """The log: all rows in their order, or some of them.

        Args:
            review: name.
            after: number of the row after which to begin.
            limit: most rows.
        """
        with self._database.reading() as connection:
            return list(
                rows_of(connection, find_review(connection, review)[0], t.verdict.c.number > after, limit=limit)
            )

    def _append(
        self, review: str, reader: str, action: Action, token: str, item: int | None, verdict: Verdict | None
    ) -> RecordedVerdict:
        with self._database.writing() as connection:
            key, found = find_review(connection, review)
            return append(connection, key, found, Act(find_reader(connection, reader), action, token, item, verdict))
