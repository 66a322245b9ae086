"""Accuracies of baseline models without and with a shift: the table that comes with the package, and files like it."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from unshaken.core.errors import DataError, did_you_mean

PUBLISHED = Path(__file__).parent / "baselines.csv"
"""Top-1 of torchvision's first weights, learned from ImageNet-1k alone, as timm measured them.

Of ImageNet-R and ImageNet-A among their 200 classes, also on ImageNet's validation images. Source:
https://github.com/huggingface/pytorch-image-models/tree/aa4b5850/results (Apache-2.0), weights `*.tv_in1k` but
`resnext101_64x4d`, which was trained by a later recipe.
"""
COLUMNS = ("model", "standard", "shifted")


@dataclass(frozen=True, slots=True)
class Baseline:
    """Accuracies of one model, shares.

    Args:
        model: its name.
        standard: without the shift, among the classes of the shifted set.
        shifted: with it.
    """

    model: str
    standard: float
    shifted: float


def read_baselines(path: Path, name: str, leave_out: Collection[str] = ()) -> list[Baseline]:
    """Read baselines of a shift from a CSV file with the columns `model`, `standard`, `shifted` and perhaps `set`.

    Args:
        path: the file.
        name: which rows count, where the file has the column `set`.
        leave_out: models that are no baselines, such as the one that is judged.

    Raises:
        DataError: the file cannot be read, lacks a column or the set, or has a value that is no share; a model to leave
            out is not there.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"baselines {str(path)!r} cannot be read: {error}") from error
    lacking = [column for column in COLUMNS if not rows or column not in rows[0]]
    if lacking:
        raise DataError(f"baselines {str(path)!r} have no column {lacking[0]!r}: write {','.join(COLUMNS)} on top")
    if "set" in rows[0]:
        sets = sorted({row["set"] or "" for row in rows})
        if name not in sets:
            raise DataError(
                f"baselines {str(path)!r} have no set {name!r}; {did_you_mean(name, sets)}; name it by set="
            )
        rows = [row for row in rows if row["set"] == name]
    found = [Baseline(row["model"], *(_share(row, column, path) for column in ("standard", "shifted"))) for row in rows]
    known = [one.model for one in found]
    if absent := [model for model in leave_out if model not in known]:
        raise DataError(f"baselines {str(path)!r} have no model {absent[0]!r}; {did_you_mean(absent[0], known)}")
    return [one for one in found if one.model not in leave_out]


def _share(row: dict[str, str], column: str, path: Path) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value <= 1:
        raise DataError(
            f"baselines {str(path)!r}: {column} of {row['model']!r} is {row[column]!r}: write an accuracy as a share "
            "from 0 to 1, such as 0.761"
        )
    return value
