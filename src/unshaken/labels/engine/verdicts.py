"""What people said of the labels that were drawn for review, from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from unshaken.core.errors import DataError, did_you_mean

VERDICTS = ("right", "wrong", "unclear")


def read_verdicts(path: str | Path, wanted: Sequence[str]) -> dict[str, str]:
    """The verdict on each sample that was drawn.

    Args:
        path: a CSV file in UTF-8 with the columns `id` and `verdict`: right, wrong or unclear.
        wanted: ids of the samples that were drawn.

    Raises:
        DataError: the file is absent or damaged, lacks a sample, has one twice, or has another word as verdict.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not rows or not {"id", "verdict"} <= rows[0].keys():
        raise DataError(f"{path}: needs a first line with the columns id and verdict")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        name, verdict = row["id"] or "", (row["verdict"] or "").strip().lower()
        if verdict not in VERDICTS:
            raise DataError(f"{path}: line {number}: no verdict {verdict!r}; {did_you_mean(verdict, VERDICTS)}")
        if name in found:
            raise DataError(f"{path}: line {number}: sample {name!r} comes twice")
        found[name] = verdict
    return check_verdicts(found, wanted, str(path))


def check_verdicts(found: Mapping[str, str], wanted: Sequence[str], source: str) -> dict[str, str]:
    """The verdict on each sample that was drawn, from those on samples.

    Args:
        found: id to `right`, `wrong` or `unclear`.
        wanted: ids of the samples that were drawn.
        source: what to call them in messages.

    Raises:
        DataError: there is none on a sample, or it is another word.
    """
    absent = [name for name in wanted if name not in found]
    if absent:
        raise DataError(
            f"{source}: {len(absent)} of {len(wanted)} drawn samples have no verdict, such as {absent[0]!r}; "
            "write 'unclear' where people cannot tell"
        )
    for name in wanted:
        if found[name] not in VERDICTS:
            raise DataError(
                f"{source}: sample {name!r}: no verdict {found[name]!r}; {did_you_mean(found[name], VERDICTS)}"
            )
    return {name: found[name] for name in wanted}
