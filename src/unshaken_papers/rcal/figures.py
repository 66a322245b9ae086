"""Figures of the experiment with long-tailed noisy labels, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from unshaken.papers.effects import standard_error, values_of
from unshaken.papers.label_curves import best_epoch
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.rcal import ARMS, BALANCED, ERRORS, FULL, PLAIN, RARE, WITHOUT, RCALPaper
from unshaken_papers.rcal.experiment import ESTIMATES


def figures(paper: RCALPaper, rows: Rows) -> dict[str, Any]:
    """The linear probe, all arms in each seed, and means and differences over seeds."""
    probe = rows.column("probe", "features", "correct")
    seeds = {name: seed_figures(part) for name, part in rows.repetitions(paper.seeds).items()}
    return {"probe": share_of(probe), **seeds, "over_seeds": over_seeds(seeds)}


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Accuracy of each arm, on all and on rare classes; what it loses after its best epoch; the Gaussians."""
    accuracy = {arm: rows.accuracy(f"{arm}.test") for arm in ARMS}
    rare = {arm: on_rare_classes(rows, arm) for arm in ARMS}
    lost = {arm: best_minus_last(rows, arm) for arm in (FULL, PLAIN)}
    return {"accuracy": accuracy, "rare": rare, "best_minus_last": lost, "gaussians": gaussians(rows)}


def on_rare_classes(rows: Rows, arm: str) -> dict[str, Any]:
    """Accuracy on test images of the last classes, which have the fewest training images."""
    labels, right = rows.columns("outcomes", f"{arm}.test", "label", "correct")
    return share_of(right[labels > labels.max() - RARE])


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


def over_seeds(seeds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means of all arms, and differences of pairs in the same seed."""
    of = partial(values_of, list(seeds.values()))

    def mean(kind: str, arm: str, other: str | None = None) -> dict[str, Any]:
        return standard_error(of(kind, arm) - (0.0 if other is None else of(kind, other)), ERRORS)

    found: dict[str, Any] = {kind: {arm: mean(kind, arm) for arm in ARMS} for kind in ("accuracy", "rare")}
    found["best_minus_last"] = {arm: mean("best_minus_last", arm) for arm in (FULL, PLAIN)}
    others = (PLAIN, BALANCED, *(arm for arm in WITHOUT if arm != FULL))
    found |= {f"{FULL}_minus_{other}": mean("accuracy", FULL, other) for other in others}
    return found | {"rare_minus_no-tail": mean("rare", FULL, "no-tail")}
