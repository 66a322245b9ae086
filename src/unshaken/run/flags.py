"""Flags that a run raises of its conditions, its labels, and all its rows together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import CLEAN, Condition
from unshaken.core.trust import NON_FINITE
from unshaken.data import Dataset

EPS_ZERO = FlagKind(
    "eps-zero",
    "an attack has no budget",
    "Give the budget in units of [0, 1] pixels, such as 8/255.",
)
OUT_OF_BUDGET = FlagKind(
    "out-of-budget",
    "a change is larger than the budget says",
    "Do not use the figure of that condition; correct the method's projection, or report the fault.",
)
SINGLE_CLASS = FlagKind(
    "single-class",
    "all samples have one label",
    "Point the data SPEC at the folder that has one subfolder a class.",
)
LABEL_OUT_OF_RANGE = FlagKind(
    "label-out-of-range",
    "labels are no classes of the model",
    "Check the class names and their order in the model and in the data.",
)
NEAR_CHANCE = FlagKind(
    "near-chance",
    "clean accuracy is no better than guessing",
    "Get the clean accuracy right first: class order, normalisation, channel order, input size.",
)


def check_conditions(conditions: list[Condition]) -> list[Flag]:
    """Budgets of zero, which make an attack a clean evaluation."""
    zero = [c.id for c in conditions if c.eps == 0]
    return [EPS_ZERO.flag(f"{', '.join(zero)}: eps is 0, so this is clean accuracy: give a budget")] if zero else []


def check_labels(dataset: Dataset, ids: Sequence[str], classes: Sequence[str]) -> list[Flag]:
    """Labels that the model cannot predict."""
    over = {dataset.ids[i] for i, reason in dataset.bad.items() if "out of range" in reason}
    wrong = tuple(i for i in ids if i in over) if over else ()
    if not wrong:
        return []
    detail = f"{len(wrong)} samples have labels that are no classes of the model ({len(classes)} classes)"
    return [LABEL_OUT_OF_RANGE.flag(f"{detail}: check the order and number of classes", wrong)]


def check_rows(frame: pa.Table) -> list[Flag]:
    """Doubts that only all rows together can show: chance accuracy, one class, budgets broken, NaN.

    Args:
        frame: outcomes of good samples.
    """
    flags = []
    clean = frame.filter(pc.equal(frame["condition"], CLEAN.id))
    labels = clean["label"].drop_null().to_numpy()
    if len(labels):
        counts = np.unique(labels, return_counts=True)[1]
        right = int(pc.sum(clean["correct"]).as_py() or 0)
        if len(counts) == 1 and len(labels) > 1:
            flags.append(
                SINGLE_CLASS.flag(f"all {len(labels)} samples have label {labels[0]}: use data with every class")
            )
        elif _like_guessing(right, len(labels), len(counts)):
            text = f"clean accuracy {right / len(labels):.3f} on {len(counts)} classes is no better than guessing"
            flags.append(
                NEAR_CHANCE.flag(f"{text}, on {len(labels)} samples: check labels, class order and preprocessing")
            )
    over = pc.greater(frame["distance"], pc.multiply(frame["eps"], 1 + 1e-6))
    broken = frame.filter(pc.fill_null(over, False))
    if len(broken):
        ids = tuple(dict.fromkeys(broken["id"].to_pylist()))
        flags.append(OUT_OF_BUDGET.flag(f"{len(broken)} attacked images lie outside their budget: report this", ids))
    odd = frame.filter(pc.fill_null(pc.invert(pc.is_finite(frame["confidence"])), False))
    if len(odd):
        ids = tuple(dict.fromkeys(odd["id"].to_pylist()))
        where = ", ".join(dict.fromkeys(odd["condition"].to_pylist()))
        flags.append(NON_FINITE.flag(f"{len(ids)} samples get NaN or infinite outputs under {where[:200]}", ids))
    return flags


def _like_guessing(right: int, n: int, classes: int) -> bool:
    """Whether chance explains the right answers, on samples enough for a perfect model to show that it is none."""
    by_luck: float = scipy.stats.binomtest(right, n, 1 / classes, alternative="greater").pvalue
    return bool(classes ** -float(n) <= 0.05 < by_luck)
