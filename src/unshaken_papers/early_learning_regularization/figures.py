"""Figures of the experiment with early learning, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unshaken.measure import over_seeds
from unshaken.papers.label_curves import best_epoch, training_figures
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows
from unshaken_papers.early_learning_regularization import CURVE, PLAIN, REGULARISED, EarlyLearningPaper

LINEAR = ("cosine", "corrected", "memorised", "residual_right", "residual_wrong", "test")


def figures(paper: EarlyLearningPaper, rows: Rows) -> dict[str, Any]:
    """The linear model over its draws, and the networks by seed."""
    draws = [rows.within(f"linear{i}") for i in range(paper.draws)]
    seeds = {name: seed_figures(part) for name, part in rows.repetitions(paper.seeds).items()}
    return {"linear": {arm: linear(draws, arm) for arm in (PLAIN, REGULARISED)}, **seeds}


def linear(draws: Sequence[Rows], arm: str) -> dict[str, Any]:
    """By step, means over the draws."""
    tables = [part.table("linear", arm).sort_by("step") for part in draws]
    found: dict[str, Any] = {}
    for i, step in enumerate(CURVE):
        values = {name: [float(t[name][i].as_py()) for t in tables] for name in LINEAR}
        found[str(step)] = {
            name: over_seeds(of, low=-1 if name == "cosine" else 0, high=1).to_json() for name, of in values.items()
        }
    return found


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Each network, and ELR beside cross-entropy."""
    arms = rows.labels("training")
    found: dict[str, Any] = {arm: network(rows, arm) for arm in arms}
    others = [arm for arm in arms if arm != PLAIN]
    return found | {f"{arm}_minus_plain": rows.difference(f"{arm}.test", f"{PLAIN}.test") for arm in others}


def network(rows: Rows, arm: str) -> dict[str, Any]:
    """Figures of one training; the best epoch is chosen on images that nothing is judged by."""
    with choosing():
        best = best_epoch(rows, arm)
    return training_figures(rows, arm, best)
