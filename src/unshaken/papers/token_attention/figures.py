"""Figures of the experiment with token attention, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.measure import paired_difference
from unshaken.papers.frame.rows import Numbers, Rows, mean_of
from unshaken.papers.token_attention import ARMS, KINDS, MEASURES, SEVERITIES, TokenAttentionPaper


def figures(paper: TokenAttentionPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and over seeds each arm against the plain one."""
    seeds = [f"seed{seed}" for seed in rows.seeds(paper.seeds)]
    found: dict[str, Any] = {seed: {arm: arm_figures(rows.within(seed), arm) for arm in ARMS} for seed in seeds}
    found["over_seeds"] = {arm: against_plain([rows.within(s) for s in seeds], arm) for arm in ARMS[1:]}
    return found


def arm_figures(rows: Rows, arm: str) -> dict[str, Any]:
    """Accuracy and attention of one continuation."""
    by_kind = {kind: mean_of(accuracies(rows, arm, [kind])) for kind in KINDS}
    return {
        "clean": rows.accuracy(f"{arm}.clean"),
        "corrupted": {**by_kind, "mean": mean_of(accuracies(rows, arm, list(KINDS)))},
        "attention": attention(rows, arm),
        "scales": scales(rows, arm),
    }


def against_plain(parts: Sequence[Rows], arm: str) -> dict[str, Any]:
    """An arm minus the plain one, on the same images of all seeds."""

    def gap(kinds: Sequence[str]) -> dict[str, Any]:
        plain, other = (np.concatenate([accuracies(rows, a, kinds) for rows in parts]) for a in (ARMS[0], arm))
        return paired_difference(plain, other).to_json()

    return {"clean": gap([]), "corrupted": gap(list(KINDS)), **{kind: gap([kind]) for kind in KINDS}}


def attention(rows: Rows, arm: str) -> dict[str, Any]:
    """Means over layers and images, and by layer: on clean images, stability by kind of corruption."""
    found: dict[str, Any] = {"stability": {}, "by_layer": {}}
    for kind in KINDS:
        table = rows.table("attention", f"{arm}.{kind}-{SEVERITIES[-1]}")
        layers = table["layer"].to_numpy()
        values = {m: table[m].to_numpy() for m in MEASURES}
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
