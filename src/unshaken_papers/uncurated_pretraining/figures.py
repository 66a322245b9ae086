"""Accuracies, their shares under shift, gaps between groups, and copies found, as means over seeds and images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unshaken.measure import influence
from unshaken.measure.robustness.corruption import BENCHMARK
from unshaken.measure.statistics.influence import by_sample
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.uncurated_pretraining import (
    ARMS,
    CURATED,
    GROUPS,
    RANDOM,
    SUPERVISED,
    UNCURATED,
    UncuratedPretrainingPaper,
)

ENDS = {"relative": 4.0, "relative_domains": 4.0, "relative_corruptions": 4.0}
"""Largest values that there may be, of shares of an accuracy; others end at 1."""


def figures(paper: UncuratedPretrainingPaper, rows: Rows) -> dict[str, Any]:
    """Figures of each arm, and differences between arms of one seed."""
    seeds = list(rows.repetitions(paper.seeds).values())
    found = {arm: [of_one_arm(paper, part.within(arm)) for part in seeds] for arm in ARMS}

    def figure(name: str, arm: str) -> dict[str, Any]:
        rows = [part[name] for part in found[arm]]
        return across_seeds(rows, low=0.0, high=ENDS.get(name, 1.0), influence=True)

    def difference(name: str, one: str, other: str) -> dict[str, Any]:
        end = ENDS.get(name, 1.0)
        rows = [a[name] - b[name] for a, b in zip(found[one], found[other], strict=True)]
        return across_seeds(rows, low=-end, high=end, influence=True)

    return {
        **{arm: {name: figure(name, arm) for name in found[arm][0]} for arm in ARMS},
        "over": {
            other: {n: difference(n, UNCURATED, other) for n in ("relative", "clean", "copies", "style")}
            for other in (CURATED, SUPERVISED, RANDOM)
        },
        "fairer": {
            "gap": difference("gap", SUPERVISED, UNCURATED), "worst": difference("worst", UNCURATED, SUPERVISED)
        },
    }  # fmt: skip


def of_one_arm(paper: UncuratedPretrainingPaper, rows: Rows) -> dict[str, Numbers]:
    """Figures of one network, each a column by image whose mean it is."""
    columns = {label: rows.columns("answers", label, "id", "correct") for label in rows.labels("answers")}
    columns["copies"] = rows.columns("copies", "copies", "id", "precision")
    every = sorted({name for ids, _ in columns.values() for name in ids.tolist()})
    right = {label: by_sample(values, ids.tolist(), every) for label, (ids, values) in columns.items()}

    def of(statistic: Callable[[Numbers], float], *labels: str) -> Numbers:
        return influence(np.stack([right[label] for label in labels], 1), statistic)

    def kept(means: Numbers) -> float:
        """Mean accuracy under shifts, as a share of that without, which comes last."""
        return float(means[:-1].mean() / max(means[-1], 1e-9))

    names = paper.domains.split("|")
    shifted = names[-(-len(names) // 2) :]
    domains = of(kept, *(f"domains-{d}" for d in shifted), "domains-clean")
    corruptions = of(kept, *(f"others-{c}" for c in BENCHMARK), "others-clean")
    groups = [f"others-{'clean' if g == 'plain' else g}" for g in GROUPS]
    return {
        "clean": (right["domains-clean"] + right["others-clean"]) / 2,
        "clean_domains": right["domains-clean"],
        "clean_others": right["others-clean"],
        "relative": (domains + corruptions) / 2,
        "relative_domains": domains,
        "relative_corruptions": corruptions,
        "gap": of(lambda means: float(np.ptp(means)), *groups),
        "worst": of(lambda means: float(means.min()), *groups),
        "style": right["style-clean"],
        "seen": right["seen-clean"],
        "copies": right["copies"],
    }
