"""Accuracies over splits and seeds, from rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unshaken.papers.frame.rows import Rows
from unshaken.papers.frame.seed_errors import standard_error
from unshaken.papers.hyperspherical import (
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

Figures = dict[str, dict[int, float]]
"""Figure to number of examples to value, of one network."""


def figures(paper: HypersphericalPaper, rows: Rows) -> dict[str, Any]:
    """Each loss, and the normalised softmax beside the others, paired by split and seed."""
    parts = rows.repetitions(paper.splits * paper.seeds)
    made = {arm: [accuracies(part, arm) for part in parts.values()] for arm in (*ARMS, MEANS)}
    seconds = {
        arm: [float(part.table("training", arm)["seconds"][0].as_py()) for part in parts.values()] for arm in ARMS
    }

    def over(value: Callable[[int], float]) -> dict[str, Any]:
        return standard_error([value(i) for i in range(len(parts))], ERRORS)

    def gain(name: str, shots: int, other: str) -> dict[str, Any]:
        return over(lambda i: made[NORMALISED][i][name][shots] - made[other][i][name][shots])

    return {
        **{
            arm: {
                name: {str(shots): over(lambda i, a=arm, n=name, s=shots: made[a][i][n][s]) for shots in of}  # type: ignore[misc]
                for name, of in made[arm][0].items()
            }
            for arm in made
        },
        "joint_gain": {str(shots): gain("joint", shots, TRIPLET) for shots in SHOTS},
        "disjoint_gain": {str(shots): gain("disjoint", shots, TRIPLET) for shots in SHOTS},
        "over_plain": gain("joint", ALL, PLAIN),
        "drop": over(lambda i: made[NORMALISED][i]["before"][ALL] - made[NORMALISED][i]["old"][ALL]),
        "saved_seconds": over(lambda i: seconds[TRIPLET][i] - seconds[NORMALISED][i]),
        "seconds": {arm: standard_error(values, ERRORS) for arm, values in seconds.items()},
    }


def epoch_seconds(rows: Rows, arm: str) -> float:
    """Wall time of an epoch of one training."""
    return float(rows.table("training", arm)["seconds"][0].as_py())


def accuracies(rows: Rows, arm: str) -> Figures:
    """Of one network: among new classes alone, among all, on old and on new images, and before classes were added."""
    table = rows.table("tests", arm)
    shots, old = table["shots"].to_numpy(), table["old"].to_numpy(zero_copy_only=False)
    joint, disjoint, before = (table[name].to_numpy() for name in ("joint", "disjoint", "before"))
    found: Figures = {name: {} for name in ("joint", "disjoint", "old", "new", "harmonic", "before")}
    for k in SHOTS:
        here = shots == k
        a, b = float(joint[here & old].mean()), float(joint[here & ~old].mean())
        found["joint"][k], found["old"][k], found["new"][k] = float(joint[here].mean()), a, b
        found["harmonic"][k] = 2 * a * b / (a + b) if a + b else 0.0
        found["disjoint"][k] = float(np.nanmean(disjoint[here]))
        found["before"][k] = float(np.nanmean(before[here]))
    return found
