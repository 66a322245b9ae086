"""Figures of the experiment with viewpoints, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Rows
from unshaken_papers.viewpoint_adversarial_training import BASE, NATURAL, RANDOM, VIAT, ViewpointPaper

Numbers = NDArray[np.float64]


def figures(paper: ViewpointPaper, rows: Rows) -> dict[str, Any]:
    """In the upright box, and in the whole one where it was tried."""
    seeds = list(rows.repetitions(paper.seeds).values())
    found = box_figures(seeds)
    if paper.whole:
        found["whole"] = box_figures([part.within("whole") for part in seeds])
    return found


def box_figures(seeds: list[Rows]) -> dict[str, Any]:
    """Accuracy of each network under each kind of views, and what is compared.

    An object's accuracy is its share of views that are right; intervals are over seeds and objects.
    """
    labels = [label for label in seeds[0].labels("views") if label.count(".") == 1 and not label.startswith("whole.")]
    of = {label: np.stack([by_object(part, label) for part in seeds]) for label in labels}
    found: dict[str, Any] = {}
    for label, values in of.items():
        name, view = label.split(".")
        found.setdefault(name, {})[view] = across_seeds(values, low=0.0)
    widths = [np.array(part.table("view_mixtures", f"{VIAT}.gmvfool")["entropy"].to_pylist()) for part in seeds]
    return found | {
        "found_by_search": difference(of, f"{BASE}.random-views", f"{BASE}.gmvfool"),
        "viat_minus_natural": difference(of, f"{VIAT}.gmvfool", f"{NATURAL}.gmvfool"),
        "viat_minus_random": difference(of, f"{VIAT}.gmvfool", f"{RANDOM}.gmvfool"),
        "natural_change": difference(of, f"{VIAT}.natural-views", f"{BASE}.natural-views"),
        "entropy": across_seeds(
            [w.reshape(of[labels[0]].shape[1], -1).mean(1) for w in widths], low=-np.inf, high=np.inf
        ),
    }


def by_object(rows: Rows, label: str) -> Numbers:
    """The share of right views of each object, in order of ids."""
    table = rows.table("views", label)
    ids, right = np.array(table["id"].to_pylist()), np.array(table["correct"].to_pylist(), float)
    return np.array([right[ids == name].mean() for name in np.unique(ids)])


def difference(of: dict[str, Numbers], one: str, other: str) -> dict[str, Any]:
    """The accuracy of one less that of the other, paired by seed and object."""
    return across_seeds(of[one] - of[other])
