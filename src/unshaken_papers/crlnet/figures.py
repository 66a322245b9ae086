"""Accuracy by condition over the seeds, and differences on the same episodes, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.papers.effects import across_seeds, mean_over, values_of
from unshaken.papers.rows import Rows
from unshaken_papers.crlnet import ARMS, CLEAN, CONDITIONAL, CONDITIONS, CONTROL, POOLED, CrlNetPaper


def figures(paper: CrlNetPaper, rows: Rows) -> dict[str, Any]:
    """Means over the seeds, each of which has classes and images of its own."""
    seeds = list(rows.repetitions(paper.seeds).values())
    found = {arm: [by_condition(part, arm) for part in seeds] for arm in ARMS}
    names = (CLEAN, "hard", *CONDITIONS)
    of = {(arm, name): values_of(found[arm], name) for arm in ARMS for name in names}
    return {
        **{arm: {n: across_seeds(of[arm, n], low=0.0) for n in names} for arm in ARMS},
        "over": {
            other: {n: across_seeds(of[CONDITIONAL, n] - of[other, n]) for n in names} for other in (CONTROL, POOLED)
        },
        "drop": {arm: across_seeds(of[arm, CLEAN] - of[arm, "hard"]) for arm in ARMS},
        "separation": {arm: mean_over(seeds, hard_separation, arm, low=-np.inf, high=np.inf) for arm in ARMS},
    }


def by_condition(rows: Rows, arm: str) -> dict[str, float]:
    """Mean accuracy of the episodes under each condition, and under the hard ones together."""
    found = {name: float(rows.column("episodes", f"{arm}.{name}", "accuracy").mean()) for name in (CLEAN, *CONDITIONS)}
    return {**found, "hard": float(np.mean([found[name] for name in CONDITIONS]))}


def hard_separation(rows: Rows, arm: str) -> float:
    """The mean separation d' of pairs with hard queries."""
    table = rows.table("pairs", arm).to_pylist()
    return float(np.mean([row["separation"] for row in table if row["id"] in CONDITIONS]))
