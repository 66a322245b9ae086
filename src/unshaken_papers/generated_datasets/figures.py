"""Accuracies by seed, and gains over seeds, from rows alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure import effective_robustness
from unshaken.papers.effects import across_seeds, mean_over
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.generated_datasets import (
    AUGMENTED,
    BOTH,
    MADE,
    MILD,
    PHOTOS,
    REAL,
    RENDITIONS,
    TWICE,
    GeneratedDatasetsPaper,
)


def figures(paper: GeneratedDatasetsPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds."""
    parts = rows.repetitions(paper.seeds)
    seeds = {name: of_seed(part) for name, part in parts.items()}
    over = partial(mean_over, parts.values(), low=-2.0, high=2.0)
    lines = [seed["above_line"] for seed in seeds.values()]
    known = [value for value in lines if value is not None]
    return {
        **seeds,
        "gain": over(gain, BOTH),
        "gain_of": {name: over(gain, name) for name in (PHOTOS, AUGMENTED)},
        "less": {
            "augmented": over(lambda part: gain(part, BOTH) - gain(part, AUGMENTED)),
            "photos": over(lambda part: gain(part, BOTH) / 2 - gain(part, PHOTOS)),
        },
        **({"effective": across_seeds(known)} if len(known) == len(lines) else {}),
        "clean": over(apart, BOTH, TWICE, ("clean",)),
        "alone": over(apart, REAL, MADE, ("clean",)),
    }


def gain(rows: Rows, name: str) -> Numbers:
    """Accuracy under renditions, mean over them, beyond that of as many updates of real images."""
    return apart(rows, name, TWICE, RENDITIONS)


def apart(rows: Rows, one: str, other: str, shifts: tuple[str, ...]) -> Numbers:
    """Accuracy of one training less that of another on each test image, mean over shifts."""
    first, second = (rows.shares(*(f"{name}.{shift}" for shift in shifts)) for name in (one, other))
    return first - second


def of_seed(rows: Rows) -> dict[str, Any]:
    """Accuracy of each training under each shift; of generated images as a test set; effective robustness."""
    shifts = ("clean", *RENDITIONS, *MILD)
    names = sorted({label.rpartition(".")[0] for label in rows.labels()})
    found: dict[str, Any] = {n: {s: rows.accuracy(f"{n}.{s}") for s in shifts} for n in names}
    found[REAL]["on_generated"] = rows.accuracy(f"{REAL}.made")
    lines = [n for n in names if n in (REAL, TWICE) or n.startswith("baseline-")]
    found["above_line"] = above_line(found, lines)
    return found


def above_line(found: dict[str, Any], lines: list[str]) -> float | None:
    """Mean over renditions of accuracy above the line of networks that learned real images; None without a line."""
    values = []
    for shift in RENDITIONS:
        clean, under = ([found[n][s]["value"] for n in lines] for s in ("clean", shift))
        try:
            own = found[BOTH]["clean"]["value"], found[BOTH][shift]["value"]
            values.append(effective_robustness(*own, clean, under, resamples=1).rho.value)
        except ParameterError:  # accuracies of 0 or 1, or all alike
            return None
    return float(np.mean(values))
