"""Arrays as cleanlab takes them: given labels, one column of labels a reader, and which labels are wrong; and back."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from unshaken.core.errors import DataError
from unshaken.labels.correct.outcome import ForeignVerdict, Outcome, final_label
from unshaken.labels.review.verdict import Answer, AnswerKind

Arrays = dict[str, np.ndarray[Any, Any]]


def to_cleanlab(outcome: Outcome) -> Arrays:
    """Arrays for `numpy.savez`; `labels_multiannotator` is what `cleanlab.multiannotator` takes.

    Only answers of one class fit into a column of labels: several, none and unclear are missing there.

    Args:
        outcome: of a review.

    Returns:
        `ids` `[N]`; `labels` int `[N]`, as given; `corrected` int `[N]`, to train with, -1 for none; `is_label_issue`
        bool `[N]`; `readers` `[R]`; `labels_multiannotator` float `[N, R]`, NaN where missing; `classes` `[K]`.
    """
    readers = sorted({reader for one in outcome.labels for reader in one.answers})
    place = {reader: i for i, reader in enumerate(readers)}
    table = np.full((len(outcome.labels), len(readers)), np.nan)
    for row, one in zip(table, outcome.labels, strict=True):
        for reader, answer in one.answers.items():
            if len(answer.classes) == 1:
                row[place[reader]] = answer.classes[0]
    finals = [final_label(one) for one in outcome.labels]
    return {
        "ids": np.array([one.sample for one in outcome.labels], str),
        "labels": np.array([one.given for one in outcome.labels], np.int64),
        "corrected": np.array([-1 if final is None else final for final in finals], np.int64),
        "is_label_issue": np.array([one.is_wrong is True for one in outcome.labels]),
        "readers": np.array(readers, str),
        "labels_multiannotator": table,
        "classes": np.array(outcome.classes, str),
    }


def from_cleanlab(path: Path) -> list[ForeignVerdict]:
    """The readers' answers in a file of arrays.

    Args:
        path: `.npz` with `ids`, `readers` and `labels_multiannotator`.

    Raises:
        DataError: it cannot be read, or the arrays do not fit.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            ids, readers, table = (file[name] for name in ("ids", "readers", "labels_multiannotator"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: cannot be read as arrays ids, readers and labels_multiannotator ({error})") from None
    if table.dtype.kind not in "fiu" or table.shape != (len(ids), len(readers)):
        raise DataError(f"{path}: labels_multiannotator must be numbers of shape {(len(ids), len(readers))}")
    known = np.isfinite(table)
    if (table[known] < 0).any() or (table[known] % 1).any():
        raise DataError(f"{path}: labels_multiannotator holds a number that is no label")
    return [
        ForeignVerdict(str(ids[i]), str(readers[r]), Answer(kind=AnswerKind.LABELS, classes=(int(table[i, r]),)))
        for i, r in zip(*np.nonzero(known), strict=True)
    ]
