"""CSV: one row a sample, for spreadsheets and scripts; and back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from unshaken.core.errors import DataError
from unshaken.labels.correct.outcome import ForeignVerdict, Outcome, final_label, parse_answer

COLUMNS = (
    "id",
    "given",
    "given_name",
    "state",
    "answer",
    "label",
    "label_name",
    "suggested",
    "score",
    "readers",
    "settled_by",
)
_FORMULA = ("=", "+", "-", "@", "'", "\t", "\r")


def to_csv(outcome: Outcome) -> str:
    """Write an outcome as CSV text.

    `answer` is that of the item (label numbers, `not-in-classes`, `unclear`, or empty), `label` the one to train with,
    `readers` each reader's answer, `settled_by` who decided between readers who differed. A text
    that a spreadsheet would take for a formula has an apostrophe before it.

    Args:
        outcome: of a review.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in outcome.labels:
        label = final_label(one)
        writer.writerow(
            [
                guarded(one.sample), one.given, guarded(outcome.classes[one.given]), one.state.value,
                "" if one.answer is None else str(one.answer), "" if label is None else label,
                "" if label is None else guarded(outcome.classes[label]),
                "" if one.suggested is None else one.suggested, "" if one.score is None else repr(one.score),
                guarded("; ".join(f"{reader}: {answer}" for reader, answer in one.answers.items())),
                guarded(one.settler or ""),
            ]
        )  # fmt: skip
    return file.getvalue()


def from_csv(path: Path) -> list[ForeignVerdict]:
    """The readers' answers in a table; where it has no column `readers`, those of the column `answer`, of no reader.

    Args:
        path: with the columns `id` and `readers` or `answer`.

    Raises:
        DataError: it cannot be read, or an answer is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not rows or "id" not in rows[0] or not {"readers", "answer"} & rows[0].keys():
        raise DataError(f"{path}: needs a first line with the columns id and readers or answer")
    found = []
    for number, row in enumerate(rows, 2):
        where, sample = f"{path}: row {number}", unguarded(row["id"] or "")
        if "readers" in row:
            for part in filter(None, unguarded(row["readers"] or "").split("; ")):
                reader, colon, answer = part.rpartition(": ")
                if not colon:
                    raise DataError(f"{where}: the column readers is not of the form NAME: ANSWER; NAME: ANSWER")
                found.append(ForeignVerdict(sample, reader, parse_answer(answer, where)))
        elif row["answer"]:
            found.append(ForeignVerdict(sample, None, parse_answer(row["answer"], where)))
    return found


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `unguarded` gives it back.

    >>> guarded("=1+1"), unguarded(guarded("'=1")), guarded("cat")
    ("'=1+1", "'=1", 'cat')
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def unguarded(text: str) -> str:
    """Undo `guarded`: the text without the apostrophe before a formula."""
    return text[1:] if text.startswith("'") and text[1:].lstrip(" ").startswith(_FORMULA) else text
