"""AUROCs over the seeds, and what optimisation changed, from rows alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from unshaken.measure import auroc
from unshaken.papers.effects import mean_over
from unshaken.papers.rows import Rows
from unshaken_papers.textile import HALF, NETS, TextilePaper


def figures(paper: TextilePaper, rows: Rows) -> dict[str, Any]:
    """Means over the seeds."""
    seeds = list(rows.repetitions(paper.seeds).values())
    places, over = seeds[0].labels("seams"), partial(mean_over, seeds)
    return {
        "auroc": {
            place: {name: over(score, name, place, low=0.0) for name in (*NETS, "seam", "energy")} for place in places
        },
        "gain": {place: over(apart, "textile", "seam", place) for place in places},
        "tiling": over(apart, "textile", "untiled", "seen"),
        "attention": over(apart, "textile", "no-attention", "seen"),
        "loss": {
            "own": over(risen, "own"),
            "other": over(risen, "other"),
            "ratio": over(ratio_left, low=0.0, high=1000.0),
            "half": over(lambda rows: HALF - ratio_left(rows), low=-1000.0),
            "change": over(change, low=0.0),
        },
    }


def score(rows: Rows, name: str, place: str) -> float:
    """The AUROC of a network or a closed form on one set of one seed."""
    if name in NETS:
        logits, labels = rows.logits(f"{name}.{place}")
        faulty, tileable = logits[:, 0] - logits[:, 1], labels == 1
    else:
        faulty, tileable = rows.columns("seams", place, "ratio" if name == "seam" else "energy", "tileable")
    return auroc(faulty[tileable], faulty[~tileable]).value


def apart(rows: Rows, one: str, other: str, place: str) -> float:
    """How much larger the AUROC of one is."""
    return score(rows, one, place) - score(rows, other, place)


def risen(rows: Rows, network: str) -> float:
    """How much the score of a network rose by the optimisation, on average."""
    after, before = rows.columns("optimised", "loss", f"{network}_after", f"{network}_before")
    return float(np.mean(after - before))


def ratio_left(rows: Rows) -> float:
    """The share of the mean seam ratio that is left."""
    after, before = rows.columns("optimised", "loss", "ratio_after", "ratio_before")
    return float(after.mean() / max(before.mean(), 1e-9))


def change(rows: Rows) -> float:
    """The root of the mean squared change of the pixels, on average over the textures."""
    return float(rows.column("optimised", "loss", "change").mean())
