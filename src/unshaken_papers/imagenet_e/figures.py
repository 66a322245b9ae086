"""Drops by attribute, from rows alone: paired by photo, over seeds first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.imagenet_e import EDITS, GARMENTS, MIRRORED, NETS, ImageNetEPaper

COMPARED = (
    ("size10", "full"),
    ("size05", "full"),
    ("size05", "size10"),
    ("size05", "random"),
    ("position", "size05"),
    ("direction", "size05"),
)
"""Pairs of edits, of which the first is expected to cost more."""


def figures(paper: ImageNetEPaper, rows: Rows) -> dict[str, Any]:
    """Figures of the photos and, where they were shown, of the garments."""
    lost = losses_of(paper, rows, NETS)
    found = {
        **described_losses(paper, rows, lost),
        "costs_more_than": {
            f"{one}_{other}": mean_of(lost["mean"][one] - lost["mean"][other], low=-1.0, high=1.0)
            for one, other in COMPARED
        },
        "object": {name: described(paper, rows, name) for name in EDITS},
    }
    if not paper.garments:
        return found
    part = rows.within(GARMENTS)
    lost = losses_of(paper, part, 2)
    plain, robust = (np.mean(list(lost[str(net)].values()), 0) for net in range(2))
    return {
        **found,
        GARMENTS: {
            **described_losses(paper, part, lost),
            "robust_loses_more": mean_of(robust - plain, low=-2.0, high=2.0),
        },
    }


def losses_of(paper: ImageNetEPaper, rows: Rows, count: int) -> dict[str, dict[str, Numbers]]:
    """Losses on every edited image, `[N]`: by network and edit, and the mean of the networks."""
    lost = {str(net): {name: losses(paper, rows, str(net), name) for name in EDITS} for net in range(count)}
    mean = {name: np.asarray(np.mean([own[name] for own in lost.values()], 0), np.float64) for name in EDITS}
    return {**lost, "mean": mean}


def described_losses(paper: ImageNetEPaper, rows: Rows, lost: Mapping[str, Mapping[str, Numbers]]) -> dict[str, Any]:
    """How many images were edited; accuracy on all; drops, their means over edits, and drops beyond the control."""
    reasons = Counter(rows.table("choice", "all")["reason"].to_pylist())
    return {
        "edited": reasons.pop("", 0),
        "left_out": dict(sorted(reasons.items())),
        "accuracy": {net: rows.accuracy(f"{net}.photos") for net in lost if net != "mean"},
        "drop": {
            net: {name: mean_of(values, low=-1.0, high=1.0) for name, values in own.items()}
            for net, own in lost.items()
        },
        "mean_drop": {net: mean_of(np.mean(list(own.values()), 0), low=-1.0, high=1.0) for net, own in lost.items()},
        "beyond": {
            net: {name: mean_of(own[name] - own[MIRRORED], low=-1.0, high=1.0) for name in EDITS if name != MIRRORED}
            for net, own in lost.items()
        },
    }


def labels_of(paper: ImageNetEPaper, rows: Rows, name: str, net: str = "") -> list[str]:
    """The labels of an edit: one for each seed where it is drawn."""
    label = f"{net}.{name}" if net else name
    return [f"seed{seed}.{label}" for seed in rows.seeds(paper.seeds)] if EDITS[name].is_drawn else [label]


def losses(paper: ImageNetEPaper, rows: Rows, net: str, name: str) -> Numbers:
    """By how much each edited photo is classified correctly less often than the original, over seeds: `[N]`."""
    return rows.shares(f"{net}.original") - rows.shares(*labels_of(paper, rows, name, net))


def described(paper: ImageNetEPaper, rows: Rows, name: str) -> dict[str, float]:
    """Means over photos and seeds: the object's share of the picture, and complexity over that of the original."""
    names = ("edited_size", "edited_complexity", "complexity")
    parts = [rows.columns("edits", label, *names) for label in labels_of(paper, rows, name)]
    size = np.mean([edited.mean() for edited, _, _ in parts])
    return {
        "size": float(size),
        "complexity_ratio": float(np.mean([np.mean(after / before) for _, after, before in parts])),
    }
