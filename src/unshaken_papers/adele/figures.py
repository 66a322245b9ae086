"""Figures of the experiment with rough masks, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import iou
from unshaken.papers.rows import Rows
from unshaken_papers.adele import ADAPTIVE, CHANGE, FULL, GLOBAL, NAMES, PLAIN, AdelePaper, two_errors

Curve = NDArray[np.float64]


def figures(paper: AdelePaper, rows: Rows) -> dict[str, Any]:
    """Each seed by itself, and what is compared over them."""
    seeds = {name: seed_figures(part, paper) for name, part in rows.repetitions(paper.seeds).items()}
    of = {arm: [part["arms"][arm]["miou"] for part in seeds.values()] for arm in paper.arms}

    def difference(one: str, other: str) -> dict[str, Any]:
        return two_errors([a - b for a, b in zip(of[one], of[other], strict=True)])

    return {
        **seeds,
        "miou": {arm: two_errors(values) for arm, values in of.items()},
        "gain": difference(FULL, PLAIN),
        "adaptive_gain": difference(ADAPTIVE, GLOBAL),
        "consistency_gain": difference(FULL, ADAPTIVE),
    }


def seed_figures(rows: Rows, paper: AdelePaper) -> dict[str, Any]:
    """Every arm, memorisation by plain training, and what ADELE corrects, and when."""
    plain, adele = (curves(rows, arm) for arm in (PLAIN, FULL))
    changes = {name: change(plain["early"][k], plain["memorised"][k]) for k, name in enumerate(NAMES)}
    starts = {name: last_start(adele["start"][k]) for k, name in enumerate(NAMES)}
    known = [s for s in starts.values() if s is not None]
    before, after = plain["labels"][:, 0], adele["labels"][:, -1]
    lowered = sum(after[k] < before[k] for k, name in enumerate(NAMES) if starts[name] is not None)
    return {
        "arms": {arm: arm_figures(rows, arm) for arm in paper.arms},
        "memorisation": changes,
        "memorising": sum(c["fall"] > CHANGE and c["rise"] > CHANGE for c in changes.values()),
        "starts": {name: "never" if s is None else s for name, s in starts.items()},
        "apart": max(known) - min(known) if known else 0,
        "corrected": len(known),
        "lowered": int(lowered),
        "labels": {
            name: {"before": round(float(before[k]), 4), "after": round(float(after[k]), 4)}
            for k, name in enumerate(NAMES)
        },
    }


def arm_figures(rows: Rows, arm: str) -> dict[str, Any]:
    """Intersection over union on test scenes, of each class over all of them, and the mean over classes."""
    kinds, *columns = rows.columns("masks", arm, "kind", "intersection", "predicted", "labelled")
    found = iou(np.array([[c[kinds == k].sum() for k in range(1, len(NAMES) + 1)] for c in columns]))
    last = curves(rows, arm)
    return {
        "miou": float(np.nanmean(found)),
        "iou": {name: round(float(v), 4) for name, v in zip(NAMES, found, strict=True)},
        "early_last": round(float(last["early"][:, -1].mean()), 4),
        "memorised_last": round(float(last["memorised"][:, -1].mean()), 4),
    }


def curves(rows: Rows, arm: str) -> dict[str, Curve]:
    """Curves of the watched figures, by column: `[class, epoch]`; NaN where there is no value."""
    table = rows.table("epochs", arm).sort_by([("kind", "ascending"), ("epoch", "ascending")])
    columns = ("early", "memorised", "labels", "start")
    return {name: np.array(table[name].to_pylist(), np.float64).reshape(len(NAMES), -1) for name in columns}


def change(early: Curve, memorised: Curve) -> dict[str, float]:
    """From the epoch that agrees best with the truth to the last one: fall of this, and rise of memorisation.

    >>> change(np.array([0.1, 0.5, 0.2]), np.array([0.1, 0.2, 0.6]))
    {'best_epoch': 1, 'fall': 0.3, 'rise': 0.4}
    """
    best = int(early.argmax())
    return {
        "best_epoch": best,
        "fall": round(float(early[best] - early[-1]), 4),
        "rise": round(float(memorised[-1] - memorised[best]), 4),
    }


def last_start(starts: Curve) -> int | None:
    """The start of correction of a class; None for one that is never corrected."""
    return None if np.isnan(starts[-1]) else int(starts[-1])
