"""Figures of the experiment with long-tailed noisy labels, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unshaken.papers.effects import standard_error, values_of
from unshaken.papers.label_curves import best_epoch
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Flags, Rows, share_of
from unshaken_papers.rcal import ARMS, BALANCED, ERRORS, FULL, PLAIN, RARE, WITHOUT, RCALPaper
from unshaken_papers.rcal.experiment import ESTIMATES


def figures(paper: RCALPaper, rows: Rows) -> dict[str, Any]:
    """The linear probe, all arms in each seed, and means and differences over seeds."""
    probe = rows.column("probe", "features", "correct")
    seeds = {name: seed_figures(part) for name, part in rows.repetitions(paper.seeds).items()}
    parts = list(rows.repetitions(paper.seeds).values())
    return {"probe": share_of(probe), **seeds, "over_seeds": over_seeds(parts, list(seeds.values()))}


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Accuracy of each arm, on all and on rare classes; what it loses after its best epoch; the Gaussians."""
    accuracy = {arm: rows.accuracy(f"{arm}.test") for arm in ARMS}
    rare = {arm: share_of(on_rare_classes(rows, arm)) for arm in ARMS}
    lost = {arm: best_minus_last(rows, arm) for arm in (FULL, PLAIN)}
    return {"accuracy": accuracy, "rare": rare, "best_minus_last": lost, "gaussians": gaussians(rows)}


def on_rare_classes(rows: Rows, arm: str) -> Flags:
    """Whether test images of the last classes, which have the fewest training images, are classified correctly."""
    labels = rows.column("outcomes", f"{arm}.test", "label", by="id")
    rare: Flags = rows.correct(f"{arm}.test")[labels > labels.max() - RARE]
    return rare


def best_minus_last(rows: Rows, arm: str) -> float:
    """Accuracy lost from the best epoch, chosen on other images, to the last."""
    with choosing():
        best = best_epoch(rows, arm)
    right, n = rows.columns("epochs", f"{arm}.test", "correct", "n", by="epoch")
    return round(float(right[best] / n[best] - right[-1] / n[-1]), 4)


def gaussians(rows: Rows) -> dict[str, Any]:
    """Figures of each estimate by class: the share of right labels, and the distance of the mean from the true one."""
    found: dict[str, Any] = {}
    for name in ESTIMATES:
        table = rows.table("gaussians", name).to_pylist()
        table.sort(key=lambda row: int(row["id"]))
        found[name] = {k: [round(row[k], 3) for row in table] for k in ("right", "normality", "apart")}
    return found


def over_seeds(parts: Sequence[Rows], seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of all arms, and differences of pairs in the same seed, over seeds and images."""
    right = {
        "accuracy": {arm: np.stack([part.shares(f"{arm}.test") for part in parts]) for arm in ARMS},
        "rare": {arm: np.stack([on_rare_classes(part, arm) for part in parts]).astype(float) for arm in ARMS},
    }

    def mean(kind: str, arm: str, other: str | None = None) -> dict[str, Any]:
        return standard_error(right[kind][arm] - (0.0 if other is None else right[kind][other]), ERRORS)

    found: dict[str, Any] = {kind: {arm: mean(kind, arm) for arm in ARMS} for kind in ("accuracy", "rare")}
    lost = {arm: values_of(seeds, "best_minus_last", arm) for arm in (FULL, PLAIN)}
    found["best_minus_last"] = {arm: standard_error(values, ERRORS) for arm, values in lost.items()}
    others = (PLAIN, BALANCED, *(arm for arm in WITHOUT if arm != FULL))
    found |= {f"{FULL}_minus_{other}": mean("accuracy", FULL, other) for other in others}
    return found | {"rare_minus_no-tail": mean("rare", FULL, "no-tail")}
