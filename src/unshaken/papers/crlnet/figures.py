"""Accuracy by condition over the seeds, and differences on the same episodes, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.papers.crlnet import CLEAN, CONDITIONAL, CONDITIONS, CONTROL, POOLED, CrlNetPaper
from unshaken.papers.frame import across_seeds
from unshaken.papers.frame.rows import Rows

ARMS = (POOLED, CONTROL, CONDITIONAL)


def figures(paper: CrlNetPaper, rows: Rows) -> dict[str, Any]:
    """Means over the seeds."""
    seeds = list(rows.repetitions(paper.seeds).values())
    found = {arm: [by_condition(part, arm) for part in seeds] for arm in ARMS}
    apart = {arm: [hard_separation(part, arm) for part in seeds] for arm in ARMS}
    names = (CLEAN, "hard", *CONDITIONS)
    return {
        **{arm: {n: across_seeds([one[n] for one in found[arm]], low=0.0) for n in names} for arm in ARMS},
        "over": {
            other: {
                n: across_seeds([a[n] - b[n] for a, b in zip(found[CONDITIONAL], found[other], strict=True)])
                for n in names
            }
            for other in (CONTROL, POOLED)
        },
        "drop": {arm: across_seeds([one[CLEAN] - one["hard"] for one in found[arm]]) for arm in ARMS},
        "separation": {arm: across_seeds(values, low=-np.inf, high=np.inf) for arm, values in apart.items()},
    }


def by_condition(rows: Rows, arm: str) -> dict[str, float]:
    """Mean accuracy of the episodes under each condition, and under the hard ones together."""
    found = {
        name: float(rows.table("episodes", f"{arm}.{name}")["accuracy"].to_numpy().mean())
        for name in (CLEAN, *CONDITIONS)
    }
    return {**found, "hard": float(np.mean([found[name] for name in CONDITIONS]))}


def hard_separation(rows: Rows, arm: str) -> float:
    """The mean separation d' of pairs with hard queries."""
    table = rows.table("pairs", arm).to_pylist()
    return float(np.mean([row["separation"] for row in table if row["id"] in CONDITIONS]))
