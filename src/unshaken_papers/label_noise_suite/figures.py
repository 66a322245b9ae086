"""Figures of the experiment with people's labels, from rows alone."""

from __future__ import annotations

from typing import Any

from unshaken.labels.engine.finder import LabelScores
from unshaken.labels.engine.known_truth import judge_scores
from unshaken.papers.label_curves import best_epoch, training_figures
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows
from unshaken_papers.label_noise_suite import HUMAN, INSIDE, MATCHED, OUTSIDE, PLAIN, SCORES, LabelNoisePaper


def figures(paper: LabelNoisePaper, rows: Rows) -> dict[str, Any]:
    """By seed."""
    return {name: seed_figures(paper, part) for name, part in rows.repetitions(paper.seeds).items()}


def seed_figures(paper: LabelNoisePaper, rows: Rows) -> dict[str, Any]:
    """Figures of each set of labels, and of each training, beside cross-entropy."""
    sets = (HUMAN, MATCHED, INSIDE, *([OUTSIDE] if paper.further else []))
    found: dict[str, Any] = {name: detection(rows, name) for name in sets}
    found |= {arm: network(rows, arm) for arm in (PLAIN, *paper.arms)}
    return found | {f"{arm}_minus_plain": rows.difference(f"{arm}.test", f"{PLAIN}.test") for arm in paper.arms}


def detection(rows: Rows, name: str) -> dict[str, Any]:
    """How well each ranking tells wrong labels from right ones."""
    given, truth, estimate, *scores = rows.columns("suspicion", name, "given", "truth", "estimate", *SCORES, by="id")
    found: dict[str, Any] = {"wrong_labels": round(float((given != truth).mean()), 4)}
    found["estimate"] = round(float(estimate[0]), 4)
    for column, values in zip(SCORES, scores, strict=True):
        judged = judge_scores(LabelScores(values, given), given, truth)
        found[column] = {key: figure.to_json() for key, figure in judged.items()}
    return found


def network(rows: Rows, arm: str) -> dict[str, Any]:
    """Figures of one training; the best epoch is chosen on images that nothing is judged by."""
    with choosing():
        best = best_epoch(rows, arm)
    return training_figures(rows, arm, best)
