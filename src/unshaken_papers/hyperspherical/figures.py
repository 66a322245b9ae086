"""Accuracies over splits and seeds, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.papers.effects import standard_error, values_of
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.hyperspherical import (
    ALL,
    ARMS,
    ERRORS,
    MEANS,
    NORMALISED,
    PLAIN,
    SHOTS,
    TRIPLET,
    HypersphericalPaper,
)

Figures = dict[str, dict[str, float]]
"""Figure to number of examples to value, of one network."""


def figures(paper: HypersphericalPaper, rows: Rows) -> dict[str, Any]:
    """Each loss, and the normalised softmax beside the others, paired by split and seed."""
    parts = rows.repetitions(paper.splits * paper.seeds)
    made = {arm: [accuracies(part, arm) for part in parts.values()] for arm in (*ARMS, MEANS)}
    seconds = {arm: np.array([part.column("training", arm, "seconds")[0] for part in parts.values()]) for arm in ARMS}

    def of(arm: str, name: str, shots: int) -> Numbers:
        return values_of(made[arm], name, str(shots))

    def gain(name: str, shots: int, other: str) -> dict[str, Any]:
        return standard_error(of(NORMALISED, name, shots) - of(other, name, shots), ERRORS)

    return {
        **{
            arm: {name: {str(s): standard_error(of(arm, name, s), ERRORS) for s in SHOTS} for name in found[0]}
            for arm, found in made.items()
        },
        "joint_gain": {str(shots): gain("joint", shots, TRIPLET) for shots in SHOTS},
        "disjoint_gain": {str(shots): gain("disjoint", shots, TRIPLET) for shots in SHOTS},
        "over_plain": gain("joint", ALL, PLAIN),
        "drop": standard_error(of(NORMALISED, "before", ALL) - of(NORMALISED, "old", ALL), ERRORS),
        "saved_seconds": standard_error(seconds[TRIPLET] - seconds[NORMALISED], ERRORS),
        "seconds": {arm: standard_error(values, ERRORS) for arm, values in seconds.items()},
    }


def accuracies(rows: Rows, arm: str) -> Figures:
    """Accuracies of one network: among new classes, among all, on old and new images, and before classes were added."""
    names = ("shots", "old", "joint", "disjoint", "before")
    shots, old, joint, disjoint, before = rows.columns("tests", arm, *names)
    found: Figures = {name: {} for name in ("joint", "disjoint", "old", "new", "harmonic", "before")}
    for k in SHOTS:
        here = shots == k
        a, b = float(joint[here & old].mean()), float(joint[here & ~old].mean())
        found["joint"][str(k)], found["old"][str(k)], found["new"][str(k)] = float(joint[here].mean()), a, b
        found["harmonic"][str(k)] = 2 * a * b / (a + b) if a + b else 0.0
        found["disjoint"][str(k)] = float(np.nanmean(disjoint[here]))
        found["before"][str(k)] = float(np.nanmean(before[here]))
    return found
