"""Accuracies by seed, gains over seeds, and errors of the inversion, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from unshaken.measure import influence
from unshaken.papers.effects import mean_over
from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.natra import (
    ALIKE,
    ARMS,
    RANDOM,
    REBUILT,
    SHIFTS,
    STAGES,
    STANDARD,
    STATISTICS,
    WORST,
    NaTraPaper,
)


def figures(paper: NaTraPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds."""
    parts = rows.repetitions(paper.seeds)
    alike = {statistic for part in parts.values() for statistic in edited_statistics(part)}
    counted = [shift for shift, statistic in SHIFTS.items() if statistic not in alike]

    over = partial(mean_over, parts.values())
    first = next(iter(parts.values()))
    others = {"shifts": STANDARD, "random": RANDOM, "rebuilt": REBUILT}
    return {
        **{name: of_seed(part) for name, part in parts.items()},
        "counted": len(counted),
        "not_counted": " ".join(shift for shift in SHIFTS if shift not in counted),
        "gain": {
            "clean": over(gain, STANDARD, ["clean"]),
            "edits": over(gain, STANDARD, ["edited"]),
            **({name: over(gain, other, counted) for name, other in others.items()} if counted else {}),
        },
        "gain_by_shift": {shift: over(gain, STANDARD, [shift]) for shift in SHIFTS},
        "mean": {arm: over(accuracy, arm, list(SHIFTS)) for arm in ARMS},
        "preserved": over(preserved, influence=True),
        "inversion": {stage: mean_of(errors(first)[stage], low=0.0) for stage in STAGES},
        "inversion_falls": {
            after: mean_of(errors(first)[before] - errors(first)[after]) for before, after in pairwise(STAGES)
        },
    }


def edited_statistics(rows: Rows) -> list[str]:
    """Statistics that a direction which is edited moves along with its amount."""
    kept = [row for row in rows.table("directions", "edits").to_pylist() if row["kept"]]
    return [name for name in STATISTICS if any(abs(row[name]) > ALIKE for row in kept)]


def accuracy(rows: Rows, arm: str, labels: Sequence[str]) -> Numbers:
    """Accuracy of a network on each image, the mean over some conditions."""
    return rows.within(arm).shares(*labels)


def gain(rows: Rows, other: str, labels: Sequence[str]) -> Numbers:
    """Accuracy of the network that was trained on the worst edits, less that of another one."""
    return accuracy(rows, WORST, labels) - accuracy(rows, other, labels)


def preserved(rows: Rows) -> Numbers:
    """Share of the test images that the reference network knows which it still knows after the worst edit."""
    clean, edited = rows.correct("reference.clean"), rows.correct("reference.edited")
    if not clean.any():
        return np.zeros(len(clean))
    return influence(np.stack([clean & edited, clean], 1), lambda means: means[0] / means[1])


def errors(rows: Rows) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Mean squared error of each inverted image after each part, `[N]` by part."""
    columns = rows.columns("inversions", "descent", *STAGES, by="id")
    return {stage: values.astype(np.float64) for stage, values in zip(STAGES, columns, strict=True)}


def of_seed(rows: Rows) -> dict[str, Any]:
    """Accuracy of each network under each condition, and what its edits are."""
    labels = ("clean", "edited", *SHIFTS)
    table = rows.table("directions", "edits").to_pylist()
    kept = [row for row in table if row["kept"]]
    return {
        **{arm: {label: rows.accuracy(f"{arm}.{label}") for label in labels} for arm in ARMS},
        "directions": len(kept),
        "amplitude": kept[0]["amplitude"],
    }
