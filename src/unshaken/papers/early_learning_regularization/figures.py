"""Figures of the experiment with early learning, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.measure import over_seeds, share
from unshaken.papers.early_learning_regularization import CURVE, PLAIN, REGULARISED, EarlyLearningPaper
from unshaken.papers.frame.roles import choosing
from unshaken.papers.frame.rows import Rows, share_of

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
    """Accuracy after the last epoch and at the best one, and what became of the labels."""
    with choosing():
        best = int(np.argmax(rows.table("epochs", f"{arm}.choosing").sort_by("epoch")["correct"].to_numpy()))
    epochs = rows.table("epochs", f"{arm}.test").sort_by("epoch")
    right, n = (int(epochs[name][best].as_py()) for name in ("correct", "n"))
    given, truth, predicted = (rows.table("training", arm)[name].to_numpy() for name in ("given", "truth", "predicted"))
    wrong = given != truth
    memorised = rows.table("memorised", arm).sort_by("epoch")["memorised"].to_pylist()
    return {
        "last": rows.accuracy(f"{arm}.test"),
        "best": share(right, n).to_json(),
        "best_epoch": best + 1,
        "memorised": share_of((predicted == given)[wrong]),
        "corrected": share_of((predicted == truth)[wrong]),
        "fitted": share_of((predicted == given)[~wrong]),
        "wrong_labels": round(float(wrong.mean()), 4),
        "memorised_by_epoch": [round(v, 3) for v in memorised],
    }
