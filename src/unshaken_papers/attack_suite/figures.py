"""Accuracy under PGD and AutoAttack, the passes spent, and the warnings, from rows alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.measure import influence
from unshaken.papers.effects import mean_over
from unshaken.papers.rows import Numbers, Rows, stacked
from unshaken_papers.attack_suite import EXPECTED, MASKED, NETS, WARNINGS, AttackSuitePaper

ATTACKED = (*NETS, *MASKED)


def figures(paper: AttackSuitePaper, rows: Rows) -> dict[str, Any]:
    """All figures, over the seeds."""
    seeds = list(rows.repetitions(paper.seeds).values())
    over = partial(mean_over, seeds)
    kinds = ("clean", "pgd", "autoattack")
    return {
        "accuracy": {net: {kind: over(accuracy, net, kind, low=0.0) for kind in kinds} for net in ATTACKED},
        "gap": {net: over(gap, net) for net in ATTACKED},
        "spent": {net: over(spent, net, paper, low=0.0, influence=True) for net in ATTACKED},
        "lost": {net: sum(lost(seed, net) for seed in seeds) for net in NETS},
        "warned": {
            net: {name: float(np.mean([warned(seed, net, name) for seed in seeds])) for name in WARNINGS}
            for net in EXPECTED
        },
    }


def accuracy(rows: Rows, net: str, attack: str) -> Numbers:
    """Whether a network of one seed is right on each image under an attack."""
    return rows.shares(label_of(rows, net, attack))


def gap(rows: Rows, net: str) -> Numbers:
    """Accuracy of a network under PGD less that under AutoAttack, in one seed."""
    return accuracy(rows, net, "pgd") - accuracy(rows, net, "autoattack")


def label_of(rows: Rows, net: str, attack: str) -> str:
    """The label of a condition; AutoAttack's has its budget behind it."""
    if attack != "autoattack":
        return f"{net}.{attack}"
    return next(label for label in rows.labels() if label.startswith(f"{net}.autoattack"))


def spent(rows: Rows, net: str, paper: AttackSuitePaper) -> Numbers:
    """The passes of AutoAttack on a network as a share of those without samples that leave.

    Samples that are misclassified without an attack cost nothing, and do not count.
    """
    table = rows.table("outcomes", label_of(rows, net, "autoattack")).sort_by("id")
    classes = stacked(table["logits"]).shape[1]
    right = rows.correct(f"{net}.clean")
    passes = np.asarray(table["forwards"].to_numpy() + table["backwards"].to_numpy(), np.float64)
    whole = AutoAttack(steps=paper.steps, queries=paper.queries).most_passes(classes)
    if not right.any():
        return np.ones(len(right))
    shares = np.stack([right * passes / (whole or 1), right], 1)
    return influence(shares, lambda means: min(means[0] / means[1], 1.0))


def lost(rows: Rows, net: str) -> int:
    """Samples that are fooled at the end of all steps, and not where fooled samples leave."""
    return int((rows.correct(f"{net}.pgd") & ~rows.correct(f"{net}.pgd-whole")).sum())


def warned(rows: Rows, net: str, name: str) -> bool:
    """Whether a network raised a warning."""
    table = rows.table("warnings", f"{net}.warnings")
    return bool(dict(zip(table["id"].to_pylist(), table["raised"].to_pylist(), strict=True))[name])
