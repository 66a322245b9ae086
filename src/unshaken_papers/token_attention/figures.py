"""Figures of the experiment with token attention, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.papers.effects import mean_over
from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.token_attention import ARMS, CONTINUED, KINDS, MEASURES, SEVERITIES, WIDE, TokenAttentionPaper


def figures(paper: TokenAttentionPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds each arm against the plain one."""
    found: dict[str, Any] = {}
    for seed, part in rows.repetitions(paper.seeds).items():
        found[seed] = {arm: arm_figures(part, arm) for arm in ARMS}
        if f"{WIDE}.clean" in part.labels():
            found[seed][WIDE] = arm_figures(part, WIDE)
            found[seed][CONTINUED] = {arm: arm_figures(part.within(CONTINUED), arm) for arm in ARMS}
    seeds = list(rows.repetitions(paper.seeds).values())
    found["over_seeds"] = {arm: against_plain(seeds, arm) for arm in ARMS[1:]}
    return found


def arm_figures(rows: Rows, arm: str) -> dict[str, Any]:
    """Accuracy and attention of one network."""
    by_kind = {kind: mean_of(accuracies(rows, arm, [kind]), low=0.0, high=1.0) for kind in KINDS}
    return {
        "clean": rows.accuracy(f"{arm}.clean"),
        "fitted": rows.accuracy(f"{arm}.fitted"),
        "corrupted": {**by_kind, "mean": mean_of(accuracies(rows, arm, list(KINDS)), low=0.0, high=1.0)},
        "attention": attention(rows, arm),
        "scales": scales(rows, arm),
    }


def against_plain(seeds: Sequence[Rows], arm: str) -> dict[str, Any]:
    """An arm minus the plain one, means over seeds and images."""

    def gap(*kinds: str) -> dict[str, Any]:
        return mean_over(seeds, lambda part: accuracies(part, arm, kinds) - accuracies(part, ARMS[0], kinds))

    return {"clean": gap(), "corrupted": gap(*KINDS), **{kind: gap(kind) for kind in KINDS}}


def attention(rows: Rows, arm: str) -> dict[str, Any]:
    """Means over layers and images, and by layer: on clean images, stability by kind of corruption."""
    found: dict[str, Any] = {"stability": {}, "by_layer": {}}
    for kind in KINDS:
        layers, *columns = rows.columns("attention", f"{arm}.{kind}-{SEVERITIES[-1]}", "layer", *MEASURES)
        values = dict(zip(MEASURES, columns, strict=True))
        means = {m: round(float(v.mean()), 4) for m, v in values.items()}
        by_layer = {m: [round(float(v[layers == i].mean()), 4) for i in np.unique(layers)] for m, v in values.items()}
        found["stability"][kind] = means.pop("stability")
        found["by_layer"][f"stability_{kind}"] = by_layer.pop("stability")
        found["by_layer"] |= by_layer
        found |= means
    return found


def scales(rows: Rows, arm: str) -> list[list[float]]:
    """Shares of the pools by layer; none without pooling."""
    pools = rows.table("scales", arm).to_pylist()
    count = max((r["layer"] for r in pools), default=-1) + 1
    return [[round(r["share"], 4) for r in pools if r["layer"] == i] for i in range(count)]


def accuracies(rows: Rows, arm: str, kinds: Sequence[str]) -> Numbers:
    """Share of the corruptions under which each image is classified correctly, `[N]`; clean images for no kinds."""
    labels = [f"{kind}-{severity}" for kind in kinds for severity in SEVERITIES] or ["clean"]
    return rows.shares(*(f"{arm}.{label}" for label in labels))
