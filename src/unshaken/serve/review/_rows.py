"""Finding reviews and readers by their names, and writing new items down."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from unshaken.core.documents import parse_json
from unshaken.core.errors import ParameterError, RunError, did_you_mean
from unshaken.core.numbers import LARGEST_COUNT, shorten
from unshaken.serve.review import _schema as t
from unshaken.serve.review._log import as_time
from unshaken.serve.review.records import NewItem, Review

BLOCK = 5000
"""Items written at once."""


def find_review(connection: sa.Connection, name: str) -> tuple[int, Review]:
    """Find the number and the rules of a review by its name.

    Raises:
        ParameterError: there is none of this name.
    """
    row = (
        connection.execute(sa.select(t.review).where(t.review.c.name == name)).one_or_none()
        if "\0" not in name
        else None
    )
    if row is None:
        names = connection.execute(sa.select(t.review.c.name)).scalars()
        raise ParameterError(f"there is no review {shorten(name)}; {did_you_mean(name, names)}")
    return int(row.id), as_review(row)


def as_review(row: Any) -> Review:
    """Make the review of a row of the database.

    Raises:
        RunError: its class names are damaged.
    """
    where = f"the classes of the review {row.name!r}"
    classes = parse_json(row.classes, where, RunError)
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(name, str) for name in classes):
        raise RunError(f"{where} are damaged: needed are two names or more, not {shorten(row.classes)}")
    strata = [] if row.strata is None else parse_json(row.strata, f"the strata of the review {row.name!r}", RunError)
    if not isinstance(strata, list) or not all(type(size) is int for size in strata):
        raise RunError(
            f"the strata of the review {row.name!r} are damaged: needed are sizes, not {shorten(row.strata)}"
        )
    return Review(
        name=row.name, classes=tuple(classes), items=row.items, blind=row.blind,
        readers_per_item=row.readers_per_item, data=row.data, labels=row.labels, log=row.log,
        created=as_time(row.created), strata=tuple(strata),
    )  # fmt: skip


def find_reader(connection: sa.Connection, name: str) -> tuple[int, str]:
    """Find the number of a reader by name; both are returned.

    Raises:
        ParameterError: there is none of this name.
    """
    found = reader_number(connection, name)
    if found is None:
        raise ParameterError(f"there is no reader {shorten(name)}: add the reader first")
    return found, name


def reader_number(connection: sa.Connection, name: str) -> int | None:
    """Find the number of a reader by name; None where there is none."""
    if "\0" in name:
        return None
    found = connection.execute(sa.select(t.reader.c.id).where(t.reader.c.name == name)).scalar()
    return None if found is None else int(found)


def find_item(connection: sa.Connection, key: int, sample: str) -> int:
    """Find the number of the item of a sample.

    Raises:
        ParameterError: the review has none.
    """
    query = sa.select(t.item.c.id).where(t.item.c.review == key, t.item.c.key == sample_key(sample))
    found = connection.execute(query).scalar()
    if found is None:
        raise ParameterError(f"the review has no item of sample {shorten(sample)}")
    return int(found)


def insert_items(
    connection: sa.Connection, key: int, items: Iterable[NewItem], classes: int, strata: Sequence[int]
) -> int:
    """Write the items of a review to the database.

    Returns:
        Their number.

    Raises:
        ParameterError: there is none, a sample comes twice, a label is no class, or the strata do not fit the items.
    """
    total, left, drawn = 0, iter(items), Counter[int | None]()
    while block := list(islice(left, BLOCK)):
        rows = [_columns(key, total + place, item, classes) for place, item in enumerate(block, 1)]
        if len({row["key"] for row in rows}) < len(rows) or _known(connection, key, rows):
            raise ParameterError("a sample comes twice in the items of the review: give each once")
        connection.execute(t.item.insert(), rows)
        total += len(rows)
        drawn.update(row["stratum"] for row in rows)
        if total > LARGEST_COUNT:
            raise ParameterError(f"a review takes {LARGEST_COUNT:,} items: make several")
    if not total:
        raise ParameterError("a review needs items, and there are none")
    allowed: dict[int | None, int] = dict(enumerate(strata)) or {None: total}
    for stratum, number in drawn.items():
        if number > allowed.get(stratum, 0):
            raise ParameterError(
                f"{number:,} items are of stratum {stratum}, which has {allowed.get(stratum, 0):,} samples: give each "
                "item of a drawn sample its stratum, and the review the size of each"
            )
    return total


def _columns(key: int, number: int, item: NewItem, classes: int) -> dict[str, Any]:
    for label in (item.given, item.suggested):
        if label is not None and label >= classes:
            raise ParameterError(
                f"sample {shorten(item.sample)}: label {label} is no class: they are 0 to {classes - 1}"
            )
    return {
        "review": key, "id": number, "key": sample_key(item.sample), "sample": item.sample, "given": item.given,
        "suggested": item.suggested, "score": item.score,
        "near": json.dumps([item.near_given, item.near_suggested, item.near_by]), "state": 0, "answer": None,
        "stratum": item.stratum,
    }  # fmt: skip


def _known(connection: sa.Connection, key: int, rows: list[dict[str, Any]]) -> bool:
    keys = [row["key"] for row in rows]
    query = sa.select(t.item.c.id).where(t.item.c.review == key, t.item.c.key.in_(keys)).limit(1)
    return connection.execute(query).first() is not None


def sample_key(sample: str) -> str:
    """The key of a sample in an index, whatever the length of its id."""
    return hashlib.blake2b(sample.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
