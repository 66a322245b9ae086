"""Named points in the log of a review, and the labels as they stood there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import sqlalchemy as sa

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.labels.correct.outcome import Outcome
from unshaken.labels.review.protocol import ReviewedLabel, reviewed_label
from unshaken.serve.forms import checked_name
from unshaken.serve.review import _schema as t
from unshaken.serve.review._assignment import Assignments
from unshaken.serve.review._log import as_time, now, row_of
from unshaken.serve.review._rows import find_review, sample_key
from unshaken.serve.review.records import Version

BLOCK = 1000
"""Rows of a log read at once."""
START = "given"
"""Name of the version before the first verdict."""


class Versions(Assignments):
    """The part of a store that knows versions of labels."""

    def name_version(self, review: str, name: str) -> Version:
        """Name the point in the log that is reached now. The labels of a version never change.

        Args:
            review: name.
            name: 1 to 64 letters, digits, spaces and `_ . @ + -`; not yet in the review.

        Raises:
            ParameterError: there is no such review, or the name is taken or is none.
        """
        checked_name(name, "version")
        with self._database.writing() as connection:
            key, _ = find_review(connection, review)
            last = connection.execute(sa.select(t.review.c.log).where(t.review.c.id == key).with_for_update())
            v = t.version.c
            existing = connection.execute(sa.select(v.number).where(v.review == key, v.name == name)).scalar()
            if name == START or existing is not None:
                raise ParameterError(f"there is a version {name!r} already: choose another name")
            number, time = int(last.scalar_one()), now()
            connection.execute(t.version.insert(), {"review": key, "name": name, "number": number, "time": time})
        return Version(name, number, as_time(time))

    def versions(self, review: str) -> list[Version]:
        """All named versions, in the order of the log."""
        with self._database.reading() as connection:
            key, _ = find_review(connection, review)
            query = sa.select(t.version).where(t.version.c.review == key)
            rows = connection.execute(query.order_by(t.version.c.number, t.version.c.time)).all()
        return [Version(row.name, row.number, as_time(row.time)) for row in rows]

    def labels_at(self, review: str, version: str | int | None = None) -> list[ReviewedLabel]:
        """The outcome for each sample that has a row in the log, by the rules of the review, in the items' order.

        Args:
            review: name.
            version: a name, `given` for none of the log, a number of a row of the log, or None for all of it.

        Raises:
            ParameterError: there is no such review or version.
        """
        v, i = t.verdict.c, t.item.c
        with self._database.reading() as connection:
            key, found = find_review(connection, review)
            last = found.log if version is None else _number(connection, key, found.log, version)
            names = {row.id: row.name for row in connection.execute(sa.select(t.reader))}
            columns = [*t.verdict.c, i.sample, i.given, i.suggested, i.score]
            query = sa.select(*columns).join(t.item, sa.and_(i.review == v.review, i.id == v.item))
            query = query.where(v.review == key, v.number <= last).order_by(v.item, v.number)
            rows = connection.execute(query.execution_options(yield_per=BLOCK))
            reviewed = []
            for _, group in groupby(rows, key=lambda row: row.item):
                log = list(group)
                first = log[0]
                history = [row_of(row, names[row.reader]) for row in log]
                rules = found.readers_per_item
                one = reviewed_label(
                    history, first.sample, first.given, rules, suggested=first.suggested, score=first.score
                )
                reviewed.append(one)
        return reviewed

    def given_labels(self, review: str, samples: Sequence[str]) -> dict[str, int]:
        """The reviewed label of each of these samples that the review has.

        Args:
            review: name.
            samples: ids.

        Raises:
            ParameterError: there is no such review.
        """
        found: dict[str, int] = {}
        with self._database.reading() as connection:
            key, _ = find_review(connection, review)
            for start in range(0, len(samples), BLOCK):
                keys = [sample_key(sample) for sample in samples[start : start + BLOCK]]
                query = sa.select(t.item.c.sample, t.item.c.given)
                rows = connection.execute(query.where(t.item.c.review == key, t.item.c.key.in_(keys)))
                found |= {row.sample: int(row.given) for row in rows}
        return found

    def drawn(self, review: str) -> dict[str, int]:
        """The samples of a review whose items were drawn at random, in their order, each with its stratum.

        Args:
            review: name.

        Raises:
            ParameterError: there is no such review.
        """
        i = t.item.c
        with self._database.reading() as connection:
            key, _ = find_review(connection, review)
            query = sa.select(i.sample, i.stratum).where(i.review == key, i.stratum.is_not(None)).order_by(i.id)
            return {row.sample: int(row.stratum) for row in connection.execute(query)}

    def outcome(self, review: str, version: str | int | None = None) -> Outcome:
        """The labels of a review at a version, as exports take them.

        Args:
            review: name.
            version: as for `labels_at`.

        Raises:
            ParameterError: there is no such review or version.
        """
        with self._database.reading() as connection:
            _, found = find_review(connection, review)
        name = f"{review}@{found.log}" if version is None else str(version)
        labels = self.labels_at(review, found.log if version is None else version)
        return Outcome(found.classes, labels, name, review, found.data)


def _number(connection: sa.Connection, key: int, last: int, version: str | int) -> int:
    if version == START:
        return 0
    if isinstance(version, int):
        if 0 <= version <= last:
            return version
        raise ParameterError(f"the log of the review has no row {version}: its last is {last}")
    v = t.version.c
    names = {row.name: int(row.number) for row in connection.execute(sa.select(t.version).where(v.review == key))}
    if version not in names:
        raise ParameterError(f"the review has no version {shorten(version)}; {did_you_mean(version, [START, *names])}")
    return names[version]
