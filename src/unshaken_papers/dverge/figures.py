"""Figures of the experiment with DVERGE, from rows alone."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from unshaken.papers.rows import Rows, mean_of
from unshaken_papers.dverge import ARMS, CARRIED, COUNT, DIRECT, WAYS, DvergePaper


def figures(paper: DvergePaper, rows: Rows) -> dict[str, Any]:
    """By seed: each arm, and DVERGE less each other arm on the same images."""
    found: dict[str, Any] = {}
    for seed, part in rows.repetitions(paper.seeds).items():
        found[seed] = {arm: arm_figures(part.within(arm)) for arm in ARMS}
        found[seed]["dverge_minus"] = {arm: differences(part, arm) for arm in ARMS if arm != "dverge"}
    return found


def arm_figures(rows: Rows) -> dict[str, Any]:
    """All figures of an arm."""
    return {
        "clean": rows.accuracy("clean"),
        "clean_members": [round(float(rows.correct(f"member-{i}").mean()), 4) for i in range(COUNT)],
        **{f"transfer-{eps:g}": transferred(rows, eps) for eps in CARRIED},
        **{f"black-box-{eps:g}": rows.accuracy(f"black-box-{eps:g}") for eps in CARRIED},
        **{f"white-box-{eps:g}": rows.accuracy(*(f"white-box-{way}-{eps:g}" for way in WAYS)) for eps in DIRECT},
        "diversity": diversity(rows),
    }


def differences(rows: Rows, arm: str) -> dict[str, Any]:
    """DVERGE less another arm, paired on the same images."""
    labels = ["clean", *(f"black-box-{eps:g}" for eps in CARRIED)]
    return {label: rows.difference(f"dverge.{label}", f"{arm}.{label}") for label in labels}


def transferred(rows: Rows, eps: float) -> dict[str, Any]:
    """The mean success rate from one member to another; the interval is over images."""
    pairs = [(i, j) for i, j in product(range(COUNT), range(COUNT)) if i != j]
    lost = np.mean([~rows.correct(f"member-{i}-to-{j}-{eps:g}") for i, j in pairs], 0)
    return mean_of(lost, low=0.0, high=1.0)


def diversity(rows: Rows) -> dict[str, Any]:
    """The mean `d_ij` of different members, and each member on its own images."""
    source, judge, loss = rows.columns("diversity", "d", "source", "judge", "loss")
    same = source == judge
    return {"between": round(float(loss[~same].mean()), 4), "within": round(float(loss[same].mean()), 4)}
