"""Accuracies, their shares under shift, gaps between groups, and copies found, as means over the seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.measure.fairness import group_rates
from unshaken.measure.robustness.corruption import BENCHMARK
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.rows import Flags, Rows
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
        return across_seeds(values_of(found[arm], name), low=0.0, high=ENDS.get(name, 1.0))

    def difference(name: str, one: str, other: str) -> dict[str, Any]:
        end = ENDS.get(name, 1.0)
        return across_seeds(values_of(found[one], name) - values_of(found[other], name), low=-end, high=end)

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


def of_one_arm(paper: UncuratedPretrainingPaper, rows: Rows) -> dict[str, float]:
    """Figures of one network."""

    def accuracy(label: str) -> float:
        return float(answers(rows, label).mean())

    names = paper.domains.split("|")
    shifted = names[-(-len(names) // 2) :]
    domains = float(np.mean([accuracy(f"domains-{d}") for d in shifted])) / max(accuracy("domains-clean"), 1e-9)
    corruptions = float(np.mean([accuracy(f"others-{c}") for c in BENCHMARK])) / max(accuracy("others-clean"), 1e-9)
    parts = [answers(rows, f"others-{'clean' if g == 'plain' else g}") for g in GROUPS]
    groups = np.repeat(GROUPS, len(parts[0])).tolist()
    subjects = list(range(len(parts[0]))) * len(GROUPS)
    rates = group_rates(np.concatenate(parts), groups, subjects=subjects)
    return {
        "clean": (accuracy("domains-clean") + accuracy("others-clean")) / 2,
        "clean_domains": accuracy("domains-clean"),
        "clean_others": accuracy("others-clean"),
        "relative": (domains + corruptions) / 2,
        "relative_domains": domains,
        "relative_corruptions": corruptions,
        "gap": rates.gap.value,
        "worst": rates.rates[rates.worst].value,
        "style": accuracy("style-clean"),
        "seen": accuracy("seen-clean"),
        "copies": float(rows.column("copies", "copies", "precision").mean()),
    }


def answers(rows: Rows, label: str) -> Flags:
    """Whether a probe is right on each image, in the order of ids."""
    return rows.column("answers", label, "correct", by="id")
