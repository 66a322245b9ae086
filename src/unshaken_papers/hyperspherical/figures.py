"""Accuracies over splits and seeds, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.measure import influence
from unshaken.measure.statistics.influence import by_sample
from unshaken.papers.effects import standard_error
from unshaken.papers.rows import Flags, Numbers, Rows
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

Figures = dict[str, dict[str, Numbers]]
"""Figure to number of examples to its column by test image, of one network."""


def figures(paper: HypersphericalPaper, rows: Rows) -> dict[str, Any]:
    """Each loss, and the normalised softmax beside the others, paired by split and seed."""
    parts = rows.repetitions(paper.splits * paper.seeds)
    made = {arm: [accuracies(part, arm) for part in parts.values()] for arm in (*ARMS, MEANS)}
    seconds = {arm: np.array([part.column("training", arm, "seconds")[0] for part in parts.values()]) for arm in ARMS}

    def of(arm: str, name: str, shots: int) -> Numbers:
        return np.stack([part[name][str(shots)] for part in made[arm]])

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
    """Accuracies of one network: among new classes, among all, on old and new images, and before classes were added.

    Each is a column by test image whose mean it is, also where it is of some of them alone.
    """
    names = ("id", "shots", "old", "joint", "disjoint", "before")
    ids, shots, old, joint, disjoint, before = rows.columns("tests", arm, *names)
    every = sorted(set(ids.tolist()))

    def of(column: Numbers, here: Flags) -> Numbers:
        there = here & ~np.isnan(column)
        return by_sample(column[there], ids[there].tolist(), every)

    found: Figures = {name: {} for name in ("joint", "disjoint", "old", "new", "harmonic", "before")}
    for k in SHOTS:
        here = shots == k
        a, b = of(joint, here & old), of(joint, here & ~old)
        found["joint"][str(k)], found["old"][str(k)], found["new"][str(k)] = of(joint, here), a, b
        found["harmonic"][str(k)] = influence(np.stack([a, b], 1), harmonic)
        found["disjoint"][str(k)] = of(disjoint, here)
        found["before"][str(k)] = of(before, here)
    return found


def harmonic(means: Numbers) -> float:
    """The harmonic mean of two accuracies; 0 where both are."""
    return float(2 * means[0] * means[1] / (means[0] + means[1])) if means.any() else 0.0
