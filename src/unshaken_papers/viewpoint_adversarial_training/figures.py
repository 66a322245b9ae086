"""Figures of the experiment with viewpoints, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import paired_difference
from unshaken.papers.rows import Rows, mean_of
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

    An object's accuracy is its share of views that are right, the mean over seeds; intervals are over objects.
    """
    labels = [label for label in seeds[0].labels("views") if label.count(".") == 1 and not label.startswith("whole.")]
    of = {label: np.mean([by_object(part, label) for part in seeds], 0) for label in labels}
    found: dict[str, Any] = {}
    for label, values in of.items():
        name, view = label.split(".")
        found.setdefault(name, {})[view] = mean_of(values, low=0.0, high=1.0)
    widths = [np.array(part.table("view_mixtures", f"{VIAT}.gmvfool")["entropy"].to_pylist()) for part in seeds]
    return found | {
        "found_by_search": difference(of, f"{BASE}.random-views", f"{BASE}.gmvfool"),
        "viat_minus_natural": difference(of, f"{VIAT}.gmvfool", f"{NATURAL}.gmvfool"),
        "viat_minus_random": difference(of, f"{VIAT}.gmvfool", f"{RANDOM}.gmvfool"),
        "natural_change": difference(of, f"{VIAT}.natural-views", f"{BASE}.natural-views"),
        "entropy": mean_of(np.mean([w.reshape(len(of[labels[0]]), -1).mean(1) for w in widths], 0)),
    }


def by_object(rows: Rows, label: str) -> Numbers:
    """The share of right views of each object, in order of ids."""
    table = rows.table("views", label)
    ids, right = np.array(table["id"].to_pylist()), np.array(table["correct"].to_pylist(), float)
    return np.array([right[ids == name].mean() for name in np.unique(ids)])


def difference(of: dict[str, Numbers], one: str, other: str) -> dict[str, Any]:
    """The accuracy of one less that of the other, paired by object."""
    return paired_difference(of[other], of[one], low=-1.0, high=1.0).to_json()
