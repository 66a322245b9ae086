"""Figures of the experiment with people's labels, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unshaken.labels.engine.finder import LabelScores
from unshaken.labels.engine.known_truth import judge_scores
from unshaken.measure import auroc_influence
from unshaken.measure.statistics.influence import by_sample
from unshaken.papers.effects import across_seeds
from unshaken.papers.label_curves import best_epoch, training_figures
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.label_noise_suite import HUMAN, INSIDE, MATCHED, OUTSIDE, PLAIN, SCORES, LabelNoisePaper


def figures(paper: LabelNoisePaper, rows: Rows) -> dict[str, Any]:
    """By seed; over seeds and images what is compared."""
    parts = rows.repetitions(paper.seeds)
    return {
        **{name: seed_figures(paper, part) for name, part in parts.items()},
        "over_seeds": compared(paper, list(parts.values())),
    }


def compared(paper: LabelNoisePaper, seeds: Sequence[Rows]) -> dict[str, Any]:
    """AUROCs by self-confidence of two sets of labels of the same images, and last accuracies beside cross-entropy."""

    def more(name: str, other: str) -> dict[str, Any]:
        pairs = [(auroc_by_image(seed, name), auroc_by_image(seed, other)) for seed in seeds]
        every = sorted({i for pair in pairs for ids, _ in pair for i in ids})
        columns = [[by_sample(values, ids, every) for ids, values in pair] for pair in pairs]
        return across_seeds([one - less for one, less in columns], influence=True)

    return {
        "harder": more(MATCHED, HUMAN),
        "hidden": more(OUTSIDE if paper.further else HUMAN, INSIDE),
        **{
            f"{arm}_minus_plain": across_seeds([s.shares(f"{arm}.test") - s.shares(f"{PLAIN}.test") for s in seeds])
            for arm in paper.arms
        },
    }


def auroc_by_image(rows: Rows, name: str) -> tuple[list[str], Numbers]:
    """The AUROC of self-confidence as a column whose mean it is, with the ids of its images."""
    ids, given, truth, score = rows.columns("suspicion", name, "id", "given", "truth", "self_confidence")
    wrong = given != truth
    return [*ids[~wrong].tolist(), *ids[wrong].tolist()], auroc_influence(-score[~wrong], -score[wrong])


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
